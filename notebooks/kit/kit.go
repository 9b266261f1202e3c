package kit

import (
	"errors"
	"fmt"
	"os"

	"github.com/bitdistill/bitdistill/bitnet/hf"
	"github.com/bitdistill/bitdistill/distill"
	"github.com/bitdistill/bitdistill/plots"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/janpfeifer/gonb/gonbui"
)

// Check ends the program of the cell with a message if there is an error.
func Check(err error) {
	switch {
	case err == nil:
	case errors.Is(err, distill.ErrInterrupted):
		fmt.Fprintln(os.Stderr, "stopped; run the cell again to go on from the checkpoint")
		os.Exit(130) // as after SIGINT in a shell
	default:
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// Must is a value that comes with an error, which ends the program of the cell.
func Must[T any](value T, err error) T {
	Check(err)
	return value
}

// Floats are the values of a tensor, float32, row after row.
func Floats(t *tensors.Tensor) ([]float32, error) { return tensors.CopyFlatData[float32](t) }

// Weight is the values of a model's tensor by its name, such as "model.layers.0.self_attn.q_proj.weight".
func Weight(m *hf.Model, name string) ([]float32, error) {
	for _, t := range m.Config.Tensors() {
		if t.Name != name {
			continue
		}
		value, err := m.Store.GetVariable(t.Path()).Value()
		if err != nil {
			return nil, err
		}
		return Floats(value)
	}
	return nil, fmt.Errorf("the model has no tensor %q", name)
}

// Table shows a table below the cell, and prints it where there is no notebook.
func Table(caption string, header []string, rows [][]string) error {
	if !gonbui.IsNotebook {
		fmt.Println(caption, header, rows)
		return nil
	}
	gonbui.DisplayHTML(string(plots.Table(caption, header, rows)))
	gonbui.Sync()
	return gonbui.Error()
}
