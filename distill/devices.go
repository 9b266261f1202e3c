package distill

import (
	"fmt"
	"slices"

	"github.com/bitdistill/bitdistill/bitnet/arch"
	engines "github.com/bitdistill/bitdistill/internal/backend"
	"github.com/gomlx/compute"
	"github.com/gomlx/compute/distributed"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/core/tensors/dtensor"
	"github.com/gomlx/gomlx/ml/model"
)

// dataAxis is the axis of the mesh along which sequences, gradients and moments are divided.
const dataAxis = "data"

// devices are those that a training computes on, with the sequences of each micro-batch divided among them. A graph is written for all
// sequences, and so are its sums and means; the compiler makes of it what each device does and exchanges. Every device
// holds all weights. Of gradients and moments it holds a share of the rows, where their number can be divided.
//
// What goes into a graph and comes out of it is a list of the first device's tensors, followed by those of the next. For one device,
// all of this changes nothing.
type devices struct {
	backend compute.Backend
	n       int
	mesh    *distributed.DeviceMesh // nil for one
}

// newDevices takes the first n devices of the backend; 0 is 1. It refuses more than there are.
func newDevices(b compute.Backend, n int) (devices, error) {
	d := devices{backend: b, n: max(1, n)}
	if d.n == 1 {
		return d, nil
	}
	if err := engines.CheckDevices(b, n); err != nil {
		return d, inputError{err}
	}
	var err error
	d.mesh, err = distributed.NewDeviceMesh([]int{n}, []string{dataAxis})
	return d, err
}

// specs say what each device has of some tensors.
type specs = []*distributed.ShardingSpec

// deviceName is what logs and results call so many devices of a backend.
func deviceName(backend string, n int) string {
	if n <= 1 {
		return backend
	}
	return fmt.Sprintf("%d x %s", n, backend)
}

// everywhere means that each device has the whole tensor.
func (d devices) everywhere() *distributed.ShardingSpec {
	return distributed.NewReplicatedShardingSpec(d.mesh)
}

// rows means that each device has as many rows of the tensor, in order.
func (d devices) rows() *distributed.ShardingSpec {
	return &distributed.ShardingSpec{Mesh: d.mesh, Axes: []distributed.AxisSpec{{dataAxis}}}
}

// share is what each device has of the gradient and the moments of a tensor.
func (d devices) share(t arch.Tensor) *distributed.ShardingSpec {
	if t.Dims[0]%d.n != 0 {
		return d.everywhere()
	}
	return d.rows()
}

// shares are those of several tensors.
func (d devices) shares(all []arch.Tensor) (list specs) {
	for _, t := range all {
		list = append(list, d.share(t))
	}
	return list
}

// distributable is a graph.Exec or a model.Exec.
type distributable[E any] interface {
	AutoSharding(meshes ...*distributed.DeviceMesh) E
	WithInputShardingSpecs(specs ...*distributed.ShardingSpec) E
	WithOutputShardingSpecs(specs ...*distributed.ShardingSpec) E
}

// distribute has a graph computed on the devices of a mesh. The last spec is that of all further inputs, or outputs.
func distribute[E distributable[E]](mesh *distributed.DeviceMesh, exec E, in, out specs) {
	exec.AutoSharding(mesh).WithInputShardingSpecs(in...).WithOutputShardingSpecs(out...)
}

// arguments puts lists together to one: for each device, its part of each list.
func (d devices) arguments(lists ...[]any) []any {
	if d.n == 1 {
		return slices.Concat(lists...)
	}
	var all []any
	for i := range d.n {
		for _, list := range lists {
			per := len(list) / d.n
			all = append(all, list[i*per:(i+1)*per]...)
		}
	}
	return all
}

// copies is the values, for each device.
func (d devices) copies(values ...any) []any { return slices.Repeat(values, d.n) }

// part of a list: of each device's tensors those from first to before end.
func (d devices) part(list []*tensors.Tensor, first, end int) []*tensors.Tensor {
	if d.n == 1 {
		return list[first:end]
	}
	var all []*tensors.Tensor
	for device := range slices.Chunk(list, len(list)/d.n) {
		all = append(all, device[first:end]...)
	}
	return all
}

// held are the tensors, one on each device, that a variable's value is made of.
func (d devices) held(v *model.Variable) ([]*tensors.Tensor, error) {
	if d.mesh == nil {
		value, err := v.Value()
		return []*tensors.Tensor{value}, err
	}
	value, err := v.DistributedValue()
	if err != nil {
		return nil, err
	}
	return value.Shards(), nil
}

// spread puts the variables of a store onto the devices, and makes moments of 0 for the tensors that have none: they are
// the variables whose rows are divided.
func (d devices) spread(store *model.Store, trainable []arch.Tensor) error {
	if d.mesh == nil {
		return nil
	}
	for _, t := range trainable {
		for _, path := range momentsOf(t) {
			v := store.GetVariable(path)
			if v == nil {
				var err error
				if v, err = store.CreateVariable(path, tensors.FromShape(shapes.Make(dtypes.Float32, t.Dims...))); err != nil {
					return err
				}
				v.SetTrainable(false)
			}
			if err := d.put(v, d.share(t)); err != nil {
				return err
			}
		}
	}
	for v := range store.IterVariables() {
		if v.HasValue() && v.ShardingSpec() == nil {
			if err := d.put(v, d.everywhere()); err != nil {
				return err
			}
		}
	}
	return nil
}

// put moves the value of a variable onto the devices, so that the host has no copy left.
func (d devices) put(v *model.Variable, spec *distributed.ShardingSpec) error {
	value, err := v.Value()
	if err != nil {
		return err
	}
	divided, err := dtensor.ShardTensor(spec, value)
	if err != nil {
		return fmt.Errorf("%s: %w", v.Path(), err)
	}
	for i, shard := range divided.Shards() {
		if err := shard.ToDevice(d.backend, compute.DeviceNum(i)); err != nil {
			return fmt.Errorf("%s on device %d: %w", v.Path(), i, err)
		}
	}
	return v.SetDistributedValue(divided)
}

// gather takes the tensors' values from the devices, as of a store that has never been on several.
func (d devices) gather(store *model.Store, all []arch.Tensor) error {
	if d.mesh == nil {
		return nil
	}
	for _, t := range all {
		v := store.GetVariable(t.Path())
		divided, err := v.DistributedValue()
		if err != nil {
			return err
		}
		whole, err := v.Value()
		if err != nil {
			return err
		}
		if err := v.SetValuePreservingOld(whole); err != nil {
			return err
		}
		if err := divided.FinalizeAll(); err != nil {
			return err
		}
		if err := v.SetShardingSpec(nil); err != nil {
			return err
		}
	}
	return nil
}

// recall takes back the copy of the tensors that something computed on one device has left there.
func (d devices) recall(store *model.Store, all []arch.Tensor) error {
	if d.mesh == nil {
		return nil
	}
	for _, t := range all {
		whole, err := store.GetVariable(t.Path()).Value()
		if err != nil {
			return err
		}
		if err := whole.InvalidateOnDevice(); err != nil {
			return err
		}
	}
	return nil
}
