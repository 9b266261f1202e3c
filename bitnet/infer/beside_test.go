package infer_test

import (
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/bitdistill/bitdistill/bitnet/arch"
	"github.com/bitdistill/bitdistill/bitnet/gguf"
	"github.com/bitdistill/bitdistill/bitnet/infer"
)

// TestBeside: models that share a mapped file compute at the same time what one does alone, also once the others are closed.
func TestBeside(t *testing.T) {
	m := opened(t, nativeFile(t, ternaryStories(t, arch.SubLNOutput), gguf.Q8_0, gguf.Q8_0), infer.Options{Threads: 2})
	ids := randomIDs(m.Config, 40, 5)
	want := flatLogits(t, m, ids)
	models := []*infer.Model{m}
	for i := range 3 {
		other, err := models[i].Beside(1 + i%2)
		if err != nil {
			t.Fatal(err)
		}
		if got := other.Threads(); got != 1+i%2 {
			t.Errorf("%d threads, want %d", got, 1+i%2)
		}
		models = append(models, other)
	}
	for len(models) > 0 {
		var group sync.WaitGroup
		for i, one := range models {
			group.Go(func() {
				all, err := one.Logits(t.Context(), ids)
				if err != nil {
					t.Error(err)
				} else if !slices.Equal(slices.Concat(all...), want) {
					t.Errorf("model %d of %d: other logits", i, len(models))
				}
			})
		}
		group.Wait()
		models[0].Close()
		models[0].Close() // as often as one likes
		if _, err := models[0].Beside(1); err == nil || !strings.Contains(err.Error(), "closed") {
			t.Errorf("beside a closed model: got %v", err)
		}
		models = models[1:]
	}
}

// TestBesideRefused: no threads, and sequences of another one of the models.
func TestBesideRefused(t *testing.T) {
	m := opened(t, stories, infer.Options{Threads: 1})
	if _, err := m.Beside(0); err == nil || !strings.Contains(err.Error(), "0 threads") {
		t.Errorf("got %v", err)
	}
	other, err := m.Beside(1)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	err = m.Step(t.Context(), []*infer.Sequence{sequence(t, other, 2)}, []int32{1}, make([]float32, m.Config.VocabSize))
	if err == nil || !strings.Contains(err.Error(), "another model's") {
		t.Errorf("got %v", err)
	}
}
