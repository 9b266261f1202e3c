package plots

import "math"

// lttb chooses n of the points (x[i], y[i]) that keep the look of the line through all of them: the first, the last, and of
// each of n-2 buckets in between the one that makes the largest triangle with the point chosen before and the mean of the
// next bucket (largest-triangle-three-buckets; Steinarsson, "Downsampling Time Series for Visual Representation", 2013,
// section 4.2). It gives their indices; all of them if there are no more than n, or n < 3. Values must be finite.
func lttb(x, y []float64, n int) []int {
	if len(x) <= n || n < 3 {
		all := make([]int, len(x))
		for i := range all {
			all[i] = i
		}
		return all
	}
	chosen := make([]int, 0, n)
	chosen = append(chosen, 0)
	edge := func(bucket int) int { return 1 + bucket*(len(x)-2)/(n-2) }
	for b := range n - 2 {
		next, end := edge(b+1), edge(b+2)
		if b == n-3 { // the last point is a bucket of its own
			next, end = len(x)-1, len(x)
		}
		meanX, meanY := mean(x[next:end]), mean(y[next:end])
		last := chosen[len(chosen)-1]
		best, bestArea := edge(b), -1.0
		for i := edge(b); i < next; i++ {
			area := math.Abs((x[last]-meanX)*(y[i]-y[last]) - (x[last]-x[i])*(meanY-y[last]))
			if area > bestArea {
				best, bestArea = i, area
			}
		}
		chosen = append(chosen, best)
	}
	return append(chosen, len(x)-1)
}

func mean(v []float64) float64 {
	sum := 0.0
	for _, x := range v {
		sum += x
	}
	return sum / float64(len(v))
}
