package distill

import (
	"fmt"
	"math"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bitdistill/bitdistill/bitnet"
	"github.com/bitdistill/bitdistill/bitnet/arch"
	"github.com/bitdistill/bitdistill/internal/backend/backendtest"
)

// Log lines begin exactly as scripts expect them, and end with rate, norm, speed and time left.
func TestLines(t *testing.T) {
	at := func(stage string, change func(*Step)) string {
		r := Step{Stage: stage, Step: 100, Steps: 400, Loss: 2.34512, LearningRate: 2e-3, GradientNorm: 1.2344, Tokens: 200_000_000, TokensPerS: 3021.4}
		if change != nil {
			change(&r)
		}
		return r.line(754 * time.Second)
	}
	tail := ", lr 2.00e-03, gradient 1.234, 3021 tokens/s, 12m34s left"
	for _, c := range []struct{ got, want string }{
		{at("Stage-2", nil), "Stage-2 Step 100: Loss=2.3451, Tokens=0.20B" + tail},
		{at("Stage-2", func(r *Step) { r.Tokens = 2_345_678 }), "Stage-2 Step 100: Loss=2.3451, Tokens=2.35M" + tail},
		{at("Stage-2", func(r *Step) { r.Tokens = 12_300 }), "Stage-2 Step 100: Loss=2.3451, Tokens=12.30K" + tail},
		{at("Stage-2", func(r *Step) { r.Tokens = 12_000_000_000 }), "Stage-2 Step 100: Loss=2.3451, Tokens=12.00B" + tail},
		{at("BitNet-SFT", nil), "BitNet-SFT Step 100: Loss=2.3451" + tail},
		{at("Stage-3", func(r *Step) { r.distilled(terms{3.4567, 2.1234, 0.09876, 0.03456}, 10, 10) }),
			"Stage-3 Step 100: Total=2.3451, CE=2.1234, LD=0.0988, AD=0.0346, shares 61/29/10 %" + tail},
	} {
		if c.got != c.want {
			t.Errorf("got  %s\nwant %s", c.got, c.want)
		}
	}
	r := Step{Stage: "Stage-3", Step: 100, Loss: 3.4567}
	r.distilled(terms{3.4567, 2.1234, 0.9876, 0.3456}, 1, 1)
	if want := "Stage-3 Step 100: Total=3.4567, CE=2.1234, LD=0.9876, AD=0.3456, "; !strings.HasPrefix(r.line(0), want) {
		t.Errorf("got %s\nwant %s...", r.line(0), want)
	}
}

// A training writes each step to the text log and, as an object with the same values, to metrics.jsonl.
func TestMetrics(t *testing.T) {
	j := newJournal(t)
	tr := j.of(testTrainings[Stage3Label](t, t.TempDir()))
	tr.config.LogEvery, tr.config.TernaryEvery = 3, 4
	finish(t, tr)
	steps := j.steps(t)
	for _, step := range []float64{1, 3, 6, 8} { // the first, every third, the last
		m, ok := steps[step]
		if !ok {
			t.Fatalf("step %g is not logged: %v", step, steps)
		}
		value := func(key string) float64 {
			x, ok := m[key].(float64)
			if !ok {
				t.Errorf("step %g: %s is %v", step, key, m[key])
			}
			return x
		}
		l := tr.objective.loss
		near(t, "loss", value("loss"), value("ce")+l.Lambda*value("ld")+l.Gamma*value("ad"), 1e-6)
		near(t, "shares", value("share_ce")+value("share_ld")+value("share_ad"), 1, 1e-6)
		near(t, "share of CE", value("share_ce"), value("ce")/value("loss"), 1e-6)
		near(t, "share of LD", value("share_ld"), l.Lambda*value("ld")/value("loss"), 1e-6)
		near(t, "rate", value("learning_rate"), tr.training.rate(int(step)-1, testSteps), 1e-12)
		near(t, "epoch", value("epoch"), step*4/14, 1e-12)
		if m["stage"] != Stage3Label || value("steps") != testSteps || value("gradient_norm") <= 0 || value("tokens") <= 0 || value("skipped") != 0 {
			t.Errorf("step %g: %v", step, m)
		}
	}
	if len(steps) != 4 {
		t.Errorf("logged steps: %v", steps)
	}
	lines := regexp.MustCompile(`(?m)^Stage-3 Step \d+: Total=\d+\.\d{4}, CE=\d+\.\d{4}, LD=\d+\.\d{4}, AD=\d+\.\d{4}, .* left$`)
	if got := lines.FindAllString(j.text.String(), -1); len(got) != 4 {
		t.Errorf("%d lines, want 4:\n%s", len(got), &j.text)
	}
	if n := strings.Count(j.text.String(), "ternary weights"); n != 3 {
		t.Errorf("%d lines about ternary weights, want those of steps 1, 4 and 8:\n%s", n, &j.text)
	}
}

