package infer_test

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/bitdistill/bitdistill/bitnet/arch"
	"github.com/bitdistill/bitdistill/bitnet/gguf"
	"github.com/bitdistill/bitdistill/bitnet/infer"
	"github.com/bitdistill/bitdistill/internal/archtest"
)

// TestCacheTypes: a smaller cache hardly changes what a model says of a real text. In a ternary model a rounded value may also change a code
// that is next to a tie, which spreads; this one was made ternary without training, so that it is often undecided.
func TestCacheTypes(t *testing.T) {
	ternary := nativeFile(t, ternaryStories(t, arch.SubLNOutput), gguf.F32, gguf.F32)
	for _, c := range []struct {
		path          string
		kind          infer.CacheType
		share, change float64 // of equal argmax, and of the logarithm of perplexity
	}{
		{stories, infer.CacheF16, 0.99, 0.001}, {stories, infer.CacheInt8, 0.96, 0.005},
		{ternary, infer.CacheF16, 0.92, 0.002}, {ternary, infer.CacheInt8, 0.87, 0.01},
	} {
		m := opened(t, c.path, infer.Options{})
		ids := corpus(t, m, 510)
		want, err := m.Logits(t.Context(), ids)
		if err != nil {
			t.Fatal(err)
		}
		got, err := opened(t, c.path, infer.Options{Cache: c.kind}).Logits(t.Context(), ids)
		if err != nil {
			t.Fatal(err)
		}
		same, equal := 0, true
		for i := range ids {
			if argmax(got[i]) == argmax(want[i]) {
				same++
			}
			equal = equal && slices.Equal(got[i], want[i])
		}
		share, change := float64(same)/float64(len(ids)), math.Abs(surprise(got, ids)-surprise(want, ids))
		t.Logf("%s: argmax equal on %.2f %%, logarithm of perplexity off by %.2g", c.kind, 100*share, change)
		if share < c.share || !(change < c.change) || equal {
			t.Errorf("%s: want %g and %g; all equal: %v", c.path, c.share, c.change, equal)
		}
	}
}

// TestCacheError: keys and values that are rounded change attention by no more than their types say: to about 2^-11 and 1/254 of it.
func TestCacheError(t *testing.T) {
	for _, family := range arch.Families() {
		c := archtest.Tiny(family, arch.Full())
		folder, ids := randomFolder(t, c, 11), randomIDs(c, 30, 11)
		want := flatLogits(t, opened(t, folder, infer.Options{}), ids)
		norm := 0.0
		for _, w := range want {
			norm += float64(w) * float64(w)
		}
		for kind, limit := range map[infer.CacheType]float64{infer.CacheF16: 1.0 / 1024, infer.CacheInt8: 1.0 / 32} {
			got, sum := flatLogits(t, opened(t, folder, infer.Options{Cache: kind}), ids), 0.0
			for i, w := range want {
				d := float64(got[i]) - float64(w)
				sum += d * d
			}
			if e := math.Sqrt(sum / norm); !(e > 0 && e < limit) {
				t.Errorf("%s, %s: relative error %g, want up to %g", family, kind, e, limit)
			}
		}
	}
}

// TestCachePieces: with every type of cache a text gives the same bits at once, in pieces and token by token.
func TestCachePieces(t *testing.T) {
	for _, family := range arch.Families() {
		c := archtest.Tiny(family, arch.Ternary(arch.SubLNOutput))
		c.MaxPositions = 200
		if c.SlidingWindow > 0 {
			c.SlidingWindow = 37
		}
		folder, ids := randomFolder(t, c, 12), randomIDs(c, 150, 12)
		for _, kind := range []infer.CacheType{infer.CacheF32, infer.CacheF16, infer.CacheInt8} {
			m := opened(t, folder, infer.Options{Threads: 2, Cache: kind})
			want := rows(flatLogits(t, m, ids), c.VocabSize)
			for _, size := range []int{1, 5, 67} {
				s, logits := sequence(t, m, 151), make([]float32, size*c.VocabSize)
				for at := 0; at+size <= len(ids); at += size {
					if err := s.Append(t.Context(), ids[at:at+size], logits); err != nil {
						t.Fatal(err)
					}
					for i, got := range rows(logits, c.VocabSize) {
						if !slices.Equal(got, want[at+i]) {
							t.Fatalf("%s, %s, %d at a time: other logits at %d", family, kind, size, at+i)
						}
					}
				}
			}
			s, one := sequence(t, m, 200), make([]float32, c.VocabSize)
			if n := testing.AllocsPerRun(100, func() {
				if err := s.Append(t.Context(), ids[:1], one); err != nil {
					t.Fatal(err)
				}
			}); n != 0 {
				t.Errorf("%s, %s: %v allocations a token", family, kind, n)
			}
		}
	}
}

func TestCacheNames(t *testing.T) {
	var o struct{ Cache infer.CacheType }
	for _, name := range []string{"f32", "f16", "int8"} {
		if err := json.Unmarshal([]byte(`{"Cache":"`+name+`"}`), &o); err != nil || o.Cache.String() != name {
			t.Errorf("%s: %s, %v", name, o.Cache, err)
		}
	}
	if err := o.Cache.UnmarshalText([]byte("q4")); err == nil || !strings.Contains(err.Error(), `"q4"; want f32, f16 or int8`) {
		t.Errorf("got %v", err)
	}
	if _, err := infer.Open(t.Context(), stories, infer.Options{Cache: 3}); err == nil || !strings.Contains(err.Error(), "CacheType(3), want") {
		t.Errorf("got %v", err)
	}
}
