package distill

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/bitdistill/bitdistill/bitnet"
	"github.com/bitdistill/bitdistill/bitnet/arch"
	"github.com/bitdistill/bitdistill/bitnet/hf"
	"github.com/bitdistill/bitdistill/bitnet/hf/files"
	"github.com/bitdistill/bitdistill/distill/data"
	"github.com/bitdistill/bitdistill/internal/backend"
	"github.com/bitdistill/bitdistill/internal/system"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
)

// benchAnswer is the number of answer tokens of a sequence of stage 3, as a label and the end of the text.
const benchAnswer = 2

// teacherSeed is that of the teacher's weights.
const teacherSeed = 2

// benchShapes are models to measure on, and the preset whose settings go with each.
var benchShapes = []struct {
	name, preset string
	config       arch.Config
}{
	{"stories260k", "embedded", arch.Config{
		Family: arch.Llama, VocabSize: 512, HiddenSize: 64, IntermediateSize: 172, Layers: 5, Heads: 8, KVHeads: 4, HeadDim: 8,
		MaxPositions: 512, NormEps: 1e-5, RopeTheta: 1e4, TieEmbeddings: true, Quantization: bitnet.Full(),
	}},
	{"smollm2-135m", "classification", arch.Config{
		Family: arch.Llama, VocabSize: 49152, HiddenSize: 576, IntermediateSize: 1536, Layers: 30, Heads: 9, KVHeads: 3, HeadDim: 64,
		MaxPositions: 8192, NormEps: 1e-5, RopeTheta: 1e5, TieEmbeddings: true, Quantization: bitnet.Full(),
	}},
	{"qwen3-0.6b", "classification", arch.Config{
		Family: arch.Qwen3, VocabSize: 151936, HiddenSize: 1024, IntermediateSize: 3072, Layers: 28, Heads: 16, KVHeads: 8, HeadDim: 128,
		MaxPositions: 40960, NormEps: 1e-6, RopeTheta: 1e6, TieEmbeddings: true, Quantization: bitnet.Full(),
	}},
	{"qwen3-1.7b", "classification", arch.Config{
		Family: arch.Qwen3, VocabSize: 151936, HiddenSize: 2048, IntermediateSize: 6144, Layers: 28, Heads: 16, KVHeads: 8, HeadDim: 128,
		MaxPositions: 40960, NormEps: 1e-6, RopeTheta: 1e6, TieEmbeddings: true, Quantization: bitnet.Full(),
	}},
	{"qwen3-4b", "classification", arch.Config{
		Family: arch.Qwen3, VocabSize: 151936, HiddenSize: 2560, IntermediateSize: 9728, Layers: 36, Heads: 32, KVHeads: 8, HeadDim: 128,
		MaxPositions: 40960, NormEps: 1e-6, RopeTheta: 1e6, TieEmbeddings: true, Quantization: bitnet.Full(),
	}},
}

// BenchShapes are the names of the models that benchmarks know: those of the published models of the same sizes.
func BenchShapes() []string {
	var names []string
	for _, s := range benchShapes {
		names = append(names, s.name)
	}
	return names
}

// BenchModel is the model of a name of [BenchShapes], in full precision, with its first layers alone unless that is 0. Errors wrap [ErrInput].
func BenchModel(shape string, layers int) (arch.Config, error) {
	i := slices.Index(BenchShapes(), shape)
	if i < 0 {
		return arch.Config{}, wrongInput("shape: %q is not one of %s", shape, strings.Join(BenchShapes(), ", "))
	}
	c := benchShapes[i].config
	if layers < 0 || layers > c.Layers {
		return c, wrongInput("layers: %d, want 1 to %d, the shape's, or 0 for all", layers, c.Layers)
	}
	if layers > 0 {
		c.Layers = layers
	}
	return c, nil
}

