package loss_test

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/bitdistill/bitdistill/distill/loss"
	"github.com/bitdistill/bitdistill/internal/backend/backendtest"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

// terms are all ways to compute a term. Inputs are of one kind, [batch, length, 8]: logits or, as Q, K and V at once,
// states; which is [batch, length], 1 where a position counts, and count their number in the whole batch.
var terms = map[string]func(student, teacher, which, count *graph.Node) *graph.Node{
	"cross entropy": func(s, _, which, count *graph.Node) *graph.Node {
		ignored := graph.Scalar(s.Graph(), which.DType(), loss.Ignored)
		three := graph.Scalar(s.Graph(), which.DType(), 3)
		return loss.CrossEntropy(s, graph.Where(graph.GreaterThan(which, graph.ZerosLike(which)), three, ignored), count)
	},
	"logits":         loss.Logits{Tau: 5, TauSquared: true}.Loss,
	"relations l2":   relationsOf(loss.L2),
	"relations sqrt": relationsOf(loss.Sqrt),
}

func relationsOf(v loss.Variant) func(s, t, which, count *graph.Node) *graph.Node {
	r := loss.Relations{SplitHeads: 2, Variant: v, Normalisation: loss.Reference, Temperature: 1, Alpha: [3]float64{1, 1, 1}}
	return func(s, t, which, count *graph.Node) *graph.Node {
		return r.Loss([]loss.State{{Q: s, K: s, V: s}}, []loss.State{{Q: t, K: t, V: t}}, which, count)
	}
}

// term evaluates one of them with the gradients of student and teacher.
func term(t *testing.T, name string, student, teacher, which *tensors.Tensor, count float64) (float64, [][]float32) {
	t.Helper()
	return evaluate(t, func(x []*graph.Node) *graph.Node { return terms[name](x[0], x[1], x[2], x[3]) }, 2,
		student, teacher, which, scalar(count))
}

// lengths is the mask of right-padded sequences.
func lengths(length int, of ...int) *tensors.Tensor {
	return filled(func(i int) int32 {
		if i%length < of[i/length] {
			return 1
		}
		return 0
	}, len(of), length)
}

// part is rows [from, to) of x cut or filled up to length positions; what is filled up is far out of range.
func part(x *tensors.Tensor, from, to, length int) *tensors.Tensor {
	values, dims := floats(x), x.Shape().Dimensions
	return filled(func(i int) float32 {
		d, l, b := i%dims[2], i/dims[2]%length, i/dims[2]/length
		if l >= dims[1] {
			return 1000 + float32(i)
		}
		return values[((from+b)*dims[1]+l)*dims[2]+d]
	}, to-from, length, dims[2])
}

func TestIdenticalModelsHaveNoLoss(t *testing.T) {
	x := random(rand.New(rand.NewPCG(1, 1)), 2, 6, 8)
	for name := range terms {
		if name == "cross entropy" {
			continue
		}
		value, gradients := term(t, name, x, x, lengths(6, 6, 4), 10)
		if math.Abs(value) > 1e-7 || sumAbs(gradients[0]) > 1e-6 {
			t.Errorf("%s: value %g, gradient %g, want zeros", name, value, gradients[0])
		}
	}
}

func TestPaddingChangesNothing(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	s, q := random(rng, 2, 5, 8), random(rng, 2, 5, 8)
	for name := range terms {
		want, gradient := term(t, name, s, q, lengths(5, 5, 3), 8)
		padded := func(x *tensors.Tensor) *tensors.Tensor { return part(x, 0, 2, 9) }
		got, gradients := term(t, name, padded(s), padded(q), lengths(9, 5, 3), 8)
		near(t, name, got, want, 1e-6)
		long := tensors.FromFlatDataAndDimensions(gradients[0], 2, 9, 8)
		nearAll(t, name+": gradient", floats(part(long, 0, 2, 5)), gradient[0], 1e-6)
		if all := sumAbs(gradients[0]); math.Abs(all-sumAbs(gradient[0])) > 1e-5*all {
			t.Errorf("%s: padding has a gradient", name)
		}
		for i, g := range gradients[0] {
			if l := i / 8 % 9; l >= 5 && g != 0 {
				t.Fatalf("%s: gradient %g at padding, want 0", name, g)
			}
		}
	}
}

func sumAbs(values []float32) (s float64) {
	for _, v := range values {
		s += math.Abs(float64(v))
	}
	return s
}

