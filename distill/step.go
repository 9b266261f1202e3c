package distill

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"

	"github.com/bitdistill/bitdistill/bitnet/arch"
	"github.com/bitdistill/bitdistill/bitnet/decoder"
	"github.com/bitdistill/bitdistill/distill/data"
	"github.com/bitdistill/bitdistill/distill/loss"
	engines "github.com/bitdistill/bitdistill/internal/backend"
	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/gomlx/gomlx/ml/train/optimizer"
)

// teacherScope is where the teacher's weights stand in the student's store while it trains. They are not trained.
const teacherScope = "teacher"

// objective is what a stage minimises.
type objective struct {
	// answers means that only the tokens of the answer count, and only their logits are computed; else every next
	// token counts, as in stage 2.
	answers bool
	teacher *arch.Config // nil without distillation
	loss    Loss         // weights and normalisations of distillation; Relations and Layer resolved
}

// terms are the parts of a loss, each averaged over the whole batch. LD and AD are 0 without distillation.
type terms struct {
	Total, CE, LD, AD float64
}

func (t *terms) add(o terms) {
	t.Total += o.Total
	t.CE += o.CE
	t.LD += o.LD
	t.AD += o.AD
}

// stepper computes losses and gradients and updates the weights of one model. The gradient of a batch is the sum over its
// micro-batches, whose losses are divided by counts of the whole batch: so it equals that of the batch computed in
// one piece, however the answers are spread.
//
// Where the backend does not use all cores for one execution, micro-batches are computed side by side. They are added up
// in their order, so that the result does not depend on the number of cores.
type stepper struct {
	backend    compute.Backend
	store      *model.Store
	config     arch.Config
	objective  objective
	training   Training
	trainable  []arch.Tensor
	gradient   *model.Exec // micro-batch to losses and gradients
	sum        *graph.Exec // two lists of gradients to one
	norm       *graph.Exec // gradients to their global norm
	update     *model.Exec // gradients, learning rate and clipping factor to new weights and moments
	concurrent int
	building   sync.Mutex // building a graph writes to the variables, and two lengths may come up at once
}

func newStepper(backend compute.Backend, store *model.Store, cfg arch.Config, o objective, t Training) (*stepper, error) {
	s := &stepper{backend: backend, store: store, config: cfg, objective: o, training: t, trainable: cfg.Tensors(),
		concurrent: min(t.MicroBatches, engines.Concurrency(backend))}
	var err error
	if s.gradient, err = model.NewExec(backend, store, s.gradientGraph); err != nil {
		return nil, err
	}
	if s.update, err = model.NewExec(backend, store, s.updateGraph); err != nil {
		return nil, err
	}
	if s.norm, err = graph.NewExec(backend, globalNorm); err != nil {
		return nil, err
	}
	if s.sum, err = graph.NewExec(backend, addPairs); err != nil {
		return nil, err
	}
	s.gradient.SetMaxCache(-1) // a batch has one of the source's few lengths; never refuse one
	return s, nil
}

// compile compiles the gradient for batches of other lengths side by side, where that takes seconds for each and would else be
// done one after the other, when the first batch of a length comes.
func (s *stepper) compile(batches []*data.Batch) error {
	errs := make([]error, len(batches))
	var wg sync.WaitGroup
	for i, b := range batches {
		var in []shapes.Shape
		for _, x := range s.inputs(b, s.counts(batches)) {
			in = append(in, x.(*tensors.Tensor).Shape())
		}
		wg.Go(func() { _, errs[i] = s.gradient.Compile(in...) })
	}
	wg.Wait()
	return graphError(errors.Join(errs...))
}