// BenchSpec says what [BenchTraining] measures.
type BenchSpec struct {
	Shape         string   // one of BenchShapes
	Layers        int      // blocks, fewer than the shape has; 0 for all
	Stage         int      // 2 or 3
	Batch, Length int      // sequences of a step, and tokens of each; nothing is padded
	EveryPosition bool     // stage 3 distils the logits of all positions, not of the answers alone
	Steps         int      // of a repetition
	Repetitions   int      // measured ones
	Backend       string   // auto, go, xla:cpu or xla:cuda
	Devices       int      // that the sequences of a micro-batch are divided among; 0 is 1
	Set           []string // settings over those of the shape's preset, as [Config.Set] has them: "stage2.micro_batches=2"
	// Before, if not nil, is called before every repetition, so that others can be measured in between.
	Before func(context.Context) error
}

// BenchProgram is what a spec comes to: all that another program needs to compute the same step. Student and teacher have
// random weights, and sequences random ids.
type BenchProgram struct {
	Shape         string       `json:"shape"`
	Stage         int          `json:"stage"`
	Batch         int          `json:"batch"`
	Length        int          `json:"length"`
	Answer        int          `json:"answer"` // last tokens of a sequence, which the cross entropy of stage 3 counts
	EveryPosition bool         `json:"every_position"`
	Steps         int          `json:"steps"`
	Repetitions   int          `json:"repetitions"`
	Student       arch.Config  `json:"student"`
	Teacher       *arch.Config `json:"teacher,omitempty"` // of stage 3
	Training      Training     `json:"training"`
	Loss          Loss         `json:"loss"` // of stage 3
	// Operations are the floating-point operations of a step that count for the utilisation. With n tokens, of which s have logits,
	// P weights in linears, and heads of the width q together, in each of the L layers:
	//
	//	student  6nP + 12nLq·length + 6s·hidden·vocabulary    forward and, twice that, backward
	//	teacher  a third of its own, forward alone
	//
	// Attention counts as if every token saw all others; norms, quantizers, the losses and the optimizer do not count.
	Operations float64 `json:"operations"`

	backend string
	devices int
}

// BenchResult is what one program took. Another program writes the same as JSON.
type BenchResult struct {
	Engine       string    `json:"engine"`          // such as "bitdistill xla:cpu"
	Seconds      []float64 `json:"seconds"`         // of each repetition
	FirstStep    float64   `json:"first_step_s"`    // seconds, compilation with it
	PeakRSS      int64     `json:"peak_rss_bytes"`  // most that was resident of the process; 0 where the system does not say
	GFLOPS       float64   `json:"gflops"`          // of a product of two float32 matrices on each device, see backend.MatmulGFLOPS
	GFLOPSBF16   float64   `json:"gflops_bfloat16"` // the same of bfloat16 with a float32 result; 0 where there is none
	Compilations int       `json:"compilations"`    // graphs compiled; 0 where it is not known
	Outside      *float64  `json:"outside"`         // share of the time in which no compiled graph ran; nil where it is not known
	FirstLoss    float64   `json:"first_loss"`      // of the first step and of the last, to see that it learns
	LastLoss     float64   `json:"last_loss"`
}

