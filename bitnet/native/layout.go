package native

import (
	"fmt"
	"slices"
	"strings"

	"github.com/bitdistill/bitdistill/bitnet/arch"
	"github.com/bitdistill/bitdistill/bitnet/gguf"
)

const (
	// Architecture is what general.architecture says: other programs refuse the file by it.
	Architecture = "bitdistill"
	// Version is that of the format.
	Version = 1
	// Alignment of all tensors' data, that of a cache line and of the widest register.
	Alignment = 64
)

// Keys of the metadata.
const (
	keyArchitecture = "general.architecture"
	keyName         = "general.name"
	keyAlignment    = "general.alignment"
	keyVersion      = "bitdistill.format_version"
	keyTask         = "bitdistill.task"
	keyProvenance   = "bitdistill.provenance"
	prefixFile      = "bitdistill.file." // and the name of a file of the model's folder
)

// Types of tensors in full precision, first the one to take where nothing else is wanted.
var (
	embeddingTypes = []gguf.Type{gguf.Q8_0, gguf.F32, gguf.F16, gguf.Q4_0}
	linearTypes    = []gguf.Type{gguf.F32, gguf.F16, gguf.BF16, gguf.Q8_0, gguf.Q4_0}
)

const (
	panelRows   = 64
	groupWidth  = 4  // columns
	groupBytes  = 64 // of a panel's rows in so many columns
	scaleSuffix = ".scales"
)

// panelShape is that of the bytes of a matrix [out, in].
func panelShape(out, in int) []int {
	return []int{(out + panelRows - 1) / panelRows, (in + groupWidth - 1) / groupWidth, groupBytes}
}

// scalesName is the tensor of a linear's scales.
func scalesName(t arch.Tensor) string { return strings.TrimSuffix(t.Name, ".weight") + scaleSuffix }

// piece is a tensor of the file.
type piece struct {
	name   string
	shape  []int
	types  []gguf.Type // that it may have
	tensor arch.Tensor // whose it is
	packed bool        // panels of a ternary linear
	scales bool        // of it
}

// pieces lists the tensors of a model in the order of the file.
func pieces(c arch.Config) []piece {
	var all []piece
	for _, t := range c.Tensors() {
		p := piece{name: t.Name, shape: t.Dims, types: []gguf.Type{gguf.F32}, tensor: t}
		switch {
		case t.Kind == arch.Embedding || t.Kind == arch.Head:
			p.types = embeddingTypes
		case t.Kind == arch.Linear && c.Quantization.IsTernary():
			out, in := t.Dims[0], t.Dims[1]
			p.shape, p.types, p.packed = panelShape(out, in), []gguf.Type{gguf.I8}, true
			scales := piece{name: scalesName(t), shape: []int{c.Quantization.Scales(out, in)}, types: []gguf.Type{gguf.F32}, tensor: t, scales: true}
			all = append(all, p, scales)
			continue
		case t.Kind == arch.Linear:
			p.types = linearTypes
		}
		all = append(all, p)
	}
	return all
}

// allow refuses a type that a piece cannot have.
func (p piece) allow(t gguf.Type) error {
	if slices.Contains(p.types, t) {
		return nil
	}
	var names []string
	for _, t := range p.types {
		names = append(names, t.String())
	}
	return fmt.Errorf("%s: type %s, want %s", p.name, t, strings.Join(names, " or "))
}