// gradientGraph takes ids, mask, positions, targets and counts (see inputs) and returns the four losses and the
// gradient of every trainable tensor, in the order of arch.Config.Tensors.
func (s *stepper) gradientGraph(scope *model.Scope, in []*graph.Node) []*graph.Node {
	s.building.Lock()
	defer s.building.Unlock()
	ids, mask, positions, targets, counts := in[0], in[1], in[2], in[3], in[4]
	count := func(i int) *graph.Node { return graph.Reshape(graph.Slice(counts, graph.AxisElem(i))) }
	batch := decoder.Inputs{IDs: ids, Mask: mask}
	o := s.objective
	opts := decoder.Options{}
	if o.answers && !o.everyPosition() {
		opts.At = positions
	}
	distils := o.teacher != nil
	useAD := distils && o.loss.Gamma > 0
	if useAD {
		opts.States = []int{o.loss.Layer}
	}
	student := decoder.Forward(scope, s.config, batch, opts)
	ce := loss.CrossEntropy(student.Logits, targets, count(0))
	zero := graph.ScalarZero(ids.Graph(), dtypes.Float32)
	total, ld, ad := ce, zero, zero
	if distils {
		teacher := decoder.Forward(scope.At(teacherScope), *o.teacher, batch, opts)
		if o.loss.Lambda > 0 {
			keep := graph.GreaterOrEqual(targets, graph.ScalarZero(ids.Graph(), dtypes.Int32))
			if o.everyPosition() {
				keep = mask
			}
			ld = o.loss.Logits.Loss(student.Logits, graph.StopGradient(teacher.Logits), keep, count(1))
			total = graph.Add(total, graph.MulScalar(ld, o.loss.Lambda))
		}
		if useAD {
			states := func(out decoder.Outputs) []loss.State { return []loss.State{loss.State(out.States[o.loss.Layer])} }
			ad = o.loss.Relations.Loss(states(student), states(teacher), mask, count(2))
			total = graph.Add(total, graph.MulScalar(ad, o.loss.Gamma))
		}
	}
	weights := make([]*graph.Node, len(s.trainable))
	for i, t := range s.trainable {
		weights[i] = s.store.GetVariable(t.Path()).NodeValue(ids.Graph())
	}
	return append([]*graph.Node{total, ce, ld, ad}, graph.Gradient(total, weights...)...)
}

// everyPosition reports whether logits of all positions are needed although only answers count in the cross entropy.
func (o objective) everyPosition() bool {
	return o.teacher != nil && o.loss.Positions == "all" && o.loss.Lambda > 0
}

// updateGraph takes learning rate, clipping factor and gradients, and steps AdamW. GoMLX's Adam does the moments; its own weight
// decay knows no exceptions, so decay is applied here: w' = w - lr*adam - lr*decay*w, as torch.optim.AdamW does.
func (s *stepper) updateGraph(scope *model.Scope, in []*graph.Node) []*graph.Node {
	rate, clip, grads := in[0], in[1], in[2:]
	g := rate.Graph()
	byPath := map[string]*graph.Node{}
	before := map[string]*graph.Node{}
	for i, t := range s.trainable {
		byPath[t.Path()] = graph.Mul(grads[i], clip)
		before[t.Path()] = s.store.GetVariable(t.Path()).NodeValue(g)
	}
	var ordered []*graph.Node // in the order in which the optimizer walks the variables
	for v := range scope.IterVariables() {
		if grad, ok := byPath[v.Path()]; ok {
			ordered = append(ordered, grad)
		}
	}
	optimizer.LearningRateVar(scope, dtypes.Float32, s.training.LearningRate).SetNodeValue(rate)
	adam := optimizer.Adam().LearningRate(s.training.LearningRate).Betas(s.training.Beta1, s.training.Beta2).Epsilon(s.training.Epsilon).Done()
	adam.(interface {
		UpdateGraphWithGradients(*model.Scope, []*graph.Node, dtypes.DType)
	}).UpdateGraphWithGradients(scope, ordered, dtypes.Float32)
	for _, t := range s.trainable {
		if s.training.WeightDecay > 0 && s.training.decays(t.Kind) {
			v := s.store.GetVariable(t.Path())
			decay := graph.Mul(before[t.Path()], graph.MulScalar(rate, s.training.WeightDecay))
			v.SetNodeValue(graph.Sub(v.NodeValue(g), decay))
		}
	}
	return nil
}

// decays reports whether weight decay acts on tensors of the kind.
func (t Training) decays(k arch.Kind) bool {
	switch k {
	case arch.Linear:
		return true
	case arch.Embedding, arch.Head:
		return t.DecayEmbeddings
	}
	return false
}

// globalNorm is the Euclidean norm of all gradients together, a scalar.
func globalNorm(grads []*graph.Node) []*graph.Node {
	sum := graph.ScalarZero(grads[0].Graph(), dtypes.Float32)
	for _, x := range grads {
		squares := graph.Mul(x, x)
		if x.Rank() > 1 {
			squares = graph.ReduceSum(squares, -1) // rows first, for precision
		}
		sum = graph.Add(sum, graph.ReduceAllSum(squares))
	}
	return []*graph.Node{graph.Sqrt(sum)}
}

// addPairs adds the first half of a list to its second half.
func addPairs(both []*graph.Node) []*graph.Node {
	n := len(both) / 2
	sums := make([]*graph.Node, n)
	for i := range sums {
		sums[i] = graph.Add(both[i], both[n+i])
	}
	return sums
}

