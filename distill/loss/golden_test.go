package loss_test

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/bitdistill/bitdistill/distill/loss"
	"github.com/bitdistill/bitdistill/internal/golden"
	"github.com/bitdistill/bitdistill/internal/safetensors"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

const (
	valueTolerance    = 1e-5 // relative
	gradientTolerance = 1e-6 // of the tensor's largest magnitude
)

// goldenCase is what losses.json says of a case.
type goldenCase struct {
	Value  float64 `json:"value"`
	Tokens int     `json:"tokens"` // counted targets, of cross entropy only
}

// goldenFile is losses.safetensors with the cases of losses.json: values that PyTorch computed in float64.
type goldenFile struct {
	*safetensors.File
	cases map[string]goldenCase
}

func openGolden(t *testing.T) goldenFile {
	t.Helper()
	var report struct {
		Cases map[string]goldenCase `json:"cases"`
	}
	golden.JSON(t, &report, "losses.json")
	return goldenFile{golden.Open(t, "losses.safetensors"), report.Cases}
}

// names are the cases of a term, which must not be empty.
func (g goldenFile) names(t *testing.T, prefix string) []string {
	t.Helper()
	var names []string
	for name := range g.cases {
		if strings.HasPrefix(name, prefix) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		t.Fatalf("losses.json has no case %s…", prefix)
	}
	slices.Sort(names)
	return names
}

func (g goldenFile) dims(t *testing.T, name string) []int {
	t.Helper()
	info, ok := g.Info(name)
	if !ok {
		t.Fatalf("no tensor %s", name)
	}
	return info.Shape
}

func (g goldenFile) floats(t *testing.T, name string) []float32 {
	t.Helper()
	values, err := g.Float32s(name)
	if err != nil {
		t.Fatal(err)
	}
	return values
}

func (g goldenFile) ints(t *testing.T, name string) []int {
	t.Helper()
	values, err := g.Ints(name)
	if err != nil {
		t.Fatal(err)
	}
	return values
}

func (g goldenFile) tensor(t *testing.T, name string) *tensors.Tensor {
	t.Helper()
	return tensors.FromFlatDataAndDimensions(g.floats(t, name), g.dims(t, name)...)
}

// flags is a mask of integers as a tensor, with the number of its ones.
func (g goldenFile) flags(t *testing.T, name string) (*tensors.Tensor, int) {
	t.Helper()
	values, n := g.ints(t, name), 0
	for _, v := range values {
		n += v
	}
	return filled(func(i int) int32 { return int32(values[i]) }, g.dims(t, name)...), n
}

func TestGoldenCrossEntropy(t *testing.T) {
	g := openGolden(t)
	for _, name := range g.names(t, "ce.") {
		labels := name + ".labels"
		if _, ok := g.Info(labels); !ok {
			labels = "ld.labels"
		}
		targets, count := nextTokens(g.ints(t, labels), g.dims(t, labels))
		if want := g.cases[name].Tokens; count != want {
			t.Errorf("%s: %d counted tokens, want %d", name, count, want)
		}
		value, gradients := evaluate(t, func(x []*graph.Node) *graph.Node { return loss.CrossEntropy(x[0], x[1], x[2]) }, 1,
			g.tensor(t, "ld.student"), targets, scalar(float64(count)))
		near(t, name, value, g.cases[name].Value, valueTolerance)
		nearAll(t, name+".dstudent", gradients[0], g.floats(t, name+".dstudent"), gradientTolerance)
	}
}

// nextTokens shifts labels [batch, length]: position t predicts labels[t+1], the last one nothing.
func nextTokens(labels, dims []int) (*tensors.Tensor, int) {
	count, length := 0, dims[1]
	return filled(func(i int) int32 {
		if i%length == length-1 || labels[i+1] == loss.Ignored {
			return loss.Ignored
		}
		count++
		return int32(labels[i+1])
	}, dims...), count
}