// Program resolves the spec. Errors wrap [ErrInput].
func (s BenchSpec) Program() (*BenchProgram, error) {
	model, err := BenchModel(s.Shape, s.Layers)
	if err != nil {
		return nil, err
	}
	cfg, err := Preset(benchShapes[slices.Index(BenchShapes(), s.Shape)].preset)
	if err != nil {
		return nil, err
	}
	if model.Layers < -cfg.Loss.Layer {
		cfg.Loss.Layer = -1
	}
	cfg.Loss.Positions = "answer"
	if s.EveryPosition {
		cfg.Loss.Positions = "all"
	}
	if err := s.set(&cfg); err != nil {
		return nil, err
	}
	p := &BenchProgram{Shape: s.Shape, Stage: s.Stage, Batch: s.Batch, Length: s.Length, Steps: s.Steps, Repetitions: s.Repetitions, backend: s.Backend, devices: s.Devices}
	if err := p.check(model.MaxPositions); err != nil {
		return nil, err
	}
	cfg.Stage2.BatchSize, cfg.Stage3.BatchSize = s.Batch, s.Batch
	f := faults{all: new([]error)}
	cfg.Stage2.validate(f.in("stage2"), true)
	cfg.Stage3.validate(f.in("stage3"), false)
	cfg.Loss.validate(f.in("loss"))
	f.atLeast("devices", s.Devices, 0)
	stage := map[int]Training{2: cfg.Stage2, 3: cfg.Stage3}[s.Stage]
	stage.divides(f.in(fmt.Sprintf("stage%d", s.Stage)), s.Devices)
	if len(*f.all) > 0 {
		return nil, inputError{errors.Join(*f.all...)}
	}
	if p.Student, err = studentConfig(model, cfg.Student); err != nil {
		return nil, err
	}
	p.Training = cfg.Stage2
	if s.Stage == 3 {
		p.Teacher, p.Training, p.Answer = &model, cfg.Stage3, benchAnswer
		if p.Loss, err = cfg.Loss.resolve(p.Student, model); err != nil {
			return nil, err
		}
	}
	p.EveryPosition = p.objective().everyPosition()
	p.Operations = p.operations()
	return p, nil
}

// set applies the settings, and refuses those that change nothing of what is measured.
func (s BenchSpec) set(c *Config) error {
	own := fmt.Sprintf("stage%d.", s.Stage)
	unused := []string{own + "batch_size", own + "skip_spikes", own + "fp16_scales", own + "eval_every", own + "patience", own + "steps", own + "epochs", own + "tokens"}
	for _, o := range s.Set {
		key, _, _ := strings.Cut(o, "=")
		key = strings.TrimSpace(key)
		used := strings.HasPrefix(key, own) || strings.HasPrefix(key, "student.") || s.Stage == 3 && strings.HasPrefix(key, "loss.")
		if !used || slices.Contains(unused, key) {
			return wrongInput("--set %s: has no part in a step of stage %d; settings of %s*, student.* and, in stage 3, loss.* do, and the number of sequences is --batch", o, s.Stage, own)
		}
	}
	if err := c.Set(s.Set...); err != nil {
		return inputError{err}
	}
	return nil
}

func (p *BenchProgram) check(longest int) error {
	switch {
	case p.Stage != 2 && p.Stage != 3:
		return wrongInput("stage: %d, want 2 or 3", p.Stage)
	case p.Batch < 1 || p.Batch > 1<<16:
		return wrongInput("batch: %d sequences, want 1 to %d", p.Batch, 1<<16)
	case p.Length <= benchAnswer || p.Length > longest:
		return wrongInput("length: %d tokens, want %d to %d, what the shape was made for", p.Length, benchAnswer+1, longest)
	case p.Steps < 1:
		return wrongInput("steps: %d, want a positive number", p.Steps)
	case p.Repetitions < 1:
		return wrongInput("repetitions: %d, want a positive number", p.Repetitions)
	}
	return nil
}

func (p *BenchProgram) objective() objective {
	return objective{answers: p.Stage == 3, teacher: p.Teacher, loss: p.Loss}
}

func (p *BenchProgram) operations() float64 {
	tokens := float64(p.Batch * p.Length)
	logits := tokens
	if p.Stage == 3 && !p.EveryPosition {
		logits = float64(p.Batch * p.Answer)
	}
	forward := func(c arch.Config) float64 {
		attention := 4 * tokens * float64(c.Layers*c.Heads*c.HeadDim*p.Length)
		return 2*tokens*float64(c.Parameters(arch.Linear)) + attention + 2*logits*float64(c.HiddenSize*c.VocabSize)
	}
	sum := 3 * forward(p.Student)
	if p.Teacher != nil {
		sum += forward(*p.Teacher)
	}
	return sum
}