func TestMicroBatchesAddUp(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 3))
	s, q := random(rng, 4, 6, 8), random(rng, 4, 6, 8)
	for name := range terms {
		whole, gradient := term(t, name, s, q, lengths(6, 6, 3, 2, 1), 12)
		first, gradient1 := term(t, name, part(s, 0, 1, 6), part(q, 0, 1, 6), lengths(6, 6), 12)
		second, gradient2 := term(t, name, part(s, 1, 4, 3), part(q, 1, 4, 3), lengths(3, 3, 2, 1), 12)
		near(t, name, first+second, whole, 1e-6)
		nearAll(t, name+": gradient of the first", gradient1[0], gradient[0][:6*8], 1e-6)
		rest := tensors.FromFlatDataAndDimensions(gradient[0][6*8:], 3, 6, 8)
		nearAll(t, name+": gradient of the second", gradient2[0], floats(part(rest, 0, 3, 3)), 1e-6)
	}
}

// Nothing that counts, sequences of padding alone, vectors of zeros and logits far apart: every value and gradient
// stays finite, and what does not count has none.
func TestNothingCounts(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 4))
	s, q := random(rng, 2, 5, 8), random(rng, 2, 5, 8)
	zeros := filled(func(int) float32 { return 0 }, 2, 5, 8)
	for name := range terms {
		value, gradients := term(t, name, s, q, lengths(5, 0, 0), 0)
		if value != 0 || sumAbs(gradients[0]) != 0 {
			t.Errorf("%s: value %g, gradient %g where nothing counts, want zeros", name, value, gradients[0])
		}
		value, gradients = term(t, name, s, q, lengths(5, 4, 0), 4)
		if !(value > 0) || !(sumAbs(gradients[0][:5*8]) > 0) || sumAbs(gradients[0][5*8:]) != 0 {
			t.Errorf("%s: value %g, gradient %g with one sequence of padding", name, value, gradients[0])
		}
		value, gradients = term(t, name, zeros, q, lengths(5, 5, 3), 8)
		if !(value > 0) || math.IsInf(value, 0) || !(sumAbs(gradients[0]) < 100) {
			t.Errorf("%s: value %g, gradient %g for a student of zeros, want finite", name, value, gradients[0])
		}
	}
}

func TestTeacherGetsNoGradient(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 5))
	for name := range terms {
		_, gradients := term(t, name, random(rng, 2, 5, 8), random(rng, 2, 5, 8), lengths(5, 5, 3), 8)
		if sumAbs(gradients[1]) != 0 {
			t.Errorf("%s: the teacher has a gradient", name)
		}
	}
}

func TestCrossEntropyOfImpossibleTarget(t *testing.T) {
	logits := filled(func(i int) float32 { return []float32{1e4, 0, 0, 0}[i] }, 1, 1, 4)
	value, gradients := evaluate(t, func(x []*graph.Node) *graph.Node {
		return loss.CrossEntropy(x[0], graph.Const(x[0].Graph(), [][]int32{{2}}), x[1])
	}, 1, logits, scalar(1))
	near(t, "value", value, 1e4, 1e-6)
	nearAll(t, "gradient", gradients[0], []float32{1, 0, -1, 0}, 1e-6)
}

func TestLogitsTemperature(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 6))
	s, q := random(rng, 2, 5, 8), random(rng, 2, 5, 8)
	run := func(l loss.Logits, scale float32) float64 {
		scaled := func(x *tensors.Tensor) *tensors.Tensor {
			return filled(func(i int) float32 { return floats(x)[i] * scale }, 2, 5, 8)
		}
		value, _ := evaluate(t, func(x []*graph.Node) *graph.Node { return l.Loss(x[0], x[1], x[2], x[3]) }, 0,
			scaled(s), scaled(q), ones(2, 5), scalar(10))
		return value
	}
	plain := run(loss.Logits{Tau: 1}, 1)
	near(t, "logits and tau four times as large", run(loss.Logits{Tau: 4}, 4), plain, 1e-6)
	near(t, "tau squared", run(loss.Logits{Tau: 4, TauSquared: true}, 4), 16*plain, 1e-6)
}

