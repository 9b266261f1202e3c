package plots

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// naiveLTTB follows the definition with buckets as slices of points, and triangles by their three corners.
func naiveLTTB(x, y []float64, n int) []int {
	type bucket []int
	var buckets []bucket
	buckets = append(buckets, bucket{0})
	for b := range n - 2 {
		var k bucket
		for i := range len(x) - 2 {
			if bucketOf(i, len(x)-2, n-2) == b {
				k = append(k, i+1)
			}
		}
		buckets = append(buckets, k)
	}
	buckets = append(buckets, bucket{len(x) - 1})
	chosen := []int{0}
	for b := 1; b < len(buckets)-1; b++ {
		a := chosen[b-1]
		var cx, cy float64
		for _, i := range buckets[b+1] {
			cx += x[i] / float64(len(buckets[b+1]))
			cy += y[i] / float64(len(buckets[b+1]))
		}
		best, most := -1, -1.0
		for _, i := range buckets[b] { // Gauss's formula
			area := math.Abs(x[a]*(y[i]-cy)+x[i]*(cy-y[a])+cx*(y[a]-y[i])) / 2
			if area > most {
				best, most = i, area
			}
		}
		chosen = append(chosen, best)
	}
	return append(chosen, len(x)-1)
}

// bucketOf is the last bucket that starts at or before the point, where bucket b of n starts at b/n of the points.
func bucketOf(i, points, n int) int {
	for b := n - 1; ; b-- {
		if i >= b*points/n {
			return b
		}
	}
}

func TestLTTB(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 60 {
		points := 3 + r.IntN(400)
		n := 3 + r.IntN(points-2)
		x, y := make([]float64, points), make([]float64, points)
		for i := range x {
			x[i], y[i] = float64(i)+r.Float64()/2, r.NormFloat64()
		}
		got := lttb(x, y, n)
		if len(got) != n {
			t.Fatalf("%d of %d points chosen, want %d", len(got), points, n)
		}
		if n == points {
			continue
		}
		if want := naiveLTTB(x, y, n); !slices.Equal(got, want) {
			t.Fatalf("%d of %d points: got %v, want %v", n, points, got, want)
		}
	}
}

func TestLTTBKeepsASpike(t *testing.T) {
	x, y := make([]float64, 100_000), make([]float64, 100_000)
	for i := range x {
		x[i] = float64(i)
	}
	y[77_777] = 5
	if got := lttb(x, y, 200); !slices.Contains(got, 77_777) {
		t.Error("the only spike was dropped")
	}
}

func TestLTTBOfFewPoints(t *testing.T) {
	for n := range 4 {
		if got := lttb(make([]float64, n), make([]float64, n), 10); len(got) != n {
			t.Errorf("%d points: got %v", n, got)
		}
	}
}
