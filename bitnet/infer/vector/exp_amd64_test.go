//go:build !purego

package vector

import (
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestExp64: all bits of float64 are those of math.Exp.
func TestExp64(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for _, k := range supported() {
		if k.exp == goExp {
			continue
		}
		x, in := make([]float64, 4096), make([]float64, 4096)
		for round := range 500 {
			for i := range x {
				switch round % 4 {
				case 0:
					x[i] = -200 + 900*r.Float64()
				case 1:
					x[i] = -100 * r.Float64()
				case 2:
					x[i] = r.NormFloat64()
				default:
					x[i] = r.NormFloat64() * math.Exp2(-float64(r.IntN(80)))
				}
			}
			copy(in, x)
			k.exp64(x)
			for i, got := range x {
				if want := math.Exp(in[i]); got != want {
					t.Fatalf("exp(%g) is %g, want %g", in[i], got, want)
				}
			}
		}
	}
}

// TestChoice: a process in which math.Exp fuses nothing chooses the other way, and the tests hold there too.
func TestChoice(t *testing.T) {
	const off = "cpu.fma=off"
	if !supported()[0].avx2 {
		t.Skip("NOT TESTED: the processor has no AVX2")
	}
	if strings.Contains(os.Getenv("GODEBUG"), off) {
		if kind := supported()[0].exp; kind != plainExp {
			t.Errorf("without fused operations the way is %d", kind)
		}
		return
	}
	if supported()[0].exp == goExp {
		t.Error("no way is that of math.Exp")
	}
	c := exec.Command(os.Args[0], "-test.run=TestChoice|TestExp64|TestLoops")
	c.Env = append(os.Environ(), "GODEBUG="+off)
	if out, err := c.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
