package files

import (
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/bitdistill/bitdistill/bitnet/arch"
	"github.com/bitdistill/bitdistill/internal/safetensors"
)

// TestOpenAndSave copies a folder weight by weight, and reads the copy again.
func TestOpenAndSave(t *testing.T) {
	m, weights, err := Open(stories)
	if err != nil {
		t.Fatal(err)
	}
	defer weights.Close()
	dir := t.TempDir()
	if err := m.Save(dir, func(tensor arch.Tensor, use func([]float32) error) error {
		values := make([]float32, tensor.Size())
		if err := weights.Read(tensor, values); err != nil {
			return err
		}
		return use(values)
	}); err != nil {
		t.Fatal(err)
	}
	again, copied, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer copied.Close()
	if !reflect.DeepEqual(again.Config, m.Config) || again.Tokenizer.Hash() != m.Tokenizer.Hash() {
		t.Errorf("%+v became %+v", m.Config, again.Config)
	}
	stored, err := safetensors.Open(stories + "/model.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	defer stored.Close()
	for _, tensor := range m.Config.Tensors() {
		want, err := stored.Float32s(tensor.Name)
		if err != nil {
			t.Fatal(err)
		}
		got := make([]float32, tensor.Size())
		if err := copied.Read(tensor, got); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: other values than in the original (%v)", tensor.Name, err)
		}
		width := tensor.Dims[len(tensor.Dims)-1]
		last := make([]float32, width)
		if err := copied.ReadRows(tensor, len(want)/width-1, last); err != nil || !slices.Equal(last, want[len(want)-width:]) {
			t.Errorf("%s: another last row than in the original (%v)", tensor.Name, err)
		}
		if err := copied.ReadRows(tensor, len(want)/width, last); err == nil {
			t.Errorf("%s: a row behind the last", tensor.Name)
		}
	}
	if err := weights.Read(m.Config.Tensors()[0], make([]float32, 3)); err == nil || !strings.Contains(err.Error(), "room for 3 values") {
		t.Errorf("got %v", err)
	}
}

// TestSaveRefusesWeights: nothing is written of a model whose weights are not right.
func TestSaveRefusesWeights(t *testing.T) {
	m, weights, err := Open(stories)
	if err != nil {
		t.Fatal(err)
	}
	weights.Close()
	for want, values := range map[string][]float32{"model.norm.weight: 3 values, want the 64": {1, 2, 3}, "model.norm.weight: value 63 is NaN": append(make([]float32, 63), float32(math.NaN()))} {
		dir := t.TempDir()
		err := m.Save(dir, func(tensor arch.Tensor, use func([]float32) error) error {
			if tensor.Name == "model.norm.weight" {
				return use(values)
			}
			return use(make([]float32, tensor.Size()))
		})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
		if _, _, err := Open(dir); err == nil {
			t.Error("a model was written")
		}
	}
}
