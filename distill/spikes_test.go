package distill

import (
	"maps"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
)

// TestSpikeLimit compares with mean and deviation as they are defined, of the last values alone.
func TestSpikeLimit(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var s spikes
	var losses, norms []float64
	for n := range 2*spikeWindow + 10 {
		got := s.limit(6)
		if n < spikeLeast {
			if got != noLimit {
				t.Fatalf("after %d steps: %v", n, got)
			}
		} else {
			last := max(0, n-spikeWindow)
			for i, pair := range []struct {
				got    float32
				values []float64
			}{{got.loss, losses[last:]}, {got.norm, norms[last:]}} {
				var sum, squares float64
				for _, x := range pair.values {
					sum += x
					squares += x * x
				}
				k := float64(len(pair.values))
				want := sum/k + 6*math.Sqrt((squares-sum*sum/k)/(k-1))
				if math.Abs(float64(pair.got)-want) > 1e-5*want {
					t.Fatalf("after %d steps: limit %d is %g, want %g", n, i, pair.got, want)
				}
			}
		}
		losses, norms = append(losses, 2+random.Float64()), append(norms, 10*random.Float64())
		s.add(losses[n], norms[n])
		s.add(math.NaN(), 1)
		s.add(1, math.Inf(1))
	}
	if len(s.Losses) != spikeWindow || len(s.Norms) != spikeWindow {
		t.Errorf("%d losses and %d norms are kept", len(s.Losses), len(s.Norms))
	}
	if s.limit(0) != noLimit {
		t.Error("0 deviations limit something")
	}
}

func TestLimitAllows(t *testing.T) {
	inf, nan := math.Inf(1), math.NaN()
	l := limit{2, 3}
	for _, c := range []struct {
		limit      limit
		loss, norm float64
		want       bool
	}{
		{l, 2, 3, true}, {l, 2.01, 1, false}, {l, 1, 3.01, false}, {l, nan, 1, false}, {l, 1, nan, false}, {l, -inf, 1, false}, {l, -5, 1, true},
		{noLimit, 1e30, 1e30, true}, {noLimit, inf, 1, false}, {noLimit, 1, inf, false}, {noLimit, nan, 1, false}, {noLimit, -inf, 1, false},
	} {
		if got := c.limit.allows(c.loss, c.norm); got != c.want {
			t.Errorf("%v, loss %g, norm %g: %v", c.limit, c.loss, c.norm, got)
		}
	}
}

// A jump to another level is let through after a few steps.
func TestSpikesAdapt(t *testing.T) {
	var s spikes
	for i := range spikeWindow {
		s.add(1+0.01*float64(i%7), 1)
	}
	skipped := 0
	for ; !s.limit(6).allows(100, 1); s.add(100, 1) {
		if skipped++; skipped > 10 {
			t.Fatal("skipped for ever")
		}
	}
	if skipped == 0 {
		t.Error("a hundredfold loss is no spike")
	}
}

// A spike leaves weights and moments as they are, is counted and logged, and does not end the training however often it comes.
func TestSpikeSkipped(t *testing.T) {
	j := newJournal(t)
	tr := j.of(testTrainings[FullLabel](t, t.TempDir()))
	tr.training.SkipSpikes = 6
	tr.devices = devices{backend: tr.backend, n: 1}
	store, err := tr.workingStore()
	if err != nil {
		t.Fatal(err)
	}
	if err := tr.build(store); err != nil {
		t.Fatal(err)
	}
	for range spikeWindow {
		tr.state.Window.add(1e-3, 1e3) // the losses of the steps below are larger
	}
	before := everything(t, store)
	for k := range 4 {
		if err := tr.step(t.Context()); err != nil || tr.state.Skipped != k+1 || tr.state.Spikes != k+1 || tr.state.InARow != 0 || tr.state.Step != k+1 {
			t.Fatalf("%v, %+v", err, tr.state)
		}
		if !maps.Equal(everything(t, store), before) {
			t.Fatal("a skipped update changed weights or moments")
		}
		tr.state.Window = spikes{}
		for range spikeWindow {
			tr.state.Window.add(1e-3, 1e3)
		}
	}
	if n := strings.Count(j.text.String(), "a spike, update skipped"); n != 4 {
		t.Errorf("%d lines about spikes:\n%s", n, &j.text)
	}
	tr.state.Window = spikes{}
	if err := tr.step(t.Context()); err != nil || tr.state.Skipped != 4 || maps.Equal(everything(t, store), before) {
		t.Errorf("a step in good health: %v, %+v", err, tr.state)
	}
}

// TestSpikesResume interrupts trainings whose limit is so low that updates are skipped all the time: resumed ones skip the same.
func TestSpikesResume(t *testing.T) {
	const steps = spikeLeast + 20
	begin := func(dir string) *trainer {
		tr := testTrainings[BitNetLabel](t, dir)
		tr.training.Steps, tr.total, tr.training.SkipSpikes = steps, steps, 0.5
		tr.training.LearningRate, tr.training.Schedule = 1e-5, "constant" // so that losses stay about the same
		return tr
	}
	wantState, want := finish(t, begin(t.TempDir()))
	if wantState.Spikes == 0 || wantState.Spikes > steps-spikeLeast || wantState.Skipped != wantState.Spikes {
		t.Fatalf("%d spikes of %d updates skipped: none to compare", wantState.Spikes, wantState.Skipped)
	}
	dir := t.TempDir()
	for _, step := range []int{10, spikeLeast, spikeLeast + 7} {
		interruptAt(t, begin(dir), 2*step)
	}
	state, got := finish(t, begin(dir))
	sameBits(t, "weights", got, want)
	if state.Seconds, wantState.Seconds = 0, 0; !reflect.DeepEqual(state, wantState) {
		t.Errorf("state %+v\nwant  %+v", state, wantState)
	}
}
