package speed

import (
	"context"
	"fmt"

	"github.com/bitdistill/bitdistill/bitnet/arch"
	"github.com/bitdistill/bitdistill/bitnet/gguf"
	"github.com/bitdistill/bitdistill/bitnet/hf/files"
)

// architectures are llama.cpp's names of the families whose files can be written.
var architectures = map[arch.Family]string{arch.Llama: "llama", arch.Qwen3: "qwen3"}

// WriteLlama writes the model as llama.cpp runs it: without SubLN, which its architectures do not have, and without a tokenizer. Its weights
// are those of [WriteModel], linears in the type kind; embedding and head are F16 with F16 and Q8_0 with all others. (Rows of queries and
// keys are in another order in a file of a real llama, which is nothing to random ones.)
func WriteLlama(ctx context.Context, path string, c arch.Config, kind gguf.Type) error {
	name, known := architectures[c.Family]
	if !known || c.RopeScaling != (arch.RopeScaling{}) {
		return fmt.Errorf("speed: no file for llama.cpp of a %s model, or of one with rope_scaling; llama and qwen3 can be written", c.Family)
	}
	c.Quantization = arch.Full()
	head := gguf.Q8_0
	if kind == gguf.F16 {
		head = gguf.F16
	}
	from := rows(c)
	var tensors []gguf.Tensor
	for _, t := range c.Tensors() {
		as := gguf.F32
		switch t.Kind {
		case arch.Linear:
			as = kind
		case arch.Embedding, arch.Head:
			as = head
		}
		tensors = append(tensors, gguf.FromRows(files.GGUFName(c.Family, t.Name), as, t.Dims, func(first int, dst []float32) error { return from(t, first, dst) }))
	}
	return gguf.Create(ctx, path, llamaMetadata(name, c), tensors)
}

func llamaMetadata(name string, c arch.Config) []gguf.KV {
	all := []gguf.KV{{Key: "general.architecture", Value: name}, {Key: "general.name", Value: "random weights"}}
	for _, e := range []struct {
		key   string
		value int
	}{
		{"vocab_size", c.VocabSize}, {"context_length", c.MaxPositions}, {"embedding_length", c.HiddenSize}, {"block_count", c.Layers},
		{"feed_forward_length", c.IntermediateSize}, {"attention.head_count", c.Heads}, {"attention.head_count_kv", c.KVHeads},
		{"attention.key_length", c.HeadDim}, {"attention.value_length", c.HeadDim}, {"rope.dimension_count", c.HeadDim},
	} {
		all = append(all, gguf.KV{Key: name + "." + e.key, Value: uint32(e.value)})
	}
	return append(all,
		gguf.KV{Key: name + ".attention.layer_norm_rms_epsilon", Value: float32(c.NormEps)},
		gguf.KV{Key: name + ".rope.freq_base", Value: float32(c.RopeTheta)},
		gguf.KV{Key: "tokenizer.ggml.model", Value: "none"}, // then vocab_size says how many tokens there are
	)
}
