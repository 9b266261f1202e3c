package distill

import "math"

// rate is the learning rate of a step (0-based) out of total: it rises linearly from 0 over the warm-up steps and then
// falls to 0 as Hugging Face's linear and cosine schedules do, or stays.
func (t Training) rate(step, total int) float64 {
	warmup := int(math.Ceil(t.Warmup * float64(total)))
	return t.LearningRate * scheduleFactor(t.Schedule, step, warmup, total)
}

func scheduleFactor(schedule string, step, warmup, total int) float64 {
	if step < warmup {
		return float64(step) / float64(warmup)
	}
	left := math.Max(0, float64(total-step)) / float64(max(1, total-warmup))
	switch schedule {
	case "linear":
		return left
	case "cosine":
		return math.Max(0, 0.5*(1+math.Cos(math.Pi*(1-left))))
	default:
		return 1
	}
}
