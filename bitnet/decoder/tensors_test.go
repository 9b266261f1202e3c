package decoder_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/bitdistill/bitdistill/bitnet/decoder"
	"github.com/bitdistill/bitdistill/internal/archtest"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"
)

// TestTensorsAreTheVariables compares the table with what a forward pass on an empty store creates.
func TestTensorsAreTheVariables(t *testing.T) {
	for name, cfg := range archtest.Variants() {
		for _, tied := range []bool{true, false} {
			cfg.TieEmbeddings = tied
			store := model.NewStore()
			run(t, store, func(scope *model.Scope, in []*graph.Node) []*graph.Node {
				return []*graph.Node{decoder.Forward(scope, cfg, decoder.Inputs{IDs: in[0]}, decoder.Options{}).Logits}
			}, randomIDs(cfg, 1, 3, 1))
			listed := map[string]bool{}
			for _, tensor := range cfg.Tensors() {
				if listed[tensor.Path()] {
					t.Errorf("%s: %s is listed twice", name, tensor.Name)
				}
				listed[tensor.Path()] = true
				if v := store.GetVariable(tensor.Path()); v == nil {
					t.Errorf("%s: Forward does not use %s", name, tensor.Name)
				} else if !slices.Equal(v.Shape().Dimensions, tensor.Dims) {
					t.Errorf("%s: %s has shape %v, the table says %v", name, tensor.Name, v.Shape(), tensor.Dims)
				}
			}
			for v := range store.IterVariables() {
				if !listed[v.Path()] && !strings.Contains(v.Path(), "#") { // GoMLX's own, for random numbers
					t.Errorf("%s: %s is not listed", name, v.Path())
				}
			}
		}
	}
}
