package distill

import "math"

// The steps that a spike is told by: the last ones, and how many there have to be. As in OLMo-core's SkipStepOptimizer.
const (
	spikeWindow = 128
	spikeLeast  = spikeWindow / 2
)

// spikes remembers loss and gradient norm of the last steps, oldest first, those of skipped updates included: so a lasting change of
// level is let through after a few steps, as it raises mean and deviation. Values that are not finite are left out.
type spikes struct {
	Losses []float64 `json:"losses"`
	Norms  []float64 `json:"norms"`
}

// limit is what a step may come to for its update to be made. It is known before the step, as two float32 that a compiled step can
// take. Every finite value passes the largest float32, and NaN passes nothing.
type limit struct {
	loss, norm float32
}

var noLimit = limit{math.MaxFloat32, math.MaxFloat32}

// allows reports whether neither loss nor gradient norm is beyond the limit or not finite.
func (l limit) allows(loss, norm float64) bool {
	return !math.IsInf(loss, -1) && loss <= float64(l.loss) && norm <= float64(l.norm)
}

// limit is the mean of the last steps and so many standard deviations, once there are enough of them; no deviations mean no limit.
func (s *spikes) limit(deviations float64) limit {
	if deviations <= 0 || len(s.Losses) < spikeLeast {
		return noLimit
	}
	return limit{above(s.Losses, deviations), above(s.Norms, deviations)}
}

func above(values []float64, deviations float64) float32 {
	mean, squares := 0.0, 0.0
	for _, x := range values {
		mean += x / float64(len(values))
	}
	for _, x := range values {
		squares += (x - mean) * (x - mean)
	}
	return float32(min(math.MaxFloat32, mean+deviations*math.Sqrt(squares/float64(len(values)-1))))
}

// add remembers a step.
func (s *spikes) add(loss, norm float64) {
	if !noLimit.allows(loss, norm) {
		return
	}
	s.Losses, s.Norms = append(s.Losses, loss), append(s.Norms, norm)
	if drop := len(s.Losses) - spikeWindow; drop > 0 {
		s.Losses, s.Norms = s.Losses[drop:], s.Norms[drop:]
	}
}
