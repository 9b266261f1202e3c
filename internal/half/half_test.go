package half

import (
	"math"
	"testing"
)

// naive decodes a float of one sign bit, the given number of exponent bits and
// the rest fraction by the definition in IEEE 754, section 3.4.
func naive(code uint16, exponentBits int) float64 {
	fractionBits := 15 - exponentBits
	bias := 1<<(exponentBits-1) - 1
	sign := 1.0
	if code>>15 == 1 {
		sign = -1
	}
	exponent := int(code) >> fractionBits & (1<<exponentBits - 1)
	fraction := float64(int(code)&(1<<fractionBits-1)) * math.Pow(2, -float64(fractionBits))
	switch {
	case exponent == 1<<exponentBits-1 && fraction == 0:
		return sign * math.Inf(1)
	case exponent == 1<<exponentBits-1:
		return math.NaN()
	case exponent == 0:
		return sign * fraction * math.Pow(2, float64(1-bias))
	}
	return sign * (1 + fraction) * math.Pow(2, float64(exponent-bias))
}

var narrow = []struct {
	name         string
	exponentBits int
	widen        func(uint16) float32
	round        func(float32) uint16
}{
	{"half", 5, ToFloat32, FromFloat32},
	{"bfloat16", 8, BFloatToFloat32, BFloatFromFloat32},
}

func TestWidenAllCodes(t *testing.T) {
	for _, n := range narrow {
		for code := range 1 << 16 {
			got, want := n.widen(uint16(code)), naive(uint16(code), n.exponentBits)
			if math.IsNaN(want) {
				if got == got {
					t.Fatalf("%s %#04x: %g, want NaN", n.name, code, got)
				}
				if back := n.widen(n.round(got)); back == back {
					t.Fatalf("%s %#04x: NaN became %g", n.name, code, back)
				}
				continue
			}
			if float64(got) != want || math.Signbit(float64(got)) != math.Signbit(want) {
				t.Fatalf("%s %#04x: %g, want %g", n.name, code, got, want)
			}
			if back := n.round(got); back != uint16(code) {
				t.Fatalf("%s %#04x: comes back as %#04x", n.name, code, back)
			}
		}
	}
}

// TestRounding walks all neighbours: the middle between them goes to the even
// code, the next float32 on either side of it to the nearer one.
func TestRounding(t *testing.T) {
	for _, n := range narrow {
		infinity := 1<<15 - 1<<(15-n.exponentBits)
		for code := range infinity {
			low, high := uint16(code), uint16(code+1)
			top := naive(high, n.exponentBits)
			if int(high) == infinity { // as if the exponent went on
				top = 2*naive(low, n.exponentBits) - naive(low-1, n.exponentBits)
			}
			middle := float32((naive(low, n.exponentBits) + top) / 2)
			even := low + low&1
			for _, c := range []struct {
				x    float32
				want uint16
			}{
				{middle, even},
				{math.Nextafter32(middle, 0), low},
				{math.Nextafter32(middle, float32(math.Inf(1))), high},
			} {
				if got := n.round(c.x); got != c.want {
					t.Fatalf("%s: %g became %#04x, want %#04x", n.name, c.x, got, c.want)
				}
				if got := n.round(-c.x); got != c.want|0x8000 {
					t.Fatalf("%s: %g became %#04x, want %#04x", n.name, -c.x, got, c.want|0x8000)
				}
			}
		}
	}
}
