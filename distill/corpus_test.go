package distill

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/bitdistill/bitdistill/distill/data"
)

// corpusFolder writes texts of three kinds: a.txt, b.jsonl, and c, tokenized for the embedded model.
func corpusFolder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	var lines strings.Builder
	for i := range 60 {
		fmt.Fprintf(&lines, "{\"text\":\"The cat number %d was happy to see %d birds.\"}\n", i, i*7%11)
	}
	for name, content := range map[string]string{"a.txt": tale(60), "b.jsonl": lines.String(), "c.jsonl": strings.ReplaceAll(lines.String(), "cat", "dog")} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	tokenizeInto(t, filepath.Join(dir, "c"), filepath.Join(dir, "c.jsonl"))
	return dir
}

func tokenizeInto(t *testing.T, dir string, names ...string) {
	t.Helper()
	tok, err := OpenTokenizer(t.Context(), Embedded, nil)
	if err != nil {
		t.Fatal(err)
	}
	files, release, err := OpenCorpus(t.Context(), names, CorpusOptions{})
	if err != nil {
		t.Fatal(err)
	}
	err = data.Tokenize(t.Context(), dir, files, tok, data.TokenizingOptions{})
	release(err == nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := data.MergeTokenized(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
}

// throughStage2 runs stages 1 and 2, interrupted after every few log lines if that is not 0, and returns the weights' file.
func throughStage2(t *testing.T, c Config, every int) []byte {
	t.Helper()
	out := filepath.Join(t.TempDir(), "run")
	for attempt := range 60 {
		ctx, cancel := context.WithCancel(t.Context())
		log := &interrupter{left: every, cancel: cancel}
		r, err := Open(ctx, c, Options{Out: out, Resume: attempt > 0, Log: log})
		if err != nil {
			t.Fatal(err)
		}
		if err = r.Stage1(ctx); err == nil {
			err = r.Stage2(ctx)
		}
		cancel()
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		if err == nil {
			if every > 0 && attempt < 2 {
				t.Errorf("only %d interruptions", attempt)
			}
			raw, err := os.ReadFile(filepath.Join(out, Stage2Dir, weightsFile))
			if err != nil {
				t.Fatal(err)
			}
			return raw
		}
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("%v\n%s", err, log)
		}
	}
	t.Fatal("never done")
	return nil
}

// Stage 2 on a mixture of three corpora of different kinds, interrupted wherever, makes the model of a run that was not.
func TestMixtureRun(t *testing.T) {
	dir := corpusFolder(t)
	c := smallRun(t, "model="+modelFolder(t, tinyModel(t, 1)), "teacher="+modelFolder(t, tinyModel(t, 2)), "stage2.steps=12", "corpus.selection_windows=4", "stage2.eval_every=5", "stage2.learning_rate=0.01")
	for _, packing := range []data.Packing{"", data.Documents} {
		c.Corpus.Packing = packing
		c.Corpus.Files = []string{filepath.Join(dir, "a.txt") + "=5", filepath.Join(dir, "b*") + "=3", filepath.Join(dir, "c") + "=2.5"}
		want := throughStage2(t, c, 0)
		if got := throughStage2(t, c, 14); !bytes.Equal(got, want) {
			t.Errorf("packing %q: interrupted, the weights differ", packing)
		}
		c.Corpus.Files[0] = strings.TrimSuffix(c.Corpus.Files[0], "5") + "1"
		if bytes.Equal(throughStage2(t, c, 0), want) {
			t.Errorf("packing %q: other weights of the mixture change nothing", packing)
		}
	}
}

// A corpus that was tokenized before gives the model that its text gives.
func TestTokenizedRun(t *testing.T) {
	dir := corpusFolder(t)
	c := smallRun(t, "model="+modelFolder(t, tinyModel(t, 1)), "teacher="+modelFolder(t, tinyModel(t, 2)), "stage2.epochs=0.2", "stage2.learning_rate=0.01")
	text, stored := c, c
	text.Corpus.Files = []string{filepath.Join(dir, "a.txt"), filepath.Join(dir, "c.jsonl"), filepath.Join(dir, "b.jsonl")}
	stored.Corpus.Files = []string{filepath.Join(dir, "a.txt"), filepath.Join(dir, "c"), filepath.Join(dir, "b.jsonl")}
	if !bytes.Equal(throughStage2(t, text, 0), throughStage2(t, stored, 0)) {
		t.Error("the weights differ")
	}
}

func TestCorpusRefuses(t *testing.T) {
	dir := corpusFolder(t)
	at := func(name string) string { return filepath.Join(dir, name) }
	spoil := func(name string, change func([]byte) []byte) string {
		to := at(strings.ReplaceAll(t.Name()+name, "/", "-"))
		if err := os.CopyFS(to, os.DirFS(at("c"))); err != nil {
			t.Fatal(err)
		}
		raw, err := os.ReadFile(filepath.Join(to, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(to, name), change(raw), 0o666); err != nil {
			t.Fatal(err)
		}
		return to
	}
	for _, c := range []struct {
		files []string
		words []string
	}{
		{[]string{at("a.txt") + "=2", at("c")}, []string{"every part has a weight"}},
		{[]string{at("a.txt") + "=0", at("c") + "=1"}, []string{"corpus.files", "weight 1: 0"}},
		{[]string{at("a.txt") + "=-1"}, []string{"weight 1: -1"}},
		{[]string{at("a.txt") + "=many"}, []string{"a.txt=many"}},
		{[]string{at("none") + "=1"}, []string{"none"}},
		{[]string{spoil("00000.tokens", func(b []byte) []byte { return b[:len(b)-2] })}, []string{"00000.tokens", "truncated"}},
		{[]string{spoil("corpus.json", func(b []byte) []byte {
			i := bytes.Index(b, []byte(`"sha256": "`)) + 11
			b[i] ^= 1
			return b
		})}, []string{"another tokenizer"}},
	} {
		cfg := smallRun(t)
		cfg.Corpus.Files = c.files
		_, err := NewPlan(t.Context(), cfg, nil)
		wantError(t, err, c.words...)
		if !errors.Is(err, ErrInput) {
			t.Errorf("%v is not an error of input", err)
		}
	}
	// A byte that was changed shows when the corpus is read for training.
	cfg := smallRun(t)
	cfg.Corpus.Files = []string{spoil("00000.ends", func(b []byte) []byte { b[0] ^= 1; return b })}
	r := opened(t, cfg, Options{Out: filepath.Join(t.TempDir(), "run")})
	if err := r.Stage1(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantError(t, r.Stage2(t.Context()), "00000.ends", "altered")
}

// A name with a number behind = is a file where there is one.
func TestParseWeight(t *testing.T) {
	file := filepath.Join(t.TempDir(), "x=2")
	if err := os.WriteFile(file, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	for entry, want := range map[string]string{
		"a": "a 0 false", "a=1.5": "a 1.5 true", "a=b=3": "a=b 3 true", "a=b": "a=b 0 false", file: file + " 0 false", file + "=1": file + " 1 true",
	} {
		name, weight, weighted := parseWeight(entry)
		if got := fmt.Sprint(name, " ", weight, " ", weighted); got != want {
			t.Errorf("%s: %s, want %s", entry, got, want)
		}
	}
}

func TestSetAside(t *testing.T) {
	for _, c := range []struct {
		n      int
		shares []int
		want   []int
	}{
		{7, nil, []int{7}}, {0, nil, []int{0}}, {0, []int{500, 500}, []int{0, 0}}, {10, []int{700, 200, 100}, []int{7, 2, 1}}, {2, []int{900, 50, 50}, []int{2, 1, 1}},
	} {
		if got := setAside(c.n, c.shares); !slices.Equal(got, c.want) {
			t.Errorf("%d over %v: %v, want %v", c.n, c.shares, got, c.want)
		}
	}
}

// A budget of tokens counts those that are there, not the padding.
func TestTokensOfPaddedWindows(t *testing.T) {
	text := data.InMemory("a.jsonl", []byte(strings.Repeat("{\"text\":\"a dog\"}\n", 400)))
	tok, err := OpenTokenizer(t.Context(), Embedded, nil)
	if err != nil {
		t.Fatal(err)
	}
	c, err := data.ReadCorpus(t.Context(), []data.File{text}, tok, data.CorpusOptions{Length: 16, Packing: data.Documents})
	if err != nil {
		t.Fatal(err)
	}
	source, err := data.NewPacked(c, 2, 1)
	if err != nil {
		t.Fatal(err)
	}
	training := Training{Tokens: 2000, BatchSize: 4, MicroBatches: 2}
	tokens := 0
	for i := range 2 * training.totalSteps(source) {
		tokens += source.Batch(i).Tokens
	}
	if c.Fill() == 1 || tokens < 2000 || tokens > 2000+64 {
		t.Errorf("%d tokens in %d steps, windows filled to %g", tokens, training.totalSteps(source), c.Fill())
	}
}
