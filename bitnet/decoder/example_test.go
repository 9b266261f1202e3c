package decoder_test

import (
	"fmt"

	"github.com/bitdistill/bitdistill/bitnet"
	"github.com/bitdistill/bitdistill/bitnet/arch"
	"github.com/bitdistill/bitdistill/bitnet/decoder"
	"github.com/bitdistill/bitdistill/bitnet/hf"
	"github.com/gomlx/compute/gobackend"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
)

// The most likely token after a prompt: only the logits of the last position are computed.
func ExampleForward() {
	m, err := hf.Load("../../distill/embedded/model")
	if err != nil {
		fmt.Println(err)
		return
	}
	backend, err := gobackend.New("ops_sequential")
	if err != nil {
		fmt.Println(err)
		return
	}
	exec, err := model.NewExec(backend, m.Store, func(scope *model.Scope, ids, last *graph.Node) *graph.Node {
		out := decoder.Forward(scope, m.Config, decoder.Inputs{IDs: ids}, decoder.Options{At: last})
		return graph.ArgMax(out.Logits, -1) // [1, 1]
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	bos, _ := m.Tokenizer.BOS()
	ids := append([]int32{bos}, m.Tokenizer.Encode("Once upon a")...)
	out, err := exec.Exec([][]int32{ids}, [][]int32{{int32(len(ids) - 1)}})
	if err != nil {
		fmt.Println(err)
		return
	}
	next, err := tensors.CopyFlatData[int32](out[0])
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%q\n", m.Tokenizer.Decode(append(ids, next...)))
	// Output: "Once upon a time"
}

// The table of tensors says what a student has that its teacher lacks.
func ExampleConfig_Tensors() {
	c := arch.Config{
		Family: arch.Llama, VocabSize: 512, HiddenSize: 64, IntermediateSize: 172, Layers: 1, Heads: 8, KVHeads: 4, HeadDim: 8,
		MaxPositions: 512, NormEps: 1e-5, RopeTheta: 10_000, TieEmbeddings: true, Quantization: bitnet.Ternary(bitnet.SubLNOutput),
	}
	if err := c.Validate(); err != nil {
		fmt.Println(err)
		return
	}
	for _, t := range c.Tensors() {
		if t.Kind == arch.SubLNorm {
			fmt.Println(t.Name, t.Dims)
		}
	}
	fmt.Println(c.Parameters(arch.Linear), "ternary weights of", c.Parameters())
	// Output:
	// model.layers.0.self_attn.o_proj.norm.weight [64]
	// model.layers.0.mlp.down_proj.norm.weight [172]
	// 45312 ternary weights of 78508
}