func TestAlphaWeighsStates(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 7))
	var inputs []*tensors.Tensor
	for range 6 {
		inputs = append(inputs, random(rng, 2, 5, 8))
	}
	run := func(alpha [3]float64) (float64, [][]float32) {
		r := loss.Relations{SplitHeads: 2, Variant: loss.L2, Normalisation: loss.Algorithm1, Temperature: 1, Alpha: alpha}
		return evaluate(t, func(x []*graph.Node) *graph.Node {
			g := x[0].Graph()
			return r.Loss(states(x[:3]), states(x[3:]), graph.Const(g, [][]bool{{true, true, true, true, true}, {true, true, true, true, false}}),
				graph.Const(g, float32(9)))
		}, 3, inputs...)
	}
	q, gradientQ := run([3]float64{1, 0, 0})
	k, _ := run([3]float64{0, 1, 0})
	v, _ := run([3]float64{0, 0, 1})
	all, gradients := run([3]float64{2, 3, 0.5})
	near(t, "weighted sum", all, 2*q+3*k+0.5*v, 1e-6)
	if sumAbs(gradientQ[1]) != 0 || sumAbs(gradientQ[2]) != 0 {
		t.Error("a state of weight 0 has a gradient")
	}
	for i := range gradientQ[0] {
		gradientQ[0][i] *= 2
	}
	nearAll(t, "gradient of Q", gradients[0], gradientQ[0], 1e-6)
}

func TestValidate(t *testing.T) {
	good := loss.Relations{SplitHeads: 8, Variant: loss.L2, Normalisation: loss.Reference, Temperature: 1, Alpha: [3]float64{1, 1, 1}}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	bad := loss.Relations{Variant: "cosine", Normalisation: "mean", Temperature: math.NaN(), Alpha: [3]float64{-1, 1, math.Inf(1)}}
	for _, want := range []string{"split_heads: 0", `variant: "cosine"`, `normalisation: "mean"`, "temperature: NaN", "alpha: weight -1 of Q", "alpha: weight +Inf of V"} {
		if err := bad.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not contain %q", err, want)
		}
	}
	good.Alpha = [3]float64{}
	if err := good.Validate(); err == nil || !strings.Contains(err.Error(), "alpha") {
		t.Errorf("all weights zero: %v", err)
	}
	for tau, ok := range map[float64]bool{5: true, 0: false, -1: false, math.Inf(1): false} {
		if err := (loss.Logits{Tau: tau}).Validate(); (err == nil) != ok {
			t.Errorf("tau %g: %v", tau, err)
		}
	}
}

func TestSplitHeads(t *testing.T) {
	for width, want := range map[int]int{32: 8, 64: 16, 128: 32, 192: 32, 1024: 32, 96: 24, 20: 5, 14: 2, 7: 1, 3: 1, 1: 1} {
		if got := loss.DefaultSplitHeads(width); got != want {
			t.Errorf("width %d: %d relation heads, want %d", width, got, want)
		}
	}
	if err := loss.CheckSplit(8, 64, 32); err != nil {
		t.Error(err)
	}
	for _, split := range []int{0, -4, 3, 64} {
		err := loss.CheckSplit(split, 64, 32)
		if err == nil || !strings.Contains(err.Error(), "split_heads") || !strings.Contains(err.Error(), "64") || !strings.Contains(err.Error(), "32") {
			t.Errorf("split_heads %d: %v, want an error with the field and both widths", split, err)
		}
	}
}

// A loss that does not fit its inputs fails when the graph is built, as an error.
func TestMisfitsAreErrors(t *testing.T) {
	x, mask := ones(2, 5, 8), ones(2, 5)
	r := loss.Relations{SplitHeads: 3, Variant: loss.L2, Temperature: 1, Alpha: [3]float64{1, 1, 1}}
	for want, f := range map[string]lossFn{
		"split_heads: 3": func(x []*graph.Node) *graph.Node {
			return r.Loss([]loss.State{{Q: x[0], K: x[0], V: x[0]}}, []loss.State{{Q: x[0], K: x[0], V: x[0]}}, x[1], x[2])
		},
		"same number": func(x []*graph.Node) *graph.Node {
			return r.Loss([]loss.State{{Q: x[0], K: x[0], V: x[0]}}, nil, x[1], x[2])
		},
		"same vocabulary": func(x []*graph.Node) *graph.Node {
			return loss.Logits{Tau: 1}.Loss(x[0], graph.Concatenate([]*graph.Node{x[0], x[0]}, -1), x[1], x[2])
		},
		"targets": func(x []*graph.Node) *graph.Node { return loss.CrossEntropy(x[0], x[2], x[2]) },
	} {
		exec, err := graph.NewExec(backendtest.Open(t), f)
		if err != nil {
			t.Fatal(err)
		}
		if _, err = exec.Call(x, mask, scalar(1)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not contain %q", err, want)
		}
	}
}
