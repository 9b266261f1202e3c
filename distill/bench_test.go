package distill

import (
	"context"
	"errors"
	"math"
	"testing"

	"github.com/bitdistill/bitdistill/bitnet/arch"
	"github.com/bitdistill/bitdistill/internal/backend/backendtest"
)

// tinySpec takes a fraction of a second.
func tinySpec(stage int) BenchSpec {
	return BenchSpec{Shape: "stories260k", Layers: 1, Stage: stage, Batch: 4, Length: 12, Steps: 2, Repetitions: 2, Backend: "go"}
}

func TestBenchShapes(t *testing.T) {
	pretrained, err := openPretrained()
	if err != nil {
		t.Fatal(err)
	}
	// Sizes as the models' own files have them.
	for i, want := range []int{pretrained.Config.Parameters(), 134_515_008, 596_049_920, 1_720_574_976, 4_022_468_096} {
		s := benchShapes[i]
		if err := s.config.Validate(); err != nil {
			t.Errorf("%s: %v", s.name, err)
		}
		if got := s.config.Parameters(); got != want {
			t.Errorf("%s: %d parameters, want %d", s.name, got, want)
		}
	}
	if got, want := benchShapes[0].config, pretrained.Config; got.Heads != want.Heads || got.KVHeads != want.KVHeads || got.RopeTheta != want.RopeTheta ||
		got.NormEps != want.NormEps || got.MaxPositions != want.MaxPositions || got.Parameters(arch.Linear) != want.Parameters(arch.Linear) {
		t.Errorf("stories260k: %+v, the model in the binary is %+v", got, want)
	}
}

// Counted by hand, 4 x 128 tokens: 226,560 weights in the linears of 5 blocks.
func TestBenchOperations(t *testing.T) {
	for _, c := range []struct {
		stage int
		every bool
		want  float64
	}{
		{2, false, 1_048_313_856},                      // 6*512*226560 + 12*512*5*64*128 + 6*512*64*512
		{3, true, 1_048_313_856 * 4. / 3},              // the teacher is a third
		{3, false, (947_650_560 + 1_572_864) * 4. / 3}, // logits of 8 positions
	} {
		p, err := BenchSpec{Shape: "stories260k", Stage: c.stage, EveryPosition: c.every, Batch: 4, Length: 128, Steps: 1, Repetitions: 1}.Program()
		if err != nil {
			t.Fatal(err)
		}
		if p.Operations != c.want {
			t.Errorf("stage %d, every position %t: %.0f operations, want %.0f", c.stage, c.every, p.Operations, c.want)
		}
	}
}

func TestBenchTraining(t *testing.T) {
	for _, stage := range []int{2, 3} {
		s, waited := tinySpec(stage), 0
		s.Before = func(context.Context) error { waited++; return nil }
		r, err := BenchTraining(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		if r.Engine != "bitdistill go" || len(r.Seconds) != 2 || waited != 2 || !(r.GFLOPS > 0) || r.GFLOPSBF16 != 0 {
			t.Errorf("stage %d: %+v, waited %d times", stage, r, waited)
		}
		for _, seconds := range r.Seconds {
			if !(seconds > 0 && r.FirstStep > 0) {
				t.Errorf("stage %d: no time went by: %+v", stage, r)
			}
		}
		brief := tinySpec(stage)
		brief.Steps = 1
		shorter, err := BenchTraining(t.Context(), brief)
		if err != nil {
			t.Fatal(err)
		}
		if r.Compilations < 2 || shorter.Compilations != r.Compilations {
			t.Errorf("stage %d: %d compilations, %d in fewer steps; want as many, gradient and update at least", stage, r.Compilations, shorter.Compilations)
		}
		if r.Outside == nil || !(*r.Outside > 0 && *r.Outside < 1) {
			t.Errorf("stage %d: share outside of compiled graphs: %v", stage, r.Outside)
		}
		if least := 0.5 * math.Log(512); !(r.FirstLoss > least && r.LastLoss > 0) { // of guesses without knowledge it is log(512) or more
			t.Errorf("stage %d: loss %g and then %g", stage, r.FirstLoss, r.LastLoss)
		}
		p, err := s.Program()
		if err != nil {
			t.Fatal(err)
		}
		mean, sd := p.TokensPerSecond(BenchResult{Seconds: []float64{1, 2}})
		near(t, "tokens/s", mean, (96+48)/2, 1e-12)
		near(t, "its standard deviation", sd, math.Sqrt(2*24*24), 1e-12)
	}
}

// Weights and sequences are the same on all backends, so that the first loss is.
func TestBenchTrainingOnXLA(t *testing.T) {
	backendtest.XLA(t) // skips where it is not there
	s := tinySpec(2)
	want, err := BenchTraining(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	s.Backend = "xla:cpu"
	got, err := BenchTraining(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "first loss", got.FirstLoss, want.FirstLoss, 1e-3) // an int8 code may turn
	if got.Engine != "bitdistill xla:cpu" || !(got.GFLOPSBF16 > 0) || len(got.Seconds) != 2 || got.Compilations < 2 || !(*got.Outside > 0 && *got.Outside < 1) {
		t.Errorf("%+v", got)
	}
}

// What is measured is a training: on one batch the loss falls.
func TestBenchLearns(t *testing.T) {
	p, err := tinySpec(3).Program()
	if err != nil {
		t.Fatal(err)
	}
	b := openBench(t, p)
	batch := batches(b)
	first, _, err := b.train(t.Context(), batch)
	if err != nil {
		t.Fatal(err)
	}
	var last terms
	for range 10 {
		if last, _, err = b.train(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
	}
	if !(last.CE < first.CE && last.Total < first.Total) {
		t.Errorf("losses %+v, ten steps later %+v", first, last)
	}
	if first.LD <= 0 || first.AD <= 0 {
		t.Errorf("nothing is distilled: %+v", first)
	}
}

func TestBenchRefuses(t *testing.T) {
	for word, change := range map[string]func(*BenchSpec){
		"shape":         func(s *BenchSpec) { s.Shape = "gpt-5" },
		"layers":        func(s *BenchSpec) { s.Layers = 6 },
		"stage":         func(s *BenchSpec) { s.Stage = 1 },
		"batch":         func(s *BenchSpec) { s.Batch = 0 },
		"length":        func(s *BenchSpec) { s.Length = 513 },
		"steps":         func(s *BenchSpec) { s.Steps = 0 },
		"repetitions":   func(s *BenchSpec) { s.Repetitions = 0 },
		"micro_batches": func(s *BenchSpec) { s.Set = []string{"stage3.micro_batches=3"} },
		"loss.layer":    func(s *BenchSpec) { s.Set = []string{"loss.layer=7"} },
		"tau":           func(s *BenchSpec) { s.Set = []string{"loss.logits.tau=0"} },
		"backend":       func(s *BenchSpec) { s.Backend = "tpu" },
	} {
		s := tinySpec(3)
		change(&s)
		_, err := BenchTraining(t.Context(), s)
		wantError(t, err, word)
		if !errors.Is(err, ErrInput) {
			t.Errorf("%s: %v is not wrong input", word, err)
		}
	}
}
