package distill

import (
	"context"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/bitdistill/bitdistill/bitnet/arch"
	"github.com/bitdistill/bitdistill/bitnet/hf"
	"github.com/bitdistill/bitdistill/distill/eval"
	"github.com/bitdistill/bitdistill/internal/backend"
)

// Results are what a run ends with, and results.json holds.
type Results struct {
	Rows        []Row       `json:"rows"` // FP16-SFT, BitNet-SFT, BitDistill
	Stage2      *Stage2     `json:"stage2,omitempty"`
	Config      Config      `json:"config"`
	Environment Environment `json:"environment"`
}

// Row is one of the models compared.
type Row struct {
	Name           string  `json:"name"`
	Accuracy       float64 `json:"accuracy"`             // of a classification, on the held-out data, 0 to 1
	Stderr         float64 `json:"stderr"`               // its standard error
	Perplexity     float64 `json:"perplexity,omitempty"` // of a generation: of the held-out completions, each token given those before it
	*Overlap               // of a generation: of what the model writes with the references; nil in results of earlier versions
	N              int     `json:"n"` // held-out examples
	LinearBytes    int64   `json:"linear_bytes"`
	ModelBytes     int64   `json:"model_bytes"`
	TrainTokensPer float64 `json:"train_tokens_per_s"`
	Seconds        float64 `json:"seconds"` // of training; BitDistill's are those of stages 2 and 3
}

// Overlap compares what a model writes, greedily, behind held-out prompts with the references.
type Overlap struct {
	BLEU      float64 `json:"bleu"`      // of the corpus, 0 to 100 (sacrebleu, tokenizer 13a)
	ROUGE1    float64 `json:"rouge1"`    // mean F measure, 0 to 1 (rouge-score, with stemmer)
	ROUGE2    float64 `json:"rouge2"`    // the same
	ROUGEL    float64 `json:"rougeL"`    // the same
	ROUGELsum float64 `json:"rougeLsum"` // the same
	Generated int     `json:"generated"` // prompts continued, the first ones
	Ended     int     `json:"ended"`     // of them those whose text the model ended within the task's max_completion
}

// NewOverlap takes the numbers of a report out of what was measured.
func NewOverlap(g eval.Generations) *Overlap {
	r := g.ROUGE
	return &Overlap{g.BLEU.Score, r.ROUGE1.F, r.ROUGE2.F, r.ROUGEL.F, r.ROUGELsum.F, g.N, g.Ended}
}

// OverlapColumns are the names of what [Overlap.Cells] gives.
var OverlapColumns = []string{"BLEU", "ROUGE-1", "ROUGE-2", "ROUGE-L", "ROUGE-Lsum"}

// Cells are the scores for people, all from 0 to 100; dashes where o is nil.
func (o *Overlap) Cells() []string {
	if o == nil {
		return slices.Repeat([]string{"–"}, len(OverlapColumns))
	}
	var cells []string
	for _, score := range []float64{o.BLEU, 100 * o.ROUGE1, 100 * o.ROUGE2, 100 * o.ROUGEL, 100 * o.ROUGELsum} {
		cells = append(cells, fmt.Sprintf("%.2f", score))
	}
	return cells
}

// Stage2 is the perplexity on the corpus windows that were set aside.
type Stage2 struct {
	PerplexityBefore float64 `json:"perplexity_before"`
	PerplexityAfter  float64 `json:"perplexity_after"`
}

// Environment is where a run happened.
type Environment struct {
	Version string            `json:"version"` // of this module
	Go      string            `json:"go"`
	OS      string            `json:"os"`
	Arch    string            `json:"arch"`
	Cores   int               `json:"cores"`
	SIMD    bool              `json:"simd"` // built with GOEXPERIMENT=simd
	Backend string            `json:"backend"`
	Modules map[string]string `json:"modules"`
	Time    time.Time         `json:"time"`
}

// Evaluate judges the three models on the held-out data and writes results.json. Models that are not there are left out.
func (r *Run) Evaluate(ctx context.Context) (*Results, error) {
	full := FullDir
	if r.Config.Teacher == "" {
		full = TeacherDir
	}
	results := &Results{Config: r.Config, Environment: r.environment()}
	outputs := map[string][]string{}
	for _, row := range []struct {
		name string
		dirs []string // the model's folder, then those of earlier stages whose training belongs to it
	}{{FullLabel, []string{full}}, {BitNetLabel, []string{BitNetDir}}, {StudentLabel, []string{StudentDir, Stage2Dir}}} {
		ok, err := r.done(row.dirs[0])
		if err != nil {
			return nil, err
		}
		if !ok {
			r.log.printf("%s: not there, so %s is not evaluated", r.path(row.dirs[0]), row.name)
			continue
		}
		result, texts, err := r.evaluateRow(ctx, row.name, row.dirs)
		if err != nil {
			return nil, err
		}
		r.log.printf("%s: %s of %d held-out examples", row.name, result.verdict(), result.N)
		results.Rows = append(results.Rows, result)
		if texts != nil {
			outputs[row.name] = texts
		}
	}
	if len(results.Rows) == 0 {
		return nil, wrongInput("%s: no trained model to evaluate; run the other stages first", r.dir)
	}
	if ok, err := r.done(Stage2Dir); err != nil {
		return nil, err
	} else if ok {
		var s Summary
		if err := readJSON(r.path(Stage2Dir, trainingFile), &s); err != nil {
			return nil, err
		}
		if s.Before != nil && s.After != nil {
			results.Stage2 = &Stage2{s.Before.Perplexity, s.After.Perplexity}
		}
	}
	if err := r.writeSamples(ctx, outputs); err != nil {
		return nil, err
	}
	if err := writeJSON(r.path(resultsFile), results); err != nil {
		return nil, err
	}
	return results, os.RemoveAll(r.path(checkpointsDir, evalDir))
}

