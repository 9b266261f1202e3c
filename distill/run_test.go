package distill

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/bitdistill/bitdistill/bitnet"
	"github.com/bitdistill/bitdistill/bitnet/arch"
	"github.com/bitdistill/bitdistill/bitnet/hf"
)

// modelFolder saves a model.
func modelFolder(t testing.TB, m *hf.Model) string {
	t.Helper()
	dir := t.TempDir()
	if err := m.Save(dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

// smallRun is the embedded preset on a few rows and sentences, with a few steps of every training.
func smallRun(t testing.TB, overrides ...string) Config {
	t.Helper()
	c := preset(t, "embedded")
	dir := t.TempDir()
	for name, content := range map[string]string{"train.tsv": reviews(30), "dev.tsv": reviews(11), "corpus.txt": tale(30)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	c.Backend = "go"
	c.Task.Train, c.Task.Dev = filepath.Join(dir, "train.tsv"), filepath.Join(dir, "dev.tsv")
	c.Corpus.Files = []string{filepath.Join(dir, "corpus.txt")}
	c.Task.MaxLength, c.Task.LengthBuckets, c.Corpus.Length, c.Corpus.ReportWindows = 40, 1, 16, 3
	c.LogEvery, c.CheckpointEvery, c.TernaryEvery, c.EvalBatchSize = 1, 2, 2, 8
	for _, training := range []*Training{&c.FineTune, &c.BitNetSFT, &c.Stage2, &c.Stage3} {
		training.Steps, training.BatchSize = 3, 4
	}
	if err := c.Set(overrides...); err != nil {
		t.Fatal(err)
	}
	return c
}

// opened opens a run, which is closed with the test.
func opened(t testing.TB, c Config, o Options) *Run {
	t.Helper()
	r, err := Open(t.Context(), c, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// loaded opens a stage's folder as any other program would.
func loaded(t testing.TB, r *Run, dir string) (*hf.Model, map[string][]float32, Summary) {
	t.Helper()
	m, err := hf.Load(r.path(dir))
	if err != nil {
		t.Fatal(err)
	}
	var s Summary
	if err := readJSON(r.path(dir, trainingFile), &s); err != nil {
		t.Fatal(err)
	}
	return m, weights(t, m.Config, m.Store), s
}

// All stages on the embedded model: every folder is a model, stage 1 leaves the weights as they are, and stage 3 starts from
// all of stage 2's, SubLN too.
func TestRun(t *testing.T) {
	out := filepath.Join(t.TempDir(), "run")
	var log bytes.Buffer
	// At the first step, the only one of stage 3, the learning rate is 0: the student is what stage 3 started from.
	c := smallRun(t, "teacher=", "stage3.steps=1", "stage2.learning_rate=0.01")
	r := opened(t, c, Options{Out: out, Log: &log})
	results, err := r.Do(context.Background())
	if err != nil {
		t.Fatalf("%v\n%s", err, &log)
	}
	base, err := openPretrained()
	if err != nil {
		t.Fatal(err)
	}
	pretrained := weights(t, base.Config, base.Store)

	m, stage1, _ := loaded(t, r, Stage1Dir)
	if m.Config.Quantization != bitnet.Ternary(bitnet.SubLNOutput) {
		t.Errorf("stage 1 made %+v", m.Config.Quantization)
	}
	subLN := 0
	for _, tensor := range m.Config.Tensors() {
		if tensor.Kind != arch.SubLNorm {
			continue
		}
		subLN++
		if slices.Min(stage1[tensor.Name]) != 1 || slices.Max(stage1[tensor.Name]) != 1 {
			t.Errorf("%s is not 1", tensor.Name)
		}
		delete(stage1, tensor.Name)
	}
	if subLN != 2*m.Config.Layers {
		t.Errorf("%d SubLN", subLN)
	}
	sameBits(t, "stage 1", stage1, pretrained)

	m, stage2, summary := loaded(t, r, Stage2Dir)
	for _, tensor := range m.Config.Tensors() {
		if w := stage2[tensor.Name]; tensor.Kind == arch.SubLNorm && slices.Min(w) == 1 && slices.Max(w) == 1 {
			t.Errorf("stage 2 has not trained %s", tensor.Name)
		}
	}
	if summary.Steps != 3 || summary.Tokens != 3*4*16 || summary.Before == nil || summary.After == nil || summary.Before.Tokens != 3*15 || summary.Before.NLL == summary.After.NLL {
		t.Errorf("stage 2: %+v", summary)
	}
	_, student, summary := loaded(t, r, StudentDir)
	sameBits(t, "where stage 3 starts", student, stage2)
	if summary.Loss == nil || summary.Loss.Relations.SplitHeads != 8 || summary.Loss.Layer != m.Config.Layers-1 {
		t.Errorf("stage 3: %+v", summary.Loss)
	}

	for dir, want := range map[string]bitnet.Quantization{TeacherDir: bitnet.Full(), BitNetDir: bitnet.Ternary(bitnet.SubLNNone)} {
		m, w, summary := loaded(t, r, dir)
		if m.Config.Quantization != want || summary.Steps != 3 || slices.Equal(w["model.norm.weight"], pretrained["model.norm.weight"]) {
			t.Errorf("%s: %+v, %+v", dir, m.Config.Quantization, summary)
		}
	}
	if got := folders(t, out); !slices.Equal(got, []string{lockFile, BitNetDir, checkpointsDir, configFile, metricsFile, resultsFile, Stage1Dir, Stage2Dir, StudentDir, TeacherDir}) {
		t.Errorf("the folder holds %v", got)
	}
	if got := folders(t, r.path(checkpointsDir)); len(got) != 0 {
		t.Errorf("checkpoints of finished stages: %v", got)
	}
	checkResults(t, r, results)
	checkExport(t, r, results)
	again(t, r, c, results)
}

// checkResults compares results.json, strictly read, with what the run returned.
func checkResults(t *testing.T, r *Run, results *Results) {
	raw, err := os.ReadFile(r.path(resultsFile))
	if err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	var stored Results
	if err := d.Decode(&stored); err != nil {
		t.Fatal(err)
	}
	if a, b := fmt.Sprintf("%+v", stored.Rows), fmt.Sprintf("%+v", results.Rows); a != b || stored.Stage2 == nil || *stored.Stage2 != *results.Stage2 {
		t.Errorf("stored %s\nreturned %s", a, b)
	}
	if len(results.Rows) != 3 || results.Environment.Backend != "go" || results.Config.Seed != r.Config.Seed {
		t.Fatalf("results: %s", raw)
	}
	checkMetrics(t, r)
	for i, name := range []string{"FP16-SFT", "BitNet-SFT", "BitDistill"} {
		row := results.Rows[i]
		if row.Name != name || row.N != 11 || row.Accuracy < 0 || row.Accuracy > 1 || row.Seconds <= 0 || row.TrainTokensPer <= 0 {
			t.Errorf("row %+v", row)
		}
		if row.LinearBytes <= 0 || row.ModelBytes <= row.LinearBytes || i > 0 && row.LinearBytes*7 > results.Rows[0].LinearBytes {
			t.Errorf("sizes of %+v, full precision %d", row, results.Rows[0].LinearBytes)
		}
	}
	var keys struct {
		Rows   []map[string]any
		Stage2 map[string]any
	}
	if err := json.Unmarshal(raw, &keys); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"name", "accuracy", "stderr", "n", "linear_bytes", "model_bytes", "train_tokens_per_s", "seconds"} {
		if _, ok := keys.Rows[0][key]; !ok {
			t.Errorf("rows have no %q", key)
		}
	}
	if keys.Stage2["perplexity_before"] == nil || keys.Stage2["perplexity_after"] == nil {
		t.Errorf("stage2: %v", keys.Stage2)
	}
}

// again: a finished run is not overwritten; resumed it is only evaluated. An unfinished line of a killed run is cut off.
func again(t *testing.T, r *Run, c Config, results *Results) {
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), c, Options{Out: r.dir}); !errors.Is(err, ErrInput) || !strings.Contains(err.Error(), "--resume") {
		t.Errorf("a second run in the folder: %v", err)
	}
	metrics := r.path(metricsFile)
	before, err := os.ReadFile(metrics)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(metrics, append(slices.Clone(before), `{"stage":"Stage-2","ste`...), 0o666); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	resumed := opened(t, Config{}, Options{Out: r.dir, Resume: true, Log: &log})
	if _, err := Open(t.Context(), c, Options{Out: r.dir, Resume: true}); !errors.Is(err, ErrInput) || !strings.Contains(err.Error(), "another process") {
		t.Errorf("two at once: %v", err)
	}
	repeated, err := resumed.Do(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprintf("%+v", repeated.Rows) != fmt.Sprintf("%+v", results.Rows) {
		t.Errorf("evaluated again: %+v\nfirst: %+v", repeated.Rows, results.Rows)
	}
	if n := strings.Count(log.String(), "already there"); n != 5 {
		t.Errorf("%d stages were already there:\n%s", n, &log)
	}
	after, err := os.ReadFile(metrics)
	if err != nil || !bytes.Equal(after, before) {
		t.Errorf("metrics, %v:\n%s\nwant\n%s", err, after, before)
	}
}

// interrupter ends a context with the line that it is to end with.
type interrupter struct {
	bytes.Buffer
	left   int
	cancel func()
}

func (i *interrupter) Write(p []byte) (int, error) {
	if i.left--; i.left == 0 {
		i.cancel()
	}
	return i.Buffer.Write(p)
}

// A run that is interrupted at every few lines of its log, wherever that is, makes the same models as one that is not. A dozen lines come before the first step.
func TestRunInterrupted(t *testing.T) {
	c := smallRun(t, "model="+modelFolder(t, tinyModel(t, 1)), "teacher="+modelFolder(t, tinyModel(t, 2)), "task.selection_rows=5", "corpus.selection_windows=2",
		"fine_tune.eval_every=1", "bitnet_sft.eval_every=2", "stage2.eval_every=2", "stage3.eval_every=1", "stage3.patience=3")
	whole := opened(t, c, Options{Out: filepath.Join(t.TempDir(), "run")})
	want, err := whole.Do(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for _, every := range []int{15, 18} {
		out := filepath.Join(t.TempDir(), "run")
		var results *Results
		attempts, last := 0, ""
		for ; results == nil && attempts < 60; attempts++ {
			ctx, cancel := context.WithCancel(context.Background())
			log := &interrupter{left: every, cancel: cancel}
			r, err := Open(t.Context(), c, Options{Out: out, Resume: attempts > 0, Log: log})
			if err != nil {
				t.Fatal(err)
			}
			if results, err = r.Do(ctx); err != nil && !errors.Is(err, context.Canceled) {
				t.Fatalf("%v\n%s", err, log)
			}
			if err := r.Close(); err != nil {
				t.Fatal(err)
			}
			cancel()
			last = log.String()
		}
		if results == nil || attempts < 4 {
			t.Fatalf("every %d lines: %d attempts; the last:\n%s", every, attempts, last)
		}
		for _, dir := range []string{TeacherDir, FullDir, BitNetDir, Stage1Dir, Stage2Dir, StudentDir} {
			got, err := os.ReadFile(filepath.Join(out, dir, weightsFile))
			if err != nil {
				t.Fatal(err)
			}
			if wanted, err := os.ReadFile(whole.path(dir, weightsFile)); err != nil || !bytes.Equal(got, wanted) {
				t.Errorf("interrupted every %d lines: %s has other weights (%v)", every, dir, err)
			}
		}
		for i := range results.Rows {
			if results.Rows[i].Accuracy != want.Rows[i].Accuracy {
				t.Errorf("interrupted every %d lines: %+v, want %+v", every, results.Rows[i], want.Rows[i])
			}
		}
		if *results.Stage2 != *want.Stage2 {
			t.Errorf("stage 2: %+v, want %+v", results.Stage2, want.Stage2)
		}
	}
}

// checkMetrics: metrics.jsonl tells every step of every stage and where the ternary weights stand.
func checkMetrics(t *testing.T, r *Run) {
	t.Helper()
	m, err := ReadMetrics(r.dir)
	if err != nil {
		t.Fatal(err)
	}
	steps := map[string]int{}
	for _, s := range m.Steps {
		steps[s.Stage]++
		if s.Step != steps[s.Stage] || s.Loss <= 0 || s.Tokens <= 0 {
			t.Errorf("step %d of %s: %+v", steps[s.Stage], s.Stage, s)
		}
	}
	for stage, training := range map[string]Training{BitNetLabel: r.Config.BitNetSFT, Stage2Label: r.Config.Stage2, Stage3Label: r.Config.Stage3} {
		if steps[stage] != training.totalSteps(nil) {
			t.Errorf("%d steps of %s, want %d", steps[stage], stage, training.totalSteps(nil))
		}
	}
	for _, c := range m.Ternary {
		if len(c.Linears) == 0 {
			t.Errorf("no linears at step %d of %s", c.Step, c.Stage)
		}
		for _, l := range c.Linears {
			sum := 0
			for _, n := range l.Latent {
				sum += n
			}
			if len(l.Latent) != LatentBins || sum != l.Minus+l.Zero+l.Plus || l.Scale <= 0 {
				t.Errorf("%s at step %d of %s: %+v", l.Name, c.Step, c.Stage, l)
			}
		}
	}
	if len(m.Ternary) == 0 {
		t.Error("no counts of ternary weights")
	}
	broken := t.TempDir()
	if err := os.WriteFile(filepath.Join(broken, metricsFile), []byte("{\"steps\":3,\"step\":1}\n{]\n{\"steps\""), 0o666); err != nil {
		t.Fatal(err)
	}
	_, err = ReadMetrics(broken)
	wrong(t, err, metricsFile+":2")
}
