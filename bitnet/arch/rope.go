package arch

import (
	"fmt"
	"math"
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

// Frequencies are those of the rotary embedding of a head's pairs of values i and i + HeadDim/2, in radians a token, of layers with a
// window or of the others: theta^(-2i/HeadDim) (Su et al. 2021), scaled, [HeadDim/2].
func (c Config) Frequencies(sliding bool) []float32 {
	theta, scaling := c.RopeTheta, c.RopeScaling
	if sliding {
		theta, scaling = c.LocalRopeTheta, RopeScaling{}
	}
	frequencies := make([]float32, c.HeadDim/2)
	for i := range frequencies {
		frequencies[i] = float32(scaling.Frequency(1 / math.Pow(theta, float64(2*i)/float64(c.HeadDim))))
	}
	return frequencies
}