// Ratio is how many times as fast as another result this one is, the mean over the repetitions, which are taken in pairs, and the
// standard deviation.
func (r BenchResult) Ratio(other BenchResult) (mean, sd float64) {
	var ratios []float64
	for i := range min(len(r.Seconds), len(other.Seconds)) {
		ratios = append(ratios, other.Seconds[i]/r.Seconds[i])
	}
	return MeanAndSD(ratios)
}

// TokensPerSecond is the mean over the repetitions of a result of this program, and their standard deviation.
func (p *BenchProgram) TokensPerSecond(r BenchResult) (mean, sd float64) {
	var speeds []float64
	for _, s := range r.Seconds {
		speeds = append(speeds, float64(p.Batch*p.Length*p.Steps)/s)
	}
	return MeanAndSD(speeds)
}

// MeanAndSD is the mean of values and their standard deviation, of a sample: 0 for a single one.
func MeanAndSD(values []float64) (mean, sd float64) {
	n := float64(len(values))
	for _, v := range values {
		mean += v / n
	}
	for _, v := range values {
		sd += (v - mean) * (v - mean)
	}
	return mean, math.Sqrt(sd / max(1, n-1))
}

// BenchTraining measures steps of a training as the pipeline makes them: losses and gradients, clipping, AdamW. The first step
// compiles; one more is not measured either. Errors wrap [ErrInput] where the spec is wrong.
func BenchTraining(ctx context.Context, s BenchSpec) (BenchResult, error) {
	p, err := s.Program()
	if err != nil {
		return BenchResult{}, err
	}
	choice, err := backend.Open(s.Backend)
	if err != nil {
		return BenchResult{}, inputError{err}
	}
	defer choice.Close()
	if _, err := newDevices(choice.Backend, s.Devices); err != nil {
		return BenchResult{}, err
	}
	r := BenchResult{Engine: "bitdistill " + deviceName(choice.Name, s.Devices)}
	if r.GFLOPS, err = backend.MatmulGFLOPS(ctx, choice.Backend, dtypes.Float32); err != nil {
		return r, err
	}
	if !backend.Interprets(choice.Backend) {
		if r.GFLOPSBF16, err = backend.MatmulGFLOPS(ctx, choice.Backend, dtypes.BFloat16); err != nil {
			return r, err
		}
	}
	if choice.Name == backend.XLACUDA { // the devices of a CPU share its cores
		r.GFLOPS, r.GFLOPSBF16 = r.GFLOPS*float64(max(1, s.Devices)), r.GFLOPSBF16*float64(max(1, s.Devices))
	}
	m := &meter{Backend: choice.Backend}
	b, err := p.bench(m)
	if err != nil {
		return r, err
	}
	err = b.run(ctx, s.Before, &r)
	r.Compilations, _ = m.read()
	r.PeakRSS = system.PeakMemory()
	return r, err
}

// bench is a training of a program.
type bench struct {
	*BenchProgram
	meter   *meter
	stepper *stepper
	rng     *rand.Rand
}

// bench makes the models and the stepper. The backend computes as many micro-batches as in a run.
func (p *BenchProgram) bench(m *meter) (*bench, error) {
	var tr trainer
	var err error
	if tr.model, err = randomDecoder(p.Student, 1); err != nil {
		return nil, err
	}
	if p.Teacher != nil {
		if tr.teacher, err = randomDecoder(*p.Teacher, teacherSeed); err != nil {
			return nil, err
		}
	}
	store, err := tr.workingStore()
	if err != nil {
		return nil, err
	}
	d, err := newDevices(m, p.devices)
	if err != nil {
		return nil, err
	}
	if err := d.spread(store, p.Student.Tensors()); err != nil {
		return nil, err
	}
	training := p.Training.inParts(backend.MicroBatches(m))
	s, err := newStepper(d, store, p.Student, p.objective(), training)
	if err != nil {
		return nil, err
	}
	return &bench{p, m, s, rand.New(rand.NewPCG(3, 3))}, nil
}

