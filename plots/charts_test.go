package plots

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-echarts/go-echarts/v2/charts"
	"github.com/go-echarts/go-echarts/v2/opts"
)

// gallery is every chart, of numbers as a run has them, with label put wherever a user's text goes.
func gallery(t testing.TB, label func(string) string) map[string]*Chart {
	r := rand.New(rand.NewPCG(5, 6))
	ternary, err := NewTernary(label("layer 3 q_proj"), normal(100_000, 0.025), 0.02)
	check(t, err)
	activations, err := NewActivations(label("layer 3 down_proj"), normal(50_000, 1), 0.02)
	check(t, err)
	steps := make([]float64, 600)
	curve := func(name string, from, to, noise float64) Curve {
		y := make([]float64, len(steps))
		for i := range y {
			y[i] = (to + (from-to)*math.Exp(-float64(i)/80)) * math.Exp(noise*r.NormFloat64())
		}
		return Curve{label(name), steps, y}
	}
	for i := range steps {
		steps[i] = float64(10 * i)
	}
	var at []int
	var latent []Histogram
	for i := range 60 {
		h, err := NewTernary("x", normal(4000, 0.01+0.0003*float64(i)), 0.016)
		check(t, err)
		at, latent = append(at, 50*i), append(latent, h.Latent)
	}
	var layers []Layer
	for i := range 8 {
		for _, p := range []string{"q_proj", "k_proj", "v_proj", "o_proj"} {
			layers = append(layers, Layer{label(fmt.Sprintf("%d %s", i, p)), 0.01 + 0.02*r.Float64(), 0.3 + 0.1*r.Float64()})
		}
	}
	accuracy := []Bar{{label("FP16-SFT"), 0.912, 0.0096}, {label("BitNet-SFT"), 0.743, 0.0148}, {label("BitDistill"), 0.901, 0.0101}}
	return map[string]*Chart{
		"weights":     WeightHistogram(ternary),
		"latent":      LatentOverTime(label("layer 3 q_proj"), at, latent),
		"activations": ActivationHistogram(activations),
		"loss":        Loss(label("Stage 3"), label("nats"), curve("total", 9, 1.2, 0.15), curve("CE", 2, 0.3, 0.2), curve("10·LD", 5, 0.6, 0.2), curve("AD", 2, 0.04, 0.3)),
		"shares":      LossShares(label("Stage 3: parts of the loss"), curve("CE", 2, 0.3, 0.2), curve("10·LD", 5, 0.6, 0.2), curve("AD", 2, 0.04, 0.3)),
		"flips":       Flips(label("Flips in stage 2"), curve("all layers", 4, 0.2, 0.1)),
		"relations":   Relations(label("Relations, layer 12"), relation(label("Q"), r), relation(label("K"), r), relation(label("V"), r)),
		"layers":      Layers(label("Layers of the student"), layers...),
		"accuracy":    Accuracy(label("SST-2, 872 sentences"), accuracy...),
		"memory":      Memory(label("Linear layers"), Bar{label("FP16"), 1.2e9, 0}, Bar{label("ternary, packed"), 1.5e8, 0}),
		"speed":       Speed(label("Generating 64 tokens"), Bar{label("FP16"), 9.2, 0.4}, Bar{label("ternary"), 1912, 12}),
		"ablation": Ablation(label("Without each part"), label("accuracy, %"), Bar{label("BitDistill"), 90.1, 1}, Bar{label("without stage 2"), 86.2, 1.2},
			Bar{label("without SubLN"), 84.4, 1.2}, Bar{label("without attention distillation"), 88.7, 1.1}),
		"from": From(label("go-echarts"), goEcharts(label)),
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func relation(name string, r *rand.Rand) Relation {
	make2 := func(noise float64) [][]float32 {
		m := make([][]float32, 40)
		for i := range m {
			m[i] = make([]float32, len(m))
			for j := range m[i] {
				m[i][j] = float32(math.Exp(-math.Abs(float64(i-j))/6) * math.Exp(noise*r.NormFloat64()) / 8)
			}
		}
		return m
	}
	return Relation{name, make2(0.2), make2(0.4)}
}

func goEcharts(label func(string) string) *charts.Bar {
	bar := charts.NewBar()
	bar.SetGlobalOptions(charts.WithTitleOpts(opts.Title{Title: label("Title")}))
	bar.SetXAxis([]string{label("a"), label("b")}).AddSeries(label("s"), []opts.BarData{{Value: 1}, {Value: 2}})
	return bar
}

func same(s string) string { return s }

func wellFormed(data []byte) error {
	d := xml.NewDecoder(bytes.NewReader(data))
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// TestGallery draws every chart in every way. With BITDISTILL_GALLERY it leaves them in that folder to be looked at.
func TestGallery(t *testing.T) {
	folder := os.Getenv("BITDISTILL_GALLERY")
	page := Page{Title: "gallery"}
	for name, c := range gallery(t, same) {
		raw, err := c.JSON()
		check(t, err)
		if !json.Valid(raw) || bytes.ContainsAny(raw, "<>&") {
			t.Errorf("%s: the option is not JSON, or has characters of HTML", name)
		}
		for _, theme := range []Theme{Light, Dark} {
			start := time.Now()
			svg, err := c.SVG(theme)
			check(t, err)
			drawn := time.Since(start)
			if err := wellFormed(svg); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if theme == Dark && folder == "" {
				continue
			}
			again, err := c.SVG(theme)
			check(t, err)
			if !bytes.Equal(svg, again) {
				t.Errorf("%s: drawn twice, two different SVGs", name)
			}
			start = time.Now()
			raster, err := c.PNG(theme)
			check(t, err)
			img, err := png.Decode(bytes.NewReader(raster))
			check(t, err)
			if got, want := img.Bounds().Size(), image.Pt(c.width*pixelRatio, c.height*pixelRatio); got != want {
				t.Errorf("%s: PNG of %v, want %v", name, got, want)
			}
			if n := distinctColors(img); n < 5 {
				t.Errorf("%s: PNG of %d colors; is it empty?", name, n)
			}
			t.Logf("%-12s %-5s option %d bytes, SVG %d in %v, PNG %d in %v", name, theme, len(raw), len(svg), drawn.Round(time.Millisecond), len(raster), time.Since(start).Round(time.Millisecond))
			if folder != "" {
				check(t, os.WriteFile(filepath.Join(folder, name+"-"+string(theme)+".svg"), svg, 0o666))
				check(t, os.WriteFile(filepath.Join(folder, name+"-"+string(theme)+".png"), raster, 0o666))
			}
		}
		check(t, page.Add(c))
	}
	if folder != "" {
		check(t, os.WriteFile(filepath.Join(folder, "gallery.html"), written(t, &page), 0o666))
	}
}

func distinctColors(img image.Image) int {
	seen := map[[3]uint32]bool{}
	b := img.Bounds()
	for y := b.Min.Y; y < b.Max.Y; y += 5 {
		for x := b.Min.X; x < b.Max.X; x += 5 {
			r, g, b, _ := img.At(x, y).RGBA()
			seen[[3]uint32{r, g, b}] = true
		}
	}
	return len(seen)
}

// TestLabelsAreDrawn finds the words in the SVG, so that what is drawn is what was asked for.
func TestLabelsAreDrawn(t *testing.T) {
	all := gallery(t, same)
	for name, words := range map[string][]string{
		"weights":     {"Ternary weights: layer 3 q_proj", "Δ/2", "latent weight, in units of Δ", "share of weights, %", "−1", "+1"},
		"loss":        {"Stage 3", "loss, nats", "step", "CE", "AD"},
		"relations":   {"Q: teacher", "K: student", "V: student − teacher", "from token", "mean of 2 × 2 tokens"},
		"accuracy":    {"FP16-SFT", "91.2 ± 1.0", "accuracy, %"},
		"memory":      {"memory, GiB"},
		"activations": {"int8 code", "clipped"},
		"ablation":    {"without SubLN", "84.4 ± 1.2"},
	} {
		svg, err := all[name].SVG(Light)
		check(t, err)
		for _, w := range words {
			if !strings.Contains(string(svg), w) {
				t.Errorf("%s: %q is not in the SVG", name, w)
			}
		}
	}
}

func TestNothingOneAndNotFinite(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	empty, err := NewTernary("x", nil, 1)
	check(t, err)
	broken, err := NewTernary("x", []float32{float32(nan), float32(inf), 1}, 1)
	check(t, err)
	none, err := NewActivations("x", nil)
	check(t, err)
	hole := Relation{"Q", [][]float32{{float32(nan)}}, [][]float32{{1}}}
	for name, c := range map[string]*Chart{
		"no curve":         Loss("t", "nats"),
		"empty curve":      Loss("t", "nats", Curve{Name: "a"}),
		"one point":        Loss("t", "nats", Curve{Name: "a", Y: []float64{1}}),
		"only NaN":         Loss("t", "nats", Curve{Name: "a", Y: []float64{nan, nan}}),
		"gaps":             Loss("t", "nats", Curve{Name: "a", Y: []float64{1, nan, 2, inf, -1, 3}}),
		"NaN in x":         Loss("t", "nats", Curve{Name: "a", X: []float64{nan, 1}, Y: []float64{1, 2}}),
		"huge":             Lines("t", "x", "y", LineOptions{}, Curve{Name: "a", Y: []float64{math.MaxFloat64, -math.MaxFloat64, 5e-324}}),
		"huge loss":        Loss("t", "nats", Curve{Name: "a", Y: []float64{math.MaxFloat64, 5e-324}}),
		"hugest loss":      Loss("t", "nats", Curve{Name: "a", Y: []float64{math.MaxFloat64}}),
		"no flips":         Flips("t", Curve{Name: "a", Y: []float64{0, 0, 0}}),
		"no shares":        LossShares("t"),
		"empty shares":     LossShares("t", Curve{Name: "a"}, Curve{Name: "b"}),
		"one share":        LossShares("t", Curve{Name: "a", Y: []float64{1}}, Curve{Name: "b", Y: []float64{2}}),
		"NaN shares":       LossShares("t", Curve{Name: "a", Y: []float64{nan, 0}}, Curve{Name: "b", Y: []float64{2, 0}}),
		"no weights":       WeightHistogram(empty),
		"NaN weights":      WeightHistogram(broken),
		"no activations":   ActivationHistogram(none),
		"no latent":        LatentOverTime("x", nil, nil),
		"one latent":       LatentOverTime("x", []int{1}, []Histogram{broken.Latent}),
		"empty latent":     LatentOverTime("x", []int{1, 2}, []Histogram{empty.Latent, empty.Latent}),
		"no relations":     Relations("t"),
		"empty relation":   Relations("t", Relation{Name: "Q"}),
		"NaN relation":     Relations("t", hole),
		"no layers":        Layers("t"),
		"NaN layer":        Layers("t", Layer{"a", nan, inf}),
		"no bars":          Accuracy("t"),
		"one bar":          Accuracy("t", Bar{"a", 1, 0}),
		"NaN bars":         Accuracy("t", Bar{"a", nan, nan}, Bar{"b", inf, 1}, Bar{"c", 0.5, inf}),
		"NaN memory":       Memory("t", Bar{"a", nan, 0}),
		"no ablation":      Ablation("t", "%"),
		"NaN ablation":     Ablation("t", "%", Bar{"a", nan, 0}),
		"same names":       Accuracy("t", Bar{"a", 0.5, 0.1}, Bar{"a", 0.7, 0.1}, Bar{"", 0.2, 0.1}),
		"names as numbers": Accuracy("t", Bar{"2", 0.5, 0.1}, Bar{"1", 0.7, 0.1}, Bar{"0", 0.2, 0.1}),
		"long title":       Loss(strings.Repeat("a very long title ", 20), "nats", Curve{Name: strings.Repeat("long name ", 30), Y: []float64{1, 2}}),
		"small":            Loss("t", "nats", Curve{Name: "a", Y: []float64{1, 2}}).Resized(1, 1),
	} {
		svg, err := c.SVG(Dark)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if err := wellFormed(svg); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, bad := range []string{"NaN", "Infinity", "undefined"} {
			if strings.Contains(string(svg), bad) {
				t.Errorf("%s: the SVG has %q", name, bad)
			}
		}
		if strings.HasPrefix(name, "no ") && name != "no flips" || strings.HasPrefix(name, "empty ") || name == "only NaN" {
			if !strings.Contains(string(svg), "no data") {
				t.Errorf("%s: does not say so", name)
			}
		}
		if _, err := rasterize(svg, c.width, c.height); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRefused(t *testing.T) {
	h, err := NewHistogram(nil, 0, 1, 4)
	check(t, err)
	other, err := NewHistogram(nil, 0, 2, 4)
	check(t, err)
	for name, c := range map[string]*Chart{
		`curve "CE": 1 x and 2 y`:  Loss("t", "nats", Curve{"CE", []float64{1}, []float64{1, 2}}),
		`part "b"`:                 LossShares("t", Curve{Name: "a", Y: []float64{1}}, Curve{Name: "b", Y: []float64{1, 2}}),
		"2 steps and 1 histograms": LatentOverTime("x", []int{1, 2}, []Histogram{h}),
		"step 2 has 4 bins":        LatentOverTime("x", []int{1, 2}, []Histogram{h, other}),
		"NewHistogram":             LatentOverTime("x", []int{1}, []Histogram{{}}),
		"0 bins":                   WeightHistogram(Ternary{}),
		`relation "Q"`:             Relations("t", Relation{"Q", [][]float32{{1}}, nil}),
		"row 0 has 2 and 1":        Relations("t", Relation{"Q", [][]float32{{1, 2}}, [][]float32{{1}}}),
		"pixels":                   Accuracy("t").Resized(0, 100),
	} {
		if _, err := c.SVG(Light); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("got error %v, want one with %q", err, name)
		}
		if c.Err() == nil {
			t.Errorf("%s: Err is nil", name)
		}
		if _, err := c.Figure(); err == nil {
			t.Errorf("%s: Figure was made", name)
		}
	}
	if _, err := Accuracy("t").SVG("sepia"); err == nil {
		t.Error("theme sepia was taken")
	}
}

// TestMillionPoints holds the size of a chart of a million points. BenchmarkMillionPoints has the time.
func TestMillionPoints(t *testing.T) {
	c := millionPoints(million())
	raw, err := c.JSON()
	check(t, err)
	fragment, err := c.Fragment()
	check(t, err)
	t.Logf("option %d bytes, fragment %d bytes", len(raw), len(fragment))
	if len(raw) > 100_000 || len(fragment) > 1_000_000 {
		t.Errorf("option %d bytes, fragment %d bytes: want less than 100 kB and 1 MB", len(raw), len(fragment))
	}
}

func million() []float64 {
	y := make([]float64, 1_000_000)
	r := rand.New(rand.NewPCG(7, 8))
	for i := range y {
		y[i] = math.Exp(-float64(i)/300_000 + 0.3*r.NormFloat64())
	}
	return y
}

func millionPoints(y []float64) *Chart {
	return Loss("a million points", "nats", Curve{Name: "CE", Y: y})
}

func BenchmarkMillionPoints(b *testing.B) {
	y := million()
	for b.Loop() {
		if _, err := millionPoints(y).JSON(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSVG(b *testing.B) {
	for name, c := range gallery(b, same) {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := c.SVG(Light); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkPNG(b *testing.B) {
	c := gallery(b, same)["relations"]
	for b.Loop() {
		if _, err := c.PNG(Light); err != nil {
			b.Fatal(err)
		}
	}
}