// A term that drowns the others is told about once in a stage.
func TestSwamped(t *testing.T) {
	j := newJournal(t)
	swamped := func(stage string, ad float64) {
		r := Step{Stage: stage}
		r.distilled(terms{2 + 3*ad, 1, 1, ad}, 1, 3)
		j.log.step(r)
	}
	j.log.begin("Stage-3", 5, trainState{})
	for _, ad := range []float64{1, 10, 12, 1000, 2000} { // shares of 60, 93.75, 94.7, 99.9 %
		swamped("Stage-3", ad)
	}
	if got := regexp.MustCompile(`(?m)^warning: .*$`).FindAllString(j.text.String(), -1); len(got) != 1 || !strings.Contains(got[0], "AD is 99.9 %") ||
		!strings.Contains(got[0], "loss.gamma") {
		t.Errorf("warnings: %q", got)
	}
	j.log.begin("another", 5, trainState{})
	swamped("another", 2000)
	if n := strings.Count(j.text.String(), "warning: "); n != 2 {
		t.Errorf("%d warnings after another stage", n)
	}
}

// A metrics file that cannot be written to ends the training with an error.
func TestMetricsCannotBeWritten(t *testing.T) {
	j := newJournal(t)
	readOnly, err := os.Open(j.log.metrics.path)
	if err != nil {
		t.Fatal(err)
	}
	defer readOnly.Close()
	j.log.metrics.file = readOnly
	_, err = j.of(testTrainings[FullLabel](t, t.TempDir())).run(t.Context())
	wantError(t, err, "metrics", metricsFile)
}