// run fills the result.
func (b *bench) run(ctx context.Context, before func(context.Context) error, r *BenchResult) (err error) {
	began := time.Now()
	if r.FirstLoss, err = b.step(ctx); err != nil {
		return err
	}
	r.FirstStep = time.Since(began).Seconds()
	if _, err = b.step(ctx); err != nil {
		return err
	}
	var wall, busy time.Duration
	for range b.Repetitions {
		if before != nil {
			if err := before(ctx); err != nil {
				return err
			}
		}
		_, busyBefore := b.meter.read()
		began := time.Now()
		for range b.Steps {
			if r.LastLoss, err = b.step(ctx); err != nil {
				return err
			}
		}
		took := time.Since(began)
		_, busyAfter := b.meter.read()
		wall, busy = wall+took, busy+busyAfter-busyBefore
		r.Seconds = append(r.Seconds, took.Seconds())
	}
	outside := 1 - busy.Seconds()/wall.Seconds()
	r.Outside = &outside
	return nil
}

// step is a step of the training on new sequences, and its loss.
func (b *bench) step(ctx context.Context) (float64, error) {
	batches := make([]*data.Batch, b.stepper.training.MicroBatches)
	for i := range batches {
		batches[i] = b.batch(b.Batch / len(batches))
	}
	losses, _, err := b.train(ctx, batches)
	return losses.Total, err
}

// train is a step of the training on the micro-batches, its losses and the norm of its gradient.
func (b *bench) train(ctx context.Context, batches []*data.Batch) (terms, float64, error) {
	losses, norm, grads, err := b.stepper.gradients(ctx, batches)
	defer release(grads)
	if err != nil {
		return losses, norm, err
	}
	if sum := norm + losses.Total; math.IsNaN(sum) || math.IsInf(sum, 0) {
		return losses, norm, fmt.Errorf("the loss is %g and the norm of the gradient %g", losses.Total, norm)
	}
	return losses, norm, b.stepper.apply(grads, norm, b.Training.LearningRate)
}

// batch is random ids. In stage 2 every token is to be predicted, in stage 3 the last ones.
func (b *bench) batch(rows int) *data.Batch {
	n := rows * b.Length
	batch := &data.Batch{
		Rows: rows, Length: b.Length, Tokens: n, Mask: slices.Repeat([]int32{1}, n), IDs: make([]int32, n), Labels: make([]int32, n),
	}
	for i := range batch.IDs {
		batch.IDs[i] = int32(b.rng.IntN(b.Student.VocabSize))
		batch.Labels[i] = batch.IDs[i]
		if b.Stage == 3 && i%b.Length < b.Length-b.Answer {
			batch.Labels[i] = data.NoLabel
		}
	}
	return batch
}

// randomDecoder has weights of a variance of 1/inputs, and norms of 1. Equal seeds make equal ones.
func randomDecoder(c arch.Config, seed uint64) (*hf.Model, error) {
	store := model.NewStore()
	values := make([]*tensors.Tensor, len(c.Tensors()))
	var wg sync.WaitGroup
	running := make(chan struct{}, runtime.GOMAXPROCS(0))
	for i, t := range c.Tensors() {
		running <- struct{}{}
		wg.Go(func() {
			values[i] = randomTensor(t, rand.New(rand.NewPCG(seed, uint64(i))))
			<-running
		})
	}
	wg.Wait()
	for i, t := range c.Tensors() {
		if _, err := store.CreateVariable(t.Path(), values[i]); err != nil {
			return nil, err
		}
	}
	return &hf.Model{Model: files.Model{Config: c}, Store: store}, nil
}

func randomTensor(t arch.Tensor, rng *rand.Rand) *tensors.Tensor {
	x := tensors.FromShape(shapes.Make(dtypes.Float32, t.Dims...))
	tensors.MustMutableFlatData(x, func(values []float32) {
		for i := range values {
			switch t.Kind {
			case arch.Norm, arch.SubLNorm:
				values[i] = 1
			case arch.Bias:
			default:
				values[i] = (2*rng.Float32() - 1) * float32(math.Sqrt(3/float64(t.Dims[1])))
			}
		}
	})
	return x
}
