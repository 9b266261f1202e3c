package decoder_test

import (
	"strings"
	"testing"

	"github.com/bitdistill/bitdistill/bitnet"
	"github.com/bitdistill/bitdistill/bitnet/arch"
	"github.com/bitdistill/bitdistill/bitnet/decoder"
	"github.com/bitdistill/bitdistill/internal/archtest"
	"github.com/bitdistill/bitdistill/internal/backend/backendtest"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
)

// failure is the error of a forward pass.
func failure(t *testing.T, store *model.Store, cfg arch.Config, opts decoder.Options, inputs ...any) error {
	t.Helper()
	exec, err := model.NewExec(backendtest.Open(t), store, func(scope *model.Scope, in []*graph.Node) []*graph.Node {
		x := decoder.Inputs{IDs: in[0]}
		if len(in) > 1 {
			x.Mask = in[1]
		}
		if len(in) > 2 {
			x.Positions = in[2]
		}
		return []*graph.Node{decoder.Forward(scope, cfg, x, opts).Logits}
	})
	if err != nil {
		t.Fatal(err)
	}
	_, err = exec.Exec(inputs...)
	return err
}

// TestMisshapenWeights wants, for every tensor in turn, an error with its name and both shapes, and no panic.
func TestMisshapenWeights(t *testing.T) {
	for _, family := range arch.Families() {
		cfg := archtest.Tiny(family, bitnet.Ternary(bitnet.SubLNAll))
		for _, wrong := range cfg.Tensors() {
			store := randomWeights(cfg, 7).store(t, cfg)
			if err := store.DeleteVariable(wrong.Path()); err != nil {
				t.Fatal(err)
			}
			dims := append([]int{}, wrong.Dims...)
			dims[len(dims)-1]++
			value := tensors.FromScalarAndDimensions(float32(1), dims...)
			if _, err := store.CreateVariable(wrong.Path(), value); err != nil {
				t.Fatal(err)
			}
			err := failure(t, store, cfg, decoder.Options{}, randomIDs(cfg, 1, 3, 7))
			if err == nil || !strings.Contains(err.Error(), `"`+wrong.Path()+`"`) || !strings.Contains(err.Error(), "shape") {
				t.Errorf("%s: %v", wrong.Name, err)
			}
		}
	}
}

func TestTooLongSequence(t *testing.T) {
	cfg := archtest.Tiny(arch.Llama, bitnet.Full())
	store := randomWeights(cfg, 8).store(t, cfg)
	if err := failure(t, store, cfg, decoder.Options{}, randomIDs(cfg, 2, cfg.MaxPositions, 8)); err != nil {
		t.Errorf("the longest sequence: %v", err)
	}
	err := failure(t, store, cfg, decoder.Options{}, randomIDs(cfg, 2, cfg.MaxPositions+1, 8))
	if err == nil || !strings.Contains(err.Error(), "33 tokens") || !strings.Contains(err.Error(), "32 (max_position_embeddings)") {
		t.Errorf("got %v", err)
	}
}

// TestWrongInputs wants errors, not panics, for inputs that do not fit each other.
func TestWrongInputs(t *testing.T) {
	cfg := archtest.Tiny(arch.Llama, bitnet.Full())
	store := randomWeights(cfg, 9).store(t, cfg)
	good := randomIDs(cfg, 2, 4, 9)
	for what, inputs := range map[string][]any{
		"ids without a batch":    {good[0]},
		"a mask of other length": {good, [][]int32{{1, 1, 1}, {1, 1, 1}}},
		"a mask of other batch":  {good, [][]int32{{1, 1, 1, 1}}},
		"positions of no shape":  {good, [][]int32{{1, 1, 1, 1}, {1, 1, 1, 1}}, [][]int32{{0, 1, 2}}},
		"ids that are not whole": {[][]float32{{1, 2}}},
	} {
		if err := failure(t, store, cfg, decoder.Options{}, inputs...); err == nil {
			t.Errorf("%s: no error", what)
		}
	}
}

// TestUnknownQuantizer wants an error also from a config that was not validated.
func TestUnknownQuantizer(t *testing.T) {
	cfg := archtest.Tiny(arch.Llama, bitnet.Ternary(bitnet.SubLNNone))
	store := randomWeights(cfg, 10).store(t, cfg)
	cfg.Quantization.Weights = "int4"
	err := failure(t, store, cfg, decoder.Options{}, randomIDs(cfg, 1, 3, 10))
	if err == nil || !strings.Contains(err.Error(), `no quantizer named "int4"`) {
		t.Errorf("got %v", err)
	}
}
