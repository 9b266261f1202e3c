package distill

import (
	"errors"
	"testing"
)

// A run from the first blocks of a model plans for these, and for no more than there are.
func TestLayers(t *testing.T) {
	plan := func(layers int) (*Plan, error) {
		cfg, err := Preset(DefaultPreset)
		if err != nil {
			t.Fatal(err)
		}
		cfg.Layers, cfg.Teacher = layers, ""
		return NewPlan(t.Context(), cfg, nil)
	}
	all, err := plan(0)
	if err != nil {
		t.Fatal(err)
	}
	two, err := plan(2)
	if err != nil {
		t.Fatal(err)
	}
	three, err := plan(3)
	if err != nil {
		t.Fatal(err)
	}
	if two.Parameters.Embeddings != all.Parameters.Embeddings {
		t.Errorf("embeddings %d, want %d", two.Parameters.Embeddings, all.Parameters.Embeddings)
	}
	if two.Parameters.Linears*3 != three.Parameters.Linears*2 || three.Parameters.Linears >= all.Parameters.Linears {
		t.Errorf("linears: %d with two blocks, %d with three, %d with all", two.Parameters.Linears, three.Parameters.Linears, all.Parameters.Linears)
	}
	if _, err := plan(1000); !errors.Is(err, ErrInput) {
		t.Errorf("a thousand blocks: %v", err)
	}
}
