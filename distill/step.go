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
	engines "github.com/bitdistill/bitdistill/internal/backend"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
)

// teacherScope is where the teacher's weights stand in the student's store while it trains. They are not trained.
const teacherScope = "teacher"

// stepper computes losses and gradients and updates the weights of one model. The gradient of a batch is the sum over its
// micro-batches, whose losses are divided by counts of the whole batch: so it equals that of the batch computed in
// one piece, however the answers are spread.
//
// Where the backend does not use all cores for one execution, micro-batches are computed side by side. They are added up
// in their order, so that the result does not depend on the number of cores.
type stepper struct {
	devices
	store      *model.Store
	config     arch.Config
	objective  objective
	training   Training
	trainable  []arch.Tensor
	frozen     *frozen     // nil in full precision, where a step has one micro-batch, and on several devices
	gradient   *model.Exec // micro-batch to losses and gradients
	sum        *graph.Exec // two lists of gradients to one
	norm       *graph.Exec // gradients to their global norm
	updates    []*update
	concurrent int
	building   sync.Mutex // building a graph writes to the variables, and two lengths may come up at once
}

func newStepper(d devices, store *model.Store, cfg arch.Config, o objective, t Training) (_ *stepper, err error) {
	s := &stepper{devices: d, store: store, config: cfg, objective: o, training: t, trainable: cfg.Tensors(),
		concurrent: min(t.MicroBatches, engines.Concurrency(d.backend))}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if t.MicroBatches > 1 && cfg.Quantization.IsTernary() && s.mesh == nil {
		if s.frozen, err = newFrozen(d.backend, store, cfg); err != nil {
			return nil, err
		}
	}
	if s.gradient, err = model.NewExec(d.backend, store, s.gradientGraph); err != nil {
		return nil, err
	}
	if s.updates, err = newUpdates(d, store, s.trainable, t, updateBytes); err != nil {
		return nil, err
	}
	if s.norm, err = graph.NewExec(d.backend, globalNorm); err != nil {
		return nil, err
	}
	if s.sum, err = graph.NewExec(d.backend, addPairs); err != nil {
		return nil, err
	}
	s.distribute()
	s.gradient.SetMaxCache(-1) // a batch has one of the source's few lengths; never refuse one
	return s, nil
}

// distribute says what each device has of the inputs and outputs of the graphs.
func (s *stepper) distribute() {
	if s.mesh == nil {
		return
	}
	whole, rows, grads := s.everywhere(), s.rows(), s.shares(s.trainable)
	distribute(s.mesh, s.gradient, specs{rows, rows, rows, rows, whole}, append(specs{whole, whole, whole, whole}, grads...))
	distribute(s.mesh, s.norm, grads, specs{whole})
	distribute(s.mesh, s.sum, append(grads, grads...), grads)
}

// close frees what was compiled, which is less than all where making a stepper failed.
func (s *stepper) close() {
	if s.gradient != nil {
		s.gradient.Finalize()
	}
	for _, u := range s.updates {
		u.exec.Finalize()
	}
	for _, e := range []*graph.Exec{s.norm, s.sum} {
		if e != nil {
			e.Finalize()
		}
	}
	if s.frozen != nil {
		s.frozen.close()
	}
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
// gradient of every trainable tensor, or of what is frozen of it, in the order of arch.Config.Tensors.
func (s *stepper) gradientGraph(scope *model.Scope, in []*graph.Node) []*graph.Node {
	s.building.Lock()
	defer s.building.Unlock()
	total, ce, ld, ad := s.objective.graph(scope, s.config, microBatch{in[0], in[1], in[2], in[3], in[4]}, decoder.Options{
		Checkpoints: s.training.Remat, RoundGradients: s.training.Precision == bfloat16, Frozen: s.frozen != nil,
	})
	weights := make([]*graph.Node, len(s.trainable))
	for i, t := range s.trainable {
		path := t.Path()
		if s.frozen != nil && t.Kind == arch.Linear {
			path = operandPath(t)
		}
		weights[i] = s.store.GetVariable(path).NodeValue(total.Graph())
	}
	return append([]*graph.Node{total, ce, ld, ad}, graph.Gradient(total, weights...)...)
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
	defer func() {
		if err != nil {
			release(grads)
			grads = nil
		}
	}()
	counts := s.counts(batches)
	if s.frozen != nil {
		if err := s.frozen.renew(); err != nil {
			return t, 0, grads, graphError(err)
		}
	}
	for part := range slices.Chunk(batches, s.concurrent) {
		if err := context.Cause(ctx); err != nil {
			return t, 0, grads, err
		}
		outs, err := s.sideBySide(part, counts)
		if err != nil {
			return t, 0, grads, err
		}
		for _, out := range outs {
			t.add(terms{scalar(out[0]), scalar(out[1]), scalar(out[2]), scalar(out[3])})
			own := s.part(out, 4, 4+len(s.trainable))
			if grads == nil {
				grads = own
				continue
			}
			sums, err := s.sum.Call(s.arguments(anys(grads), anys(own))...)
			if err != nil {
				release(out)
				return t, 0, grads, graphError(err)
			}
			release(grads)
			release(out)
			grads = sums
		}
	}
	if s.frozen != nil {
		if err := s.frozen.toWeights(grads); err != nil {
			return t, 0, grads, graphError(err)
		}
	}
	n, err := s.norm.Call(anys(grads)...)
	if err != nil {
		return t, 0, grads, graphError(err)
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
	if err := errors.Join(errs...); err != nil {
		for _, out := range outs {
			release(out)
		}
		return nil, graphError(err)
	}
	return outs, nil
}

// release gives the memory of tensors back at once: the garbage collector does not see what a device holds, and would let
// gradients pile up.
func release(list []*tensors.Tensor) {
	for _, t := range list {
		t.FinalizeAll() // of a tensor that is dropped anyway, an error says nothing
	}
}

// apply updates weights and moments with gradients clipped to Training.ClipNorm. It releases the gradients.
func (s *stepper) apply(grads []*tensors.Tensor, norm, rate float64) error {
	clip := math.Min(1, s.training.ClipNorm/(norm+1e-6)) // as torch.nn.utils.clip_grad_norm_
	for _, u := range s.updates {
		if err := u.apply(s.part(grads, u.first, u.first+len(u.tensors)), rate, clip); err != nil {
			return graphError(err)
		}
	}
	return nil
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
// ([rows, answer], or [rows, length] where all logits are computed), and the counts [3]; all int32 but the counts. Each device gets
// its share of the rows.
func (s *stepper) inputs(b *data.Batch, counts []float32) []any {
	positions, targets, width := b.Answers()
	if !s.objective.answers || s.objective.everyPosition() {
		positions, targets, width = b.Targets(), b.Targets(), b.Length // positions are not looked at
	}
	var all []any
	rows := b.Rows / s.n
	for i := range s.n {
		share := func(x []int32, width int) any {
			return tensors.FromFlatDataAndDimensions(x[i*rows*width:(i+1)*rows*width], rows, width)
		}
		all = append(all, share(b.IDs, b.Length), share(b.Mask, b.Length), share(positions, width), share(targets, width),
			tensors.FromFlatDataAndDimensions(counts, len(counts)))
	}
	return all
}

func scalar(t *tensors.Tensor) float64 { return float64(tensors.ToScalar[float32](t)) }

func anys(list []*tensors.Tensor) []any {
	all := make([]any, len(list))
	for i, t := range list {
		all[i] = t
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