// gradients of a batch, given as its micro-batches: losses, the global norm and the gradients, for apply. The caller
// releases them. At most one set of gradients more than micro-batches are computed side by side is alive at a time. Between
// micro-batches it stops with the context's error when that ends.
func (s *stepper) gradients(ctx context.Context, batches []*data.Batch) (t terms, norm float64, grads []*tensors.Tensor, err error) {
	counts := s.counts(batches)
	for part := range slices.Chunk(batches, s.concurrent) {
		if err := context.Cause(ctx); err != nil {
			release(grads)
			return t, 0, nil, err
		}
		outs, err := s.sideBySide(part, counts)
		if err != nil {
			return t, 0, nil, err
		}
		for _, out := range outs {
			t.add(terms{scalar(out[0]), scalar(out[1]), scalar(out[2]), scalar(out[3])})
			if grads == nil {
				grads = out[4:]
				continue
			}
			sums, err := s.sum.Call(anys(grads, out[4:])...)
			if err != nil {
				return t, 0, nil, graphError(err)
			}
			release(grads)
			release(out)
			grads = sums
		}
	}
	n, err := s.norm.Call(anys(grads)...)
	if err != nil {
		return t, 0, nil, graphError(err)
	}
	return t, scalar(n[0]), grads, nil
}

// sideBySide computes losses and gradients of some micro-batches at once.
func (s *stepper) sideBySide(batches []*data.Batch, counts []float32) ([][]*tensors.Tensor, error) {
	outs, errs := make([][]*tensors.Tensor, len(batches)), make([]error, len(batches))
	var wg sync.WaitGroup
	for i, b := range batches {
		wg.Go(func() { outs[i], errs[i] = s.gradient.Exec(s.inputs(b, counts)...) })
	}
	wg.Wait()
	return outs, graphError(errors.Join(errs...))
}

// release gives the memory of tensors back at once: the garbage collector does not see what a device holds, and would let
// gradients pile up.
func release(list []*tensors.Tensor) {
	for _, t := range list {
		t.FinalizeAll() // of a tensor that is dropped anyway, an error says nothing
	}
}

// apply updates weights and moments with gradients clipped to Training.ClipNorm.
func (s *stepper) apply(grads []*tensors.Tensor, norm, rate float64) error {
	clip := math.Min(1, s.training.ClipNorm/(norm+1e-6)) // as torch.nn.utils.clip_grad_norm_
	_, err := s.update.Exec(append([]any{float32(rate), float32(clip)}, anys(grads)...)...)
	return graphError(err)
}

// counts are the denominators of CE, LD and AD over the whole batch: answer tokens, positions whose logits are
// compared, and real tokens.
func (s *stepper) counts(batches []*data.Batch) []float32 {
	answers, real := 0, 0
	for _, b := range batches {
		answers += b.Counted()
		real += b.Tokens
	}
	positions := answers
	if s.objective.everyPosition() {
		positions = real
	}
	return []float32{float32(answers), float32(positions), float32(real)}
}

// inputs of gradientGraph for a micro-batch: ids and mask [rows, length], positions and targets of the logits that count
// ([rows, answer], or [rows, length] where all logits are computed), and the counts [3]; all int32 but the counts.
func (s *stepper) inputs(b *data.Batch, counts []float32) []any {
	positions, targets, width := b.Answers()
	if !s.objective.answers || s.objective.everyPosition() {
		positions, targets, width = b.Targets(), b.Targets(), b.Length // positions are not looked at
	}
	return []any{
		tensors.FromFlatDataAndDimensions(b.IDs, b.Rows, b.Length),
		tensors.FromFlatDataAndDimensions(b.Mask, b.Rows, b.Length),
		tensors.FromFlatDataAndDimensions(positions, b.Rows, width),
		tensors.FromFlatDataAndDimensions(targets, b.Rows, width),
		tensors.FromFlatDataAndDimensions(counts, len(counts)),
	}
}

func scalar(t *tensors.Tensor) float64 { return float64(tensors.ToScalar[float32](t)) }

func anys(lists ...[]*tensors.Tensor) []any {
	var all []any
	for _, list := range lists {
		for _, t := range list {
			all = append(all, t)
		}
	}
	return all
}

// graphError cuts GoMLX's stack trace and wrapping off an error from building or running a graph.
func graphError(err error) error {
	if err == nil {
		return nil
	}
	text := err.Error()
	if i := strings.LastIndex(text, "panicked: "); i >= 0 {
		text = text[i+len("panicked: "):]
	}
	return fmt.Errorf("building or running the computation: %s", text)
}
