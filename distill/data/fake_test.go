package data

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// byteTokenizer has a token for each byte, 10 + byte; 1 is in front of sequences and 2 behind texts.
type byteTokenizer struct{ bare bool }

func (byteTokenizer) Encode(text string) []int32 {
	ids := make([]int32, len(text))
	for i := range len(text) {
		ids[i] = 10 + int32(text[i])
	}
	return ids
}
func (t byteTokenizer) BOS() (int32, bool) { return 1, !t.bare }
func (t byteTokenizer) EOS() (int32, bool) { return 2, !t.bare }
func (byteTokenizer) Pad() int32           { return 7 }

func decodeBytes(ids []int32) string {
	var b strings.Builder
	for _, id := range ids {
		switch id {
		case 1:
			b.WriteByte('^')
		case 2:
			b.WriteByte('$')
		default:
			b.WriteByte(byte(id - 10))
		}
	}
	return b.String()
}

// wordTokenizer puts a space in front of every text, as SentencePiece does, and has one token a word, so that the
// first word of a text is encoded like one behind a space.
type wordTokenizer struct{ byteTokenizer }

func (wordTokenizer) Encode(text string) []int32 {
	var ids []int32
	for _, word := range strings.Split(" "+text, " ")[1:] {
		id := int32(1000)
		for _, c := range word {
			id = id*31 + int32(c)
		}
		ids = append(ids, id&0xffffff)
	}
	return ids
}

var reviewTask = Task{
	Name: "reviews", Prompt: "{text} It was", LabelColumn: "y",
	Labels: []Label{{Value: "neg", Answer: " bad"}, {Value: "pos", Answer: " good"}},
}

// randomReviews is n rows of random words and lengths.
func randomReviews(n int, seed uint64) *Dataset {
	rng := rand.New(rand.NewPCG(seed, 1))
	d := &Dataset{File: "random.tsv", Columns: []string{"text"}}
	for i := range n {
		words := make([]string, 1+rng.IntN(12))
		for k := range words {
			words[k] = fmt.Sprintf("w%d", rng.IntN(50))
		}
		d.Rows = append(d.Rows, Row{Line: i + 2, Values: []string{strings.Join(words, " ")}, Label: rng.IntN(2)})
	}
	return d
}

func tokenized(t *testing.T, task Task, d *Dataset, o TokenizeOptions) *Examples {
	t.Helper()
	e, err := task.Tokenize(t.Context(), d, byteTokenizer{}, o)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func write(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// wantError checks that err mentions all parts.
func wantError(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one with %q", parts)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q does not mention %q", err, part)
		}
	}
}
