package overlap

import (
	"strings"
	"testing"
)

// The words of several corpora, and made-up ones for every rule, as NLTK stems them.
func TestStem(t *testing.T) {
	words, wrong := 0, 0
	for line := range strings.Lines(gunzip(t, "testdata/stems.txt.gz")) {
		word, want, _ := strings.Cut(strings.TrimSpace(line), " ")
		words++
		if got := stem(word); got != want {
			if wrong++; wrong <= 20 {
				t.Errorf("stem of %s is %s, want %s", word, got, want)
			}
		}
	}
	if words < 45_000 || wrong > 0 {
		t.Errorf("%d of %d words wrong", wrong, words)
	}
}
