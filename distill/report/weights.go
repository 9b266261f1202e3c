package report

import (
	"slices"
	"strings"

	"github.com/bitdistill/bitdistill/distill"
	"github.com/bitdistill/bitdistill/plots"
)

// short is a linear's name without what all of them have.
func short(name string) string {
	return strings.TrimSuffix(strings.TrimPrefix(name, "model."), ".weight")
}

// shortest is a name for where many stand side by side: layer and linear, such as 0.q_proj.
func shortest(name string) string {
	return strings.NewReplacer("layers.", "", "self_attn.", "", "mlp.", "").Replace(short(name))
}

// few chooses the first, the middle and the last of a list.
func few[T any](all []T) []T {
	if n := len(all); n > 3 {
		return []T{all[0], all[n/2], all[n-1]}
	}
	return all
}

// latent draws how the latent weights of a few linears of the student move, through stage 2 and then through stage 3.
func (r *Run) latent() []*plots.Chart {
	var counts []distill.TernaryCount
	var trained []string
	for _, stage := range []string{distill.Stage2Label, distill.Stage3Label} {
		before := len(counts)
		for _, c := range r.Metrics.Ternary {
			if c.Stage == stage && len(c.Linears) > 0 {
				counts = append(counts, c)
			}
		}
		if len(counts) > before {
			trained = append(trained, stage)
		}
	}
	if len(counts) == 0 {
		return nil
	}
	note := " (" + strings.Join(trained, ", then ") + ")"
	var charts []*plots.Chart
	for _, linear := range few(counts[0].Linears) {
		var steps []int
		var histograms []plots.Histogram
		for _, c := range counts {
			for _, t := range c.Linears {
				if t.Name == linear.Name && len(t.Latent) == distill.LatentBins { // runs of older versions have none
					steps = append(steps, c.Step)
					histograms = append(histograms, histogram(t.Latent))
				}
			}
		}
		if len(steps) > 0 {
			charts = append(charts, plots.LatentOverTime(short(linear.Name)+note, steps, histograms).Resized(800, 360))
		}
	}
	return charts
}

// histogram is that of logged latent weights. What their outer bins hold may lie beyond.
func histogram(latent []int) plots.Histogram {
	inner, last := slices.Clone(latent), len(latent)-1
	inner[0], inner[last] = 0, 0
	return plots.Histogram{Lo: -distill.LatentRange, Hi: distill.LatentRange, Counts: inner, Below: latent[0], Above: latent[last]}
}

// lastLayers are scale and sparsity as they were counted last, for a run without a student to look at.
func (r *Run) lastLayers() []plots.Layer {
	if len(r.Metrics.Ternary) == 0 {
		return nil
	}
	var layers []plots.Layer
	for _, t := range r.Metrics.Ternary[len(r.Metrics.Ternary)-1].Linears {
		layers = append(layers, plots.Layer{Name: shortest(t.Name), Scale: t.Scale, Zeros: float64(t.Zero) / float64(t.Minus+t.Zero+t.Plus)})
	}
	return layers
}

func layers(linears []plots.Ternary) []plots.Layer {
	var all []plots.Layer
	for _, t := range linears {
		all = append(all, plots.Layer{Name: shortest(t.Name), Scale: t.Scale, Zeros: float64(t.Codes[1]) / float64(t.Codes[0]+t.Codes[1]+t.Codes[2])})
	}
	return all
}

func (b *builder) weights(r *Run, f *findings) {
	b.section("weights", "Ternary weights")
	if f.weights != nil {
		b.text("Of the model in %s: its latent weights in units of the scale Δ, and the codes that they become.", r.newest())
		for _, t := range few(f.weights) {
			b.charts(plots.WeightHistogram(t).Resized(800, 340))
		}
		b.charts(plots.Layers("Scale and sparsity of each linear", layers(f.weights)...).Resized(800, layersHeight))
	} else if last := r.lastLayers(); last != nil {
		b.charts(plots.Layers("Scale and sparsity of each linear at the last count", last...).Resized(800, layersHeight))
	}
	b.charts(r.latent()...)
	b.charts(r.flips()...)
}

// layersHeight leaves room for the names of linears.
const layersHeight = 460