// evaluateRow judges a model. Of a generation it gives what the model wrote too.
func (r *Run) evaluateRow(ctx context.Context, name string, dirs []string) (row Row, texts []string, err error) {
	m, err := hf.Load(r.path(dirs[0]))
	if err != nil {
		return Row{}, nil, err
	}
	examples, err := r.sources.taskData(ctx, r.log)
	if err != nil {
		return Row{}, nil, err
	}
	judge, err := r.judge(m)
	if err != nil {
		return Row{}, nil, err
	}
	if row, err = judge.row(ctx, examples.dev, r.log.progress(name+": evaluation")); err != nil {
		return Row{}, nil, err
	}
	if r.sources.task.Generates() {
		if row.Overlap, texts, err = r.generate(ctx, name, m, examples.dev); err != nil {
			return Row{}, nil, err
		}
	}
	row.Name = name
	err = r.addCosts(&row, m, dirs)
	return row, texts, err
}

// addCosts says what a model takes, and what its training took.
func (r *Run) addCosts(row *Row, m *hf.Model, dirs []string) error {
	row.LinearBytes, row.ModelBytes = Sizes(m.Config)
	var tokens int64
	for _, dir := range dirs {
		var s Summary
		if err := readJSON(r.path(dir, trainingFile), &s); err != nil {
			return err
		}
		tokens += s.Tokens
		row.Seconds += s.Seconds
	}
	if row.Seconds > 0 {
		row.TrainTokensPer = float64(tokens) / row.Seconds
	}
	return nil
}

// Sizes are the bytes that a model's linears, and all of it, take to run with: 2 bits a ternary weight and 4 bytes a
// scale, 2 bytes each for everything in full precision. The paper's memory figures count the linears alone.
func Sizes(c arch.Config) (linears, all int64) {
	for _, t := range c.Tensors() {
		n := 2 * int64(t.Size())
		if t.Kind == arch.Linear {
			if c.Quantization.IsTernary() {
				n = (int64(t.Size())+3)/4 + 4*int64(c.Quantization.Scales(t.Dims[0], t.Dims[1]))
			}
			linears += n
		}
		all += n
	}
	return linears, all
}

func (r *Run) environment() Environment {
	e := Environment{
		Version: Version(), Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH, Cores: runtime.NumCPU(),
		SIMD: backend.SIMD(), Backend: r.choice.Name, Modules: map[string]string{}, Time: time.Now().UTC().Truncate(time.Second),
	}
	for _, m := range backend.Modules() {
		e.Modules[m.Path] = m.Version
	}
	return e
}

// Version is that of this module in the running program, or "devel".
func Version() string {
	const path = "github.com/bitdistill/bitdistill"
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "devel"
	}
	for _, m := range append(info.Deps, &info.Main) {
		if m.Path == path && m.Version != "" && m.Version != "(devel)" {
			return m.Version
		}
	}
	return "devel"
}

// generation reports whether the results are those of a task that generates text.
func (r *Results) generation() bool { return len(r.Rows) > 0 && r.Rows[0].Perplexity > 0 }

// WriteText writes the results as a table.
func (r *Results) WriteText(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	generation := r.generation()
	measure := "accuracy\t± s.e."
	if generation {
		measure = "perplexity\t" + strings.Join(OverlapColumns, "\t")
	}
	fmt.Fprintln(t, "\t"+measure+"\tlinears\tmodel\ttrained at\ttraining\t")
	for _, row := range r.Rows {
		result := fmt.Sprintf("%.2f %%\t%.2f", 100*row.Accuracy, 100*row.Stderr)
		if generation {
			result = fmt.Sprintf("%.3f\t", row.Perplexity) + strings.Join(row.Overlap.Cells(), "\t")
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%.0f tokens/s\t%.0f s\t\n",
			row.Name, result, formatBytes(row.LinearBytes), formatBytes(row.ModelBytes), row.TrainTokensPer, row.Seconds)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	n, measured := 0, "accuracy on"
	if len(r.Rows) > 0 {
		n = r.Rows[0].N
	}
	if generation {
		measured = r.Rows[0].Overlap.comparedOn() + "perplexity of the completions of"
	}
	_, err := fmt.Fprintf(w, "\n%s %s held-out examples; linears at 2 bits a ternary weight, all else at 16\n", measured, formatCount(n))
	if r.Stage2 != nil && err == nil {
		_, err = fmt.Fprintf(w, "stage 2: perplexity %.2f before, %.2f after, on text set aside\n", r.Stage2.PerplexityBefore, r.Stage2.PerplexityAfter)
	}
	return err
}

// comparedOn says what BLEU and ROUGE were measured on, with what comes behind.
func (o *Overlap) comparedOn() string {
	if o == nil {
		return ""
	}
	return fmt.Sprintf("BLEU and ROUGE of greedy texts behind %s held-out prompts; ", formatCount(o.Generated))
}

func formatCount(n int) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%d,%03d", n/1000, n%1000)
}

// formatBytes writes a size in decimal units.
func formatBytes(n int64) string {
	units := []string{"B", "kB", "MB", "GB", "TB"}
	x := float64(n)
	for _, u := range units {
		if x < 1000 || u == "TB" {
			if u == "B" {
				return fmt.Sprintf("%d B", n)
			}
			return fmt.Sprintf("%.1f %s", x, u)
		}
		x /= 1000
	}
	return ""
}
