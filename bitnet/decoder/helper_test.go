package decoder_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/bitdistill/bitdistill/bitnet/arch"
	"github.com/bitdistill/bitdistill/internal/backend/backendtest"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
)

// graphFn builds a graph from a store's variables and inputs.
type graphFn = func(scope *model.Scope, in []*graph.Node) []*graph.Node

// run builds and executes a graph: the values of each output, flat.
func run(t testing.TB, store *model.Store, fn graphFn, inputs ...any) [][]float32 {
	t.Helper()
	return executor(t, store, fn)(inputs...)
}

// executor is run for several inputs of the same shapes.
func executor(t testing.TB, store *model.Store, fn graphFn) func(inputs ...any) [][]float32 {
	t.Helper()
	exec, err := model.NewExec(backendtest.Open(t), store, fn)
	if err != nil {
		t.Fatal(err)
	}
	return func(inputs ...any) [][]float32 {
		t.Helper()
		outs, err := exec.Exec(inputs...)
		if err != nil {
			t.Fatal(err)
		}
		all := make([][]float32, len(outs))
		for i, o := range outs {
			all[i] = flat(t, o)
		}
		return all
	}
}

func flat(t testing.TB, x *tensors.Tensor) []float32 {
	t.Helper()
	values, err := tensors.CopyFlatData[float32](x)
	if err != nil {
		t.Fatal(err)
	}
	return values
}

// weights of a model by Hugging Face name.
type weights map[string][]float64

// randomWeights are big enough that every part of the model matters; all are float32 numbers.
func randomWeights(cfg arch.Config, seed uint64) weights {
	rng := rand.New(rand.NewPCG(seed, 1))
	w := weights{}
	for _, tensor := range cfg.Tensors() {
		mean, std := 0.0, 0.5 // embedding and head
		switch tensor.Kind {
		case arch.Linear:
			std = 1.3 / math.Sqrt(float64(tensor.Dims[1]))
		case arch.Norm:
			mean, std = 1-cfg.NormOffset(), 0.25
		case arch.SubLNorm:
			mean, std = 1, 0.25
		}
		values := make([]float64, tensor.Size())
		for i := range values {
			values[i] = float64(float32(mean + std*rng.NormFloat64()))
		}
		w[tensor.Name] = values
	}
	return w
}

// store holds the weights as variables.
func (w weights) store(t testing.TB, cfg arch.Config) *model.Store {
	t.Helper()
	s := model.NewStore()
	for _, tensor := range cfg.Tensors() {
		value := tensors.FromFlatDataAndDimensions(float32s(w[tensor.Name]), tensor.Dims...)
		if _, err := s.CreateVariable(tensor.Path(), value); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func float32s(values []float64) []float32 {
	out := make([]float32, len(values))
	for i, v := range values {
		out[i] = float32(v)
	}
	return out
}

// randomIDs are sequences of one length.
func randomIDs(cfg arch.Config, batch, length int, seed uint64) [][]int32 {
	rng := rand.New(rand.NewPCG(seed, 2))
	ids := make([][]int32, batch)
	for b := range ids {
		ids[b] = make([]int32, length)
		for i := range ids[b] {
			ids[b][i] = rng.Int32N(int32(cfg.VocabSize))
		}
	}
	return ids
}

// rows of the given width in a flat tensor.
func rows(values []float32, width int) [][]float32 {
	var out [][]float32
	for i := 0; i < len(values); i += width {
		out = append(out, values[i:i+width])
	}
	return out
}

// argmax is the index of the largest value.
func argmax(values []float32) int32 {
	best := 0
	for i, v := range values {
		if v > values[best] {
			best = i
		}
	}
	return int32(best)
}
