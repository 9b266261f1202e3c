package distill

import (
	"github.com/bitdistill/bitdistill/bitnet/arch"
	engines "github.com/bitdistill/bitdistill/internal/backend"
	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/gomlx/gomlx/ml/train/optimizer"
)

// updateBytes is the most that the weights of one update take, unless one tensor is larger. XLA writes new weights and moments beside
// the old ones, so all in one would take their memory twice.
const updateBytes = 128 << 20

// Where GoMLX's Adam keeps moments, and the steps it has made.
const (
	adamScope   = "/" + optimizer.AdamDefaultScope
	adamCounter = adamScope + "/step"
)

// update is AdamW of some of the tensors.
type update struct {
	devices
	store    *model.Store
	training Training
	first    int           // of its tensors among all that are trained
	tensors  []arch.Tensor // those that follow each other
	exec     *model.Exec   // learning rate, clipping factor and gradients to new weights and moments
}

// newUpdates divides the tensors among updates, each of at most so many bytes of weights, or of one tensor.
func newUpdates(d devices, store *model.Store, trainable []arch.Tensor, t Training, most int) ([]*update, error) {
	var all []*update
	bytes := 0
	for i, tensor := range trainable {
		if len(all) == 0 || bytes+float*tensor.Size() > most {
			u := &update{devices: d, store: store, training: t, first: i}
			var err error
			if u.exec, err = model.NewExec(d.backend, store, u.graph); err != nil {
				return nil, err
			}
			all, bytes = append(all, u), 0
		}
		last := all[len(all)-1]
		last.tensors = append(last.tensors, tensor)
		bytes += float * tensor.Size()
	}
	for _, u := range all {
		u.distribute()
	}
	return all, nil
}

// distribute says what each device has of the gradients. See keepPlaces for weights and moments.
func (u *update) distribute() {
	if u.mesh != nil {
		whole := u.everywhere()
		distribute(u.mesh, u.exec, append(specs{whole, whole}, u.shares(u.tensors)...), nil)
	}
}

// momentsOf are the variables in which Adam keeps the moments of a tensor.
func momentsOf(t arch.Tensor) []string {
	return []string{adamScope + t.Path() + "_1st_moment", adamScope + t.Path() + "_2nd_moment"}
}

// graph takes learning rate, clipping factor and gradients, and steps AdamW. GoMLX's Adam does the moments; its own weight
// decay knows no exceptions, so decay is applied here: w' = w - lr*adam - lr*decay*w, as torch.optim.AdamW does.
func (u *update) graph(scope *model.Scope, in []*graph.Node) []*graph.Node {
	rate, clip, grads := in[0], in[1], in[2:]
	g := rate.Graph()
	byPath := map[string]*graph.Node{}
	before := map[string]*graph.Node{}
	for i, t := range u.tensors {
		byPath[t.Path()] = graph.Mul(grads[i], clip)
		before[t.Path()] = u.store.GetVariable(t.Path()).NodeValue(g)
	}
	var ordered []*graph.Node // in the order in which the optimizer walks the variables
	for v := range scope.IterVariables() {
		if grad, ok := byPath[v.Path()]; ok {
			ordered = append(ordered, grad)
		}
	}
	if u.first > 0 { // the first update has counted this step for all of them
		counter := u.store.GetVariable(adamCounter)
		counter.SetNodeValue(graph.AddScalar(counter.NodeValue(g), -1))
	}
	optimizer.LearningRateVar(scope, dtypes.Float32, u.training.LearningRate).SetNodeValue(rate)
	adam := optimizer.Adam().LearningRate(u.training.LearningRate).Betas(u.training.Beta1, u.training.Beta2).Epsilon(u.training.Epsilon).Done()
	adam.(interface {
		UpdateGraphWithGradients(*model.Scope, []*graph.Node, dtypes.DType)
	}).UpdateGraphWithGradients(scope, ordered, dtypes.Float32)
	for _, t := range u.tensors {
		if u.training.WeightDecay > 0 && u.training.decays(t.Kind) {
			v := u.store.GetVariable(t.Path())
			decay := graph.Mul(before[t.Path()], graph.MulScalar(rate, u.training.WeightDecay))
			v.SetNodeValue(graph.Sub(v.NodeValue(g), decay))
		}
	}
	u.keepPlaces(g)
	return nil
}

// keepPlaces has new weights and moments placed as the old ones are. GoMLX takes them to be, but leaves it to the compiler.
func (u *update) keepPlaces(g *graph.Graph) {
	if u.mesh == nil {
		return
	}
	var places specs // in the order in which GoMLX returns them
	for v := range u.store.IterVariables() {
		if v.ChangedInGraph(g) {
			places = append(places, v.ShardingSpec())
		}
	}
	u.exec.WithOutputShardingSpecs(places...)
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

// apply makes the update with the gradients of its tensors, and gives their memory and that of the old weights and moments back.
func (u *update) apply(grads []*tensors.Tensor, rate, clip float64) error {
	replaced, err := u.replaced()
	if err != nil {
		return err
	}
	if _, err := u.exec.Exec(u.arguments(u.copies(float32(rate), float32(clip)), anys(grads))...); err != nil {
		return err
	}
	release(grads)
	for _, b := range replaced {
		if err := b.Finalize(); err != nil {
			return err
		}
	}
	return nil
}

// replaced are the buffers of weights and moments that will be replaced. XLA leaves a buffer that is donated to the garbage collector,
// which knows nothing of its size; the pure-Go backend writes the new values into it.
func (u *update) replaced() ([]compute.Buffer, error) {
	if engines.Interprets(u.backend) {
		return nil, nil
	}
	var list []compute.Buffer
	for _, t := range u.tensors {
		for _, path := range append(momentsOf(t), t.Path()) {
			v := u.store.GetVariable(path)
			if v == nil || !v.HasValue() {
				continue // made by the first update
			}
			held, err := u.held(v)
			if err != nil {
				return nil, err
			}
			for i, value := range held {
				b, err := value.Buffer(u.backend, compute.DeviceNum(i))
				if err != nil {
					return nil, err
				}
				list = append(list, b)
			}
		}
	}
	return list, nil
}
