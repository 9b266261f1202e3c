package report

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/bitdistill/bitdistill/bitnet"
	"github.com/bitdistill/bitdistill/bitnet/arch"
	"github.com/bitdistill/bitdistill/bitnet/decoder"
	"github.com/bitdistill/bitdistill/bitnet/hf"
	"github.com/bitdistill/bitdistill/distill"
	"github.com/bitdistill/bitdistill/distill/data"
	"github.com/bitdistill/bitdistill/distill/eval"
	"github.com/bitdistill/bitdistill/distill/loss"
	"github.com/bitdistill/bitdistill/internal/backend"
	"github.com/bitdistill/bitdistill/plots"
	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
)

// findings are what a look at the models of a run gives.
type findings struct {
	weights     []plots.Ternary // all linears of the newest student
	activations []plots.Activations
	examples    *data.Examples // a few held-out rows; nil where they cannot be read
	unread      string         // why they cannot be
	texts       []string       // their prompts
	judged      []judged
	written     []distill.Sample         // of a generation, instead of judged
	layer       int                      // the distilled one, counted from 0
	sample      int                      // the example that the taps see
	states      map[string][3][]float32  // Q, K and V of the distilled layer, by folder; each [tokens, width]
	relations   map[string]relationSizes // by folder
}

// judged is what a model says of the examples.
type judged struct {
	name     string
	accuracy eval.Accuracy
}

type relationSizes struct{ q, kv int } // widths