func TestGoldenLogits(t *testing.T) {
	g := openGolden(t)
	for _, name := range g.names(t, "ld.") {
		var l loss.Logits
		parts := strings.Split(name, ".")
		if _, err := fmt.Sscanf(parts[2], "tau%g", &l.Tau); err != nil || len(parts) != 4 {
			t.Fatalf("cannot read the case %s", name)
		}
		l.TauSquared = parts[3] == "tau2"
		if err := l.Validate(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		dims := g.dims(t, "ld.mask")
		keep, count := filled(func(int) int32 { return 1 }, dims...), dims[0]*dims[1]
		switch parts[1] {
		case "all_nonpad":
			keep, count = g.flags(t, "ld.mask")
		case "answer_only":
			keep, count = g.flags(t, "ld.answer_positions")
		case "no_mask":
		default:
			t.Fatalf("cannot read the case %s", name)
		}
		value, gradients := evaluate(t, func(x []*graph.Node) *graph.Node { return l.Loss(x[0], x[1], x[2], x[3]) }, 1,
			g.tensor(t, "ld.student"), g.tensor(t, "ld.teacher"), keep, scalar(float64(count)))
		near(t, name, value, g.cases[name].Value, valueTolerance)
		nearAll(t, name+".dstudent", gradients[0], g.floats(t, name+".dstudent"), gradientTolerance)
	}
}

var relationCase = regexp.MustCompile(`^ad\.(zero_padding_rows\.)?(l2|sqrt)\.(reference|algorithm1)\.split(\d+)\.(nomask|masked)\.layers?(\d+)$`)

func TestGoldenRelations(t *testing.T) {
	g := openGolden(t)
	gradients := 0
	for _, name := range g.names(t, "ad.") {
		m := relationCase.FindStringSubmatch(name)
		if m == nil {
			t.Fatalf("cannot read the case %s", name)
		}
		split, _ := strconv.Atoi(m[4])
		r := loss.Relations{SplitHeads: split, Variant: loss.Variant(m[2]), Normalisation: loss.Normalisation(m[3]),
			Temperature: 1, Alpha: [3]float64{1, 1, 1}}
		if err := r.Validate(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		gradients += g.relations(t, name, r, m[1] != "", m[5] == "masked", m[6])
	}
	if gradients == 0 {
		t.Error("no gradient was compared")
	}
}

// relations checks one case; layers are digits. It returns the number of gradients it compared.
func (g goldenFile) relations(t *testing.T, name string, r loss.Relations, zeroPadding, masked bool, layers string) int {
	t.Helper()
	dims := g.dims(t, "ad.mask")
	mask, tokens := ones(dims...), dims[0]*dims[1]
	if masked {
		mask, tokens = g.flags(t, "ad.mask")
	}
	var inputs []*tensors.Tensor
	var names []string // of the gradients of the student's states
	for _, who := range []string{"student", "teacher"} {
		for _, layer := range layers {
			for _, part := range "qkv" {
				state := g.sideBySide(t, fmt.Sprintf("ad.%s.layer%c.%c", who, layer, part))
				if zeroPadding {
					state = withoutPadding(state, g.ints(t, "ad.mask"))
				}
				inputs = append(inputs, state)
				names = append(names, fmt.Sprintf("%s.d%c.layer%c", name, part, layer))
			}
		}
	}
	wrt := 3 * len(layers)
	value, got := evaluate(t, func(x []*graph.Node) *graph.Node {
		return r.Loss(states(x[:wrt]), states(x[wrt:2*wrt]), x[2*wrt], x[2*wrt+1])
	}, wrt, append(inputs, mask, scalar(float64(tokens)))...)
	near(t, name, value, g.cases[name].Value, valueTolerance)
	compared := 0
	for i, want := range names[:wrt] {
		if zeroPadding {
			want = "ad.zero_padding_rows.d" + string("qkv"[i])
		}
		if _, ok := g.Info(want); ok {
			nearAll(t, want, got[i], floats(g.sideBySide(t, want)), gradientTolerance)
			compared++
		}
	}
	return compared
}

// sideBySide reads a tensor [batch, heads, length, headDim] as [batch, length, heads·headDim].
func (g goldenFile) sideBySide(t *testing.T, name string) *tensors.Tensor {
	t.Helper()
	values, dims := g.floats(t, name), g.dims(t, name)
	batch, heads, length, width := dims[0], dims[1], dims[2], dims[3]
	return filled(func(i int) float32 {
		d, h, l, b := i%width, i/width%heads, i/width/heads%length, i/width/heads/length
		return values[((b*heads+h)*length+l)*width+d]
	}, batch, length, heads*width)
}

// withoutPadding sets the padded rows of a state to zero.
func withoutPadding(state *tensors.Tensor, mask []int) *tensors.Tensor {
	values, dims := floats(state), state.Shape().Dimensions
	return filled(func(i int) float32 { return values[i] * float32(mask[i/dims[2]]) }, dims...)
}

// states groups Q, K and V of the layers.
func states(x []*graph.Node) []loss.State {
	var out []loss.State
	for ; len(x) >= 3; x = x[3:] {
		out = append(out, loss.State{Q: x[0], K: x[1], V: x[2]})
	}
	return out
}
