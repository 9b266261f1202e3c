package loss

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"
)

// Variant says how relations come from states.
type Variant string

const (
	// L2 normalises every vector of a relation head to length one (Algorithm 1, and the authors' code).
	L2 Variant = "l2"
	// Sqrt divides products by sqrt(d), with d the width of a relation head, and does not normalise (Eq. 12).
	Sqrt Variant = "sqrt"
	// Dot takes the products as they are, divided by the temperature alone.
	Dot Variant = "dot"
)

// Normalisation says what the sum over Q, K and V and the layers is divided by.
type Normalisation string

const (
	// Algorithm1 does not divide.
	Algorithm1 Normalisation = "algorithm1"
	// Reference divides by layers·split_heads once more, as the authors' code does. A gamma of 1e5 belongs to it.
	Reference Normalisation = "reference"
)

const (
	// maxSplitHeads is the number of relation heads of the paper's models.
	maxSplitHeads = 32
	// minHeadWidth is the least width of a relation head that [DefaultSplitHeads] leaves.
	minHeadWidth = 4
)

// Relations is attention-relation distillation. For each of the states Q, K and V of a layer the heads are laid side by
// side and cut anew into SplitHeads relation heads; in each, the relation of a sequence is the softmax over the rows of
// A·Aᵀ/temperature, with A [length, d] the vectors as [Variant] has them. The loss is the divergence
// KL(teacher || student) of the relations, averaged over rows (SplitHeads times tokens) and summed over states and
// layers. Probabilities below 1e-8 count as 1e-8.
//
// Padding is left out of rows and columns. There is no causal mask: every token is related to every other.
type Relations struct {
	SplitHeads    int           `json:"split_heads"`   // relation heads; divides the widths of Q and of K and V
	Variant       Variant       `json:"variant"`       // "l2", "sqrt" or "dot"
	Normalisation Normalisation `json:"normalisation"` // "reference" or "algorithm1"
	Temperature   float64       `json:"temperature"`   // divides the products, > 0; 1 in the paper
	Alpha         Alpha         `json:"alpha"`         // 1, 1, 1 in the paper
}

// Alpha are the weights of Q, K and V, >= 0.
type Alpha [3]float64

// UnmarshalJSON reads exactly three numbers; encoding/json would fill up and cut off in silence.
func (a *Alpha) UnmarshalJSON(raw []byte) error {
	var list []float64
	if err := json.Unmarshal(raw, &list); err != nil {
		return err
	}
	if len(list) != len(a) {
		return fmt.Errorf("alpha: %d weights, want %d, of Q, K and V", len(list), len(a))
	}
	*a = Alpha(list)
	return nil
}

// Validate returns all faults at once, each with the JSON name of its field.
func (r Relations) Validate() error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if r.SplitHeads < 1 {
		fault("split_heads: %d, want a positive number", r.SplitHeads)
	}
	if r.Variant != L2 && r.Variant != Sqrt && r.Variant != Dot {
		fault("variant: %q, want %q, %q or %q", r.Variant, L2, Sqrt, Dot)
	}
	if r.Normalisation != Algorithm1 && r.Normalisation != Reference {
		fault("normalisation: %q, want %q or %q", r.Normalisation, Reference, Algorithm1)
	}
	if !(r.Temperature > 0) || math.IsInf(r.Temperature, 1) {
		fault("temperature: %g, want a positive number", r.Temperature)
	}
	for i, a := range r.Alpha {
		if !(a >= 0) || math.IsInf(a, 1) {
			fault("alpha: weight %g of %c, want a number that is not negative", a, "QKV"[i])
		}
	}
	if r.Alpha == (Alpha{}) {
		fault("alpha: all weights are zero; set gamma to 0 to leave the relations out")
	}
	return errors.Join(faults...)
}

// DefaultSplitHeads is the largest number of relation heads, at most the paper's 32, that divides a width and leaves at
// least 4 dimensions a head: on one dimension a normalised vector is only ±1. Give it the width of K and V
// (key/value heads times head width); what divides that divides the width of Q too. It is at least 1.
func DefaultSplitHeads(width int) int {
	for split := min(maxSplitHeads, width/minHeadWidth); split > 1; split-- {
		if width%split == 0 {
			return split
		}
	}
	return 1
}

// CheckSplit returns an error if states of these widths (heads times head width) cannot be cut into so many relation
// heads.
func CheckSplit(splitHeads, qWidth, kvWidth int) error {
	if splitHeads < 1 || qWidth%splitHeads != 0 || kvWidth%splitHeads != 0 {
		return fmt.Errorf("split_heads: %d does not divide the width %d of queries and %d of keys and values; try %d",
			splitHeads, qWidth, kvWidth, DefaultSplitHeads(kvWidth))
	}
	return nil
}

// State holds what one layer's attention is made of, each [batch, length, heads·headDim] float32 with the heads side by
// side: Q and K after their norms and the rotary embedding, V as projected, K and V not repeated for grouped queries.
type State struct{ Q, K, V *graph.Node }

// Loss is the sum of the rows' divergences divided by SplitHeads·tokens, summed over the layers and, weighted with
// Alpha, over Q, K and V, and divided as Normalisation says.
//
//   - student, teacher: the states of the distilled layers, pairwise; the widths of the two models may differ
//   - mask: [batch, length], bool or numbers, 1 for a token and 0 for padding
//   - tokens: scalar float32, the tokens of the whole batch, padding not counted
func (r Relations) Loss(student, teacher []State, mask, tokens *graph.Node) *graph.Node {
	check(len(student) > 0 && len(student) == len(teacher), "relations of %d student and %d teacher layers, want the same number, at least 1",
		len(student), len(teacher))
	mask = graph.StopGradient(graph.ConvertDType(mask, dtypes.Float32))
	var sum *graph.Node
	for i := range student {
		s, t := student[i], teacher[i]
		for part, pair := range [3][2]*graph.Node{{s.Q, t.Q}, {s.K, t.K}, {s.V, t.V}} {
			if r.Alpha[part] == 0 {
				continue
			}
			term := graph.MulScalar(r.divergence(pair[0], graph.StopGradient(pair[1]), mask), r.Alpha[part])
			if sum == nil {
				sum = term
			} else {
				sum = graph.Add(sum, term)
			}
		}
	}
	check(sum != nil, "all weights of Q, K and V are zero")
	if r.Normalisation == Reference {
		sum = graph.MulScalar(sum, 1/float64(len(student)*r.SplitHeads))
	}
	return graph.Div(sum, graph.MulScalar(denominator(tokens), float64(r.SplitHeads)))
}