// examine opens the models that are there, one at a time, on the pure-Go backend: it is on every machine, and compiles nothing.
func (r *Run) examine(ctx context.Context) (*findings, error) {
	f := &findings{states: map[string][3][]float32{}, relations: map[string]relationSizes{}}
	var err error
	if f.written, err = distill.ReadSamples(r.Dir, shownRows); err != nil {
		return nil, err
	}
	subjects := r.subjects()
	if len(subjects) == 0 {
		return f, nil
	}
	choice, err := backend.Open(backend.Go)
	if err != nil {
		return nil, err
	}
	defer choice.Close()
	for _, s := range subjects {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		m, err := hf.Load(r.path(s.dir))
		if err == nil && m.Tokenizer == nil {
			err = fmt.Errorf("%s: no tokenizer.json", r.path(s.dir))
		}
		if err != nil {
			return nil, inputError{err}
		}
		x := examination{run: r, subject: s, model: m, backend: choice.Backend, found: f}
		if err := x.all(ctx); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// subject is a model to look at.
type subject struct {
	dir  string
	name string // in the table of results; "" if it is not judged
}

func (r *Run) subjects() []subject {
	all := []subject{{r.full(), distill.FullLabel}, {distill.BitNetDir, distill.BitNetLabel}}
	if r.full() != distill.TeacherDir {
		all = append(all, subject{distill.TeacherDir, ""})
	}
	if newest := r.newest(); newest == distill.StudentDir {
		all = append(all, subject{newest, distill.StudentLabel})
	} else {
		all = append(all, subject{newest, ""})
	}
	var there []subject
	for _, s := range all {
		if r.models[s.dir] {
			there = append(there, s)
		}
	}
	return there
}

// examination is a look at one model.
type examination struct {
	run     *Run
	subject subject
	model   *hf.Model
	backend compute.Backend
	found   *findings
}

func (x *examination) all(ctx context.Context) error {
	isStudent := x.subject.dir == x.run.newest()
	if isStudent {
		if err := x.ternary(); err != nil {
			return err
		}
	}
	if err := x.readExamples(ctx); err != nil || x.found.examples == nil {
		return err
	}
	if isStudent || x.subject.dir == distill.TeacherDir {
		if err := x.tap(isStudent); err != nil {
			return err
		}
	}
	if x.subject.name == "" || x.found.examples.Task.Generates() {
		return nil
	}
	judge, err := eval.NewClassifier(x.backend, x.model.Config, x.model.Store, judgedRows)
	if err != nil {
		return err
	}
	a, err := judge.Accuracy(ctx, x.found.examples)
	if err != nil {
		return fmt.Errorf("%s: %w", x.run.path(x.subject.dir), err)
	}
	x.found.judged = append(x.found.judged, judged{x.subject.name, a})
	return nil
}

// ternary bins the weights of all linears. The scales come from the library's own quantizer.
func (x *examination) ternary() error {
	quantization := x.model.Config.Quantization
	exec, err := graph.NewExec(x.backend, func(w *graph.Node) *graph.Node {
		_, scale := bitnet.QuantizeWeightsAs(w, quantization)
		return scale
	})
	if err != nil {
		return err
	}
	exec.SetMaxCache(-1)
	for _, t := range x.model.Config.Tensors() {
		if t.Kind != arch.Linear {
			continue
		}
		value, err := x.model.Store.GetVariable(t.Path()).Value()
		if err != nil {
			return err
		}
		out, err := exec.Call(value)
		if err != nil {
			return computing(err)
		}
		weights, err := tensors.CopyFlatData[float32](value)
		if err != nil {
			return err
		}
		scales, err := tensors.CopyFlatData[float32](out[0])
		if err != nil {
			return err
		}
		linear, err := plots.NewTernary(short(t.Name), weights, scales...)
		if err != nil {
			return inputError{fmt.Errorf("%s: %w", x.run.path(x.subject.dir), err)}
		}
		x.found.weights = append(x.found.weights, linear)
	}
	return nil
}

// judgedRows is the number of held-out rows that are judged, for models whose forward pass is quick.
const judgedRows = 48

// rowsFor is how many rows of a model with so many parameters are judged without taking long.
func rowsFor(parameters int) int { return max(6, min(judgedRows, int(4e9)/max(1, parameters))) }

// readExamples reads the first held-out rows, once. Data stand outside of the run folder and may be gone: then the report says so.
func (x *examination) readExamples(ctx context.Context) error {
	f := x.found
	if f.examples != nil || f.unread != "" {
		return nil
	}
	cfg := x.run.Config.Task
	examples, err := func() (*data.Examples, error) {
		task, err := distill.OpenTask(cfg.Name)
		if err != nil {
			return nil, err
		}
		table, err := task.Read(distill.OpenHeldOut(cfg.Dev))
		if err != nil {
			return nil, err
		}
		table.Rows = table.Rows[:min(len(table.Rows), rowsFor(x.model.Config.Parameters()))]
		return task.Tokenize(ctx, table, x.model.Tokenizer, data.TokenizeOptions{MaxLength: cfg.MaxLength, Overlong: cfg.Overlong})
	}()
	if err != nil {
		f.unread = err.Error()
		return ctx.Err()
	}
	f.examples = examples
	for i := range examples.Len() {
		f.texts = append(f.texts, x.model.Tokenizer.Decode(examples.Prompt(i)))
		if better(len(examples.Prompt(i)), len(examples.Prompt(f.sample))) {
			f.sample = i
		}
	}
	return nil
}

// better reports whether a prompt of n tokens shows relations better than one of m: each token has a cell of its own up to 24.
func better(n, m int) bool {
	const cells = 24
	if n <= cells && m <= cells {
		return n > m
	}
	return n < m
}

// tap runs the sample through the model, and keeps the states of the distilled layer and, of a student, inputs of linears.
func (x *examination) tap(isStudent bool) error {
	layer, err := x.model.Config.Layer(x.run.Config.Loss.Layer)
	if err != nil {
		return inputError{fmt.Errorf("%s: loss.layer: %w", x.run.path("config.json"), err)}
	}
	x.found.layer = layer
	var linears []string
	if isStudent {
		for _, t := range x.model.Config.Tensors() {
			if t.Kind == arch.Linear {
				linears = append(linears, strings.TrimSuffix(t.Name, ".weight"))
			}
		}
		linears = few(linears)
	}
	ids := x.found.examples.Prompt(x.found.sample)
	exec, err := model.NewExec(x.backend, x.model.Store, func(scope *model.Scope, in []*graph.Node) []*graph.Node {
		out := decoder.Forward(scope, x.model.Config, decoder.Inputs{IDs: in[0]}, decoder.Options{At: in[1], States: []int{layer}, LinearInputs: linears})
		s := out.States[layer]
		nodes := []*graph.Node{s.Q, s.K, s.V}
		for _, name := range linears {
			nodes = append(nodes, out.LinearInputs[name])
		}
		return append(nodes, out.Logits) // the pure-Go backend fails where what comes last is not asked for
	})
	if err != nil {
		return err
	}
	outs, err := exec.Exec(tensors.FromFlatDataAndDimensions(ids, 1, len(ids)), tensors.FromFlatDataAndDimensions([]int32{0}, 1, 1))
	if err != nil {
		return computing(err)
	}
	values := make([][]float32, 3+len(linears))
	for i, out := range outs[:len(values)] {
		if values[i], err = tensors.CopyFlatData[float32](out); err != nil {
			return err
		}
	}
	x.found.states[x.subject.dir] = [3][]float32(values[:3])
	x.found.relations[x.subject.dir] = relationSizes{len(values[0]) / len(ids), len(values[1]) / len(ids)}
	for i, name := range linears {
		a, err := activations(short(name), values[3+i], len(ids))
		if err != nil {
			return err
		}
		x.found.activations = append(x.found.activations, a)
	}
	return nil
}

// activations are codes of values [tokens, in], scaled per token as [bitnet.Quantize] does.
func activations(name string, values []float32, tokens int) (plots.Activations, error) {
	width := len(values) / tokens
	steps := make([]float32, tokens)
	for i := range steps {
		for _, v := range values[i*width:][:width] {
			steps[i] = max(steps[i], float32(math.Abs(float64(v))))
		}
		steps[i] = max(steps[i], bitnet.ScaleFloor) / 127
	}
	return plots.NewActivations(name, values, steps...)
}

// split are the settings of the relations with the number of relation heads that both models can have.
func (f *findings) split(r loss.Relations, dirs ...string) loss.Relations {
	for _, dir := range dirs {
		size := f.relations[dir]
		if r.SplitHeads == 0 {
			r.SplitHeads = loss.DefaultSplitHeads(size.kv)
		}
		if loss.CheckSplit(r.SplitHeads, size.q, size.kv) != nil {
			r.SplitHeads = 1
		}
	}
	return r
}

// computing cuts the stack trace off an error of GoMLX.
func computing(err error) error {
	text, _, _ := strings.Cut(err.Error(), "\n")
	return errors.New("computing: " + text)
}