// What a stage wrote after the step it goes on from is taken out of the metrics; other stages keep theirs.
func TestMetricsForget(t *testing.T) {
	j := newJournal(t)
	for _, stage := range []string{"a", "b"} {
		for step := 1; step <= 4; step++ {
			j.log.write(map[string]any{"stage": stage, "step": step})
		}
	}
	j.log.forget("a", 2)
	j.log.write(map[string]any{"stage": "a", "step": 3})
	if j.log.err != nil {
		t.Fatal(j.log.err)
	}
	var got []string
	for _, m := range j.metrics(t) {
		got = append(got, fmt.Sprint(m["stage"], m["step"]))
	}
	if want := []string{"a1", "a2", "b1", "b2", "b3", "b4", "a3"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// Counts of ternary values and of those that changed are those of a plain loop.
func TestTernaryCounts(t *testing.T) {
	for _, kind := range []bitnet.Weights{bitnet.AbsMean, bitnet.Channel} {
		cfg := tinyConfig()
		cfg.Quantization = bitnet.Quantization{Weights: kind, SubLN: bitnet.SubLNNone}
		m := randomModel(t, cfg, 1)
		counter := newTernaryCounter(backendtest.Open(t), m.Store, cfg)
		first, err := counter.count()
		if err != nil {
			t.Fatal(err)
		}
		before := ternaryCodes(t, cfg, weights(t, cfg, m.Store))
		other, err := randomModel(t, cfg, 2).Store.GetVariable("/model/layers/1/mlp/up_proj/weight").Value()
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Store.GetVariable("/model/layers/1/mlp/up_proj/weight").SetValue(other); err != nil {
			t.Fatal(err)
		}
		second, err := counter.count()
		if err != nil {
			t.Fatal(err)
		}
		now := weights(t, cfg, m.Store)
		after := ternaryCodes(t, cfg, now)
		if len(first) != len(before) || len(before) != 14 {
			t.Fatalf("%d linears counted, want %d", len(first), len(before))
		}
		for i, c := range first {
			want := countOf(before[c.Name], nil)
			want.Name = c.Name
			sameCounts(t, string(kind), c, want)
			want = countOf(after[c.Name], before[c.Name])
			want.Name, want.Compared = c.Name, true
			sameCounts(t, string(kind)+", later", second[i], want)
			scale, latent := latentBins(now[c.Name], rowLength(cfg, kind, c.Name))
			if math.Abs(second[i].Scale-scale) > 1e-6*scale || !slices.Equal(second[i].Latent, latent) {
				t.Errorf("%s: scale %g and bins %v, want %g and %v", c.Name, second[i].Scale, second[i].Latent, scale, latent)
			}
			if changed := c.Name == "model.layers.1.mlp.up_proj.weight"; (second[i].Flipped > 0) != changed {
				t.Errorf("%s: %d flipped", c.Name, second[i].Flipped)
			}
		}
	}
}

func sameCounts(t *testing.T, what string, got, want Ternary) {
	t.Helper()
	got.Scale, got.Latent = 0, nil
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s: %+v, want %+v", what, got, want)
	}
}

// rowLength is the number of weights that share a scale.
func rowLength(cfg arch.Config, kind bitnet.Weights, name string) int {
	for _, tensor := range cfg.Tensors() {
		if tensor.Name == name && kind == bitnet.Channel {
			return tensor.Dims[1]
		} else if tensor.Name == name {
			return tensor.Size()
		}
	}
	return 0
}

// latentBins counts w/Δ in bins a tenth wide around 0, and gives the mean Δ.
func latentBins(w []float32, run int) (scale float64, bins []int) {
	bins = make([]int, 60)
	for start := 0; start < len(w); start += run {
		sum := 0.0
		for _, x := range w[start : start+run] {
			sum += math.Abs(float64(x))
		}
		d := sum / float64(run)
		scale += d * float64(run) / float64(len(w))
		for _, x := range w[start : start+run] {
			bins[min(59, max(0, int(math.Floor(float64(x)/d*10+30))))]++
		}
	}
	return scale, bins
}

// ternaryCodes are round(w / mean|w|) clipped to -1, 0, 1, of the absmean and channel quantizers, in float64.
func ternaryCodes(t *testing.T, cfg arch.Config, all map[string][]float32) map[string][]int {
	codes := map[string][]int{}
	for _, tensor := range cfg.Tensors() {
		if tensor.Kind != arch.Linear {
			continue
		}
		w := all[tensor.Name]
		run := len(w)
		if cfg.Quantization.Weights == bitnet.Channel {
			run = tensor.Dims[1]
		}
		for start := 0; start < len(w); start += run {
			_, abs := sums(w[start : start+run])
			for _, x := range w[start : start+run] {
				codes[tensor.Name] = append(codes[tensor.Name], int(max(-1, min(1, math.RoundToEven(float64(x)/(abs/float64(run)))))))
			}
		}
	}
	return codes
}

func countOf(codes, before []int) (c Ternary) {
	for i, code := range codes {
		switch code {
		case -1:
			c.Minus++
		case 0:
			c.Zero++
		default:
			c.Plus++
		}
		if before != nil && before[i] != code {
			c.Flipped++
		}
	}
	return c
}
