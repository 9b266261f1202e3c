package decoder

import (
	"fmt"
	"math"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
)

// RopeScaling changes the frequencies of the rotary embedding, so that a model reaches further than it was first trained for. The
// zero value changes nothing.
type RopeScaling struct {
	Type   RopeType
	Factor float64 // frequencies are divided by it; for RopeLlama3 the low ones alone
	// RopeLlama3: wavelengths above OriginalPositions/LowFreqFactor are low, those below OriginalPositions/HighFreqFactor stay as they
	// are, and between them the frequency is interpolated.
	LowFreqFactor, HighFreqFactor float64
	OriginalPositions             int
}

// RopeType is rope_type of a config.json.
type RopeType string

// The kinds of scaling.
const (
	RopeDefault RopeType = ""       // "default" in files
	RopeLinear  RopeType = "linear" // position interpolation (Chen et al. 2023)
	RopeLlama3  RopeType = "llama3" // Llama 3.1 (Grattafiori et al. 2024)
)

// Validate names the first field that is wrong as config.json does.
func (s RopeScaling) Validate() error {
	if s.Type == RopeDefault {
		if s != (RopeScaling{}) {
			return fmt.Errorf("rope_scaling: factors without a rope_type")
		}
		return nil
	}
	if !finitePositive(s.Factor) {
		return fmt.Errorf("rope_scaling: factor: %g, want a positive number", s.Factor)
	}
	switch s.Type {
	case RopeLinear:
		if s != (RopeScaling{Type: RopeLinear, Factor: s.Factor}) {
			return fmt.Errorf("rope_scaling: rope_type linear has a factor alone")
		}
	case RopeLlama3:
		if !finitePositive(s.LowFreqFactor) || !finitePositive(s.HighFreqFactor) || s.LowFreqFactor >= s.HighFreqFactor {
			return fmt.Errorf("rope_scaling: low_freq_factor %g and high_freq_factor %g, want positive numbers, the first below the second",
				s.LowFreqFactor, s.HighFreqFactor)
		}
		if s.OriginalPositions < 1 || s.OriginalPositions > math.MaxInt32 {
			return fmt.Errorf("rope_scaling: original_max_position_embeddings: %d, want a positive number", s.OriginalPositions)
		}
	default:
		return fmt.Errorf("rope_scaling: rope_type %q is not supported; supported are default, linear, llama3", s.Type)
	}
	return nil
}

// Frequency scales the frequency of a pair of values, in radians a token.
func (s RopeScaling) Frequency(f float64) float64 {
	switch s.Type {
	case RopeLinear:
		return f / s.Factor
	case RopeLlama3:
		turns := float64(s.OriginalPositions) * f / (2 * math.Pi) // wavelengths in the original length
		keep := (turns - s.LowFreqFactor) / (s.HighFreqFactor - s.LowFreqFactor)
		keep = max(0, min(1, keep))
		return keep*f + (1-keep)*f/s.Factor
	}
	return f
}

// rotary holds the cosines and sines of the rotary position embedding, by number of heads.
type rotary struct {
	cos, sin map[int]*Node // [batch, length, heads, headDim/2]
}

// newRotary computes the angles position / theta^(2i/headDim) (Su et al. 2021). They are spread over the heads here, once for
// all layers.
func (f *forward) newRotary(theta float64, scaling RopeScaling) rotary {
	half := f.HeadDim / 2
	frequencies := make([]float32, half)
	for i := range frequencies {
		frequencies[i] = float32(scaling.Frequency(1 / math.Pow(theta, float64(2*i)/float64(f.HeadDim))))
	}
	positions := f.in.Positions
	switch {
	case positions != nil:
	case f.in.Cache != nil:
		positions = f.in.Cache.At
	default:
		positions = graph.Iota(f.g, shapes.Make(dtypes.Int32, 1, f.length), 1)
	}
	p := graph.ConvertDType(graph.Reshape(positions, -1, f.length, 1), dtypes.Float32)
	angle := graph.InsertAxes(graph.Mul(p, graph.Reshape(graph.Const(f.g, frequencies), 1, 1, half)), 2)
	r := rotary{cos: map[int]*Node{}, sin: map[int]*Node{}}
	for _, heads := range []int{f.Heads, f.KVHeads} {
		r.cos[heads] = graph.BroadcastToDims(graph.Cos(angle), f.batch, f.length, heads, half)
		r.sin[heads] = graph.BroadcastToDims(graph.Sin(angle), f.batch, f.length, heads, half)
	}
	return r
}

// rotate turns x [batch, length, heads, headDim] by its position, pairing the value i with i + headDim/2 as Hugging Face
// files do.
func (r rotary) rotate(x *Node) *Node {
	heads, dim := x.Shape().Dimensions[2], x.Shape().Dimensions[3]
	cos, sin := r.cos[heads], r.sin[heads]
	all := graph.AxisRange()
	a := graph.Slice(x, all, all, all, graph.AxisRange(0, dim/2))
	b := graph.Slice(x, all, all, all, graph.AxisRange(dim/2, dim))
	return graph.Concatenate([]*Node{
		graph.Sub(graph.Mul(a, cos), graph.Mul(b, sin)),
		graph.Add(graph.Mul(b, cos), graph.Mul(a, sin)),
	}, -1)
}
