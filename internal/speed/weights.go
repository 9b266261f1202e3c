package speed

import (
	"context"
	"encoding/binary"
	"hash/fnv"
	"math"
	"math/rand/v2"

	"github.com/bitdistill/bitdistill/bitnet/arch"
	"github.com/bitdistill/bitdistill/bitnet/gguf"
	"github.com/bitdistill/bitdistill/bitnet/hf/files"
	"github.com/bitdistill/bitdistill/bitnet/native"
	"github.com/bitdistill/bitdistill/bitnet/packed"
)

// rows fills dst with rows of a tensor from row first on. They depend on the tensor's name and the row alone, so that all files of a model
// have the same weights: linears of -D, 0 and D, each about as often, embeddings between -0.04 and 0.04, norms that change nothing, no biases.
func rows(c arch.Config) func(t arch.Tensor, first int, dst []float32) error {
	return func(t arch.Tensor, first int, dst []float32) error {
		width := t.Dims[len(t.Dims)-1]
		switch t.Kind {
		case arch.Bias:
			clear(dst)
		case arch.Norm:
			fill(dst, 1-float32(c.NormOffset()))
		case arch.SubLNorm:
			fill(dst, 1)
		case arch.Linear:
			d := linearScale(t)
			for i := 0; i < len(dst); i += width {
				random(t, first+i/width, dst[i:i+width], func(b byte) float32 { return float32(code(b)) * d })
			}
		default:
			for i := 0; i < len(dst); i += width {
				random(t, first+i/width, dst[i:i+width], func(b byte) float32 { return (float32(b) - 127.5) * (0.04 / 127.5) })
			}
		}
		return nil
	}
}

// code is -1, 0 or 1 of a random byte.
func code(b byte) int8 { return int8(uint16(b)*3>>8) - 1 }

// linearScale is D of a linear: a power of two, which half precision holds, near that of outputs as large as inputs.
func linearScale(t arch.Tensor) float32 {
	return float32(math.Exp2(math.Round(math.Log2(1 / math.Sqrt(float64(t.Dims[1])*2/3)))))
}

func random(t arch.Tensor, row int, dst []float32, value func(byte) float32) {
	name := fnv.New64a()
	name.Write([]byte(t.Name))
	rng := rand.NewPCG(name.Sum64(), uint64(row))
	var bytes [8]byte
	for i := range dst {
		if i%8 == 0 {
			binary.LittleEndian.PutUint64(bytes[:], rng.Uint64())
		}
		dst[i] = value(bytes[i%8])
	}
}

func fill(dst []float32, v float32) {
	for i := range dst {
		dst[i] = v
	}
}

// WriteModel writes a ternary model of one scale a matrix with random weights as a file of the project's own; see native.Create. Embedding
// and head have the type head.
func WriteModel(ctx context.Context, path string, c arch.Config, head gguf.Type) error {
	return native.Create(ctx, path, &files.Model{Config: c}, rows(c), native.Options{Name: "random weights", Embeddings: head, Pack: pack})
}

func pack(t arch.Tensor, weights []float32) (native.Matrix, error) {
	codes := make([]int8, len(weights))
	for i, w := range weights {
		switch {
		case w > 0:
			codes[i] = 1
		case w < 0:
			codes[i] = -1
		}
	}
	return packed.FromCodes(codes, t.Dims[0], t.Dims[1], packed.AbsMean, []float32{linearScale(t)})
}
