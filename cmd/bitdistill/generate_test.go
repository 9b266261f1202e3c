package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"unicode/utf8"

	"github.com/bitdistill/bitdistill/bitnet/infer"
	"github.com/bitdistill/bitdistill/distill"
)

const beginning = "Once upon a time"

// library is what package infer writes behind a prompt, as one text.
func library(t *testing.T, prompt string, o infer.GenerateOptions) string {
	t.Helper()
	m, err := distill.OpenPacked(t.Context(), distill.Embedded, nil, infer.Options{Threads: 1})
	check(t, err)
	defer m.Close()
	bos, _ := m.Tokenizer.BOS()
	ids := append([]int32{bos}, m.Tokenizer.Encode(prompt)...)
	more, err := m.Generate(t.Context(), ids, o, nil)
	check(t, err)
	text, ok := strings.CutPrefix(m.Tokenizer.Decode(append(ids, more...)), prompt)
	if !ok {
		t.Fatalf("the text does not begin with %q", prompt)
	}
	return text
}

// TestGenerate wants the text of the library, whichever way the prompt is given.
func TestGenerate(t *testing.T) {
	want := library(t, beginning, infer.GenerateOptions{MaxTokens: 40})
	for name, r := range map[string]result{
		"flags": call(t, "generate", "--model", distill.Embedded, "--prompt", beginning, "--max-tokens", "40"),
		"words": call(t, "generate", "--max-tokens", "40", distill.Embedded, "Once", "upon a time"),
		"stdin": callIn(t, beginning+"\n", "generate", distill.Embedded, "--max-tokens", "40", "--threads", "2"),
	} {
		if r.want(t, exitDone); r.out != want+"\n" || r.errors != "" {
			t.Errorf("%s: %q, messages %q; want %q", name, r.out, r.errors, want)
		}
	}
	call(t, "generate", "--model", distill.Embedded, "--prompt", beginning, "--max-tokens", "9", "--stats").want(t, exitDone, "model opened in", "9 written", "tokens/s")

	drawn := library(t, beginning, infer.GenerateOptions{MaxTokens: 40, Temperature: 1.1, TopK: 30, TopP: 0.9, Seed: 7})
	args := []string{"generate", distill.Embedded, beginning, "--max-tokens", "40", "--temperature", "1.1", "--top-k", "30", "--top-p", "0.9", "--json"}
	var report, other generateReport
	r := call(t, append(args, "--seed", "7")...)
	r.decode(t, &report)
	if report.Text != drawn || report.Tokens != 40 || report.Finish != finishLength || report.PromptTokens != 5 || report.Model != distill.Embedded || drawn == want {
		t.Errorf("%+v, want %q", report, drawn)
	}
	r = call(t, append(args, "--seed", "8")...)
	if r.decode(t, &other); other.Text == drawn {
		t.Error("another seed drew the same text")
	}
}

// TestGenerateStops ends in front of a text, also one that begins in the middle of a token and ends in that of another.
func TestGenerateStops(t *testing.T) {
	want := library(t, beginning, infer.GenerateOptions{MaxTokens: 60})
	for _, stop := range []string{"girl", "e gir", " She loved to p", want[:9]} {
		at := strings.Index(want, stop)
		if at < 0 {
			t.Fatalf("%q is not in %q", stop, want)
		}
		var report generateReport
		r := call(t, "generate", distill.Embedded, beginning, "--stop", "not there", "--stop", stop, "--max-tokens", "60", "--json")
		r.want(t, exitDone)
		if r.decode(t, &report); report.Text != want[:at] || report.Finish != finishStop {
			t.Errorf("%q: %+v, want %q", stop, report, want[:at])
		}
	}
}

// writes keeps what was written piece by piece.
type writes []string

func (w *writes) Write(p []byte) (int, error) {
	*w = append(*w, string(p))
	return len(p), nil
}

// A model that begins another text has ended this one: the embedded one does so, and has no other end.
func TestGenerateEnds(t *testing.T) {
	whole := library(t, beginning, infer.GenerateOptions{MaxTokens: 400})
	want, _, another := strings.Cut(whole, beginning)
	if !another {
		t.Fatal("the model does not begin another text")
	}
	var report generateReport
	r := call(t, "generate", distill.Embedded, beginning, "--max-tokens", "400", "--json")
	r.want(t, exitDone)
	if r.decode(t, &report); report.Text != strings.TrimRight(want, " ") || report.Finish != finishEnd {
		t.Errorf("%+v, want %q", report, want)
	}
}

// TestTextWriter never writes half a character.
func TestTextWriter(t *testing.T) {
	m, err := distill.OpenPacked(t.Context(), distill.Embedded, nil, infer.Options{})
	check(t, err)
	defer m.Close()
	const text = "A dog \u2013 日本 and 🐕, \U0001F469\u200D\U0001F4BB!"
	prompt, whole := m.Tokenizer.Encode("A dog"), m.Tokenizer.Encode(text)
	var pieces writes
	w := newTextWriter(&pieces, m.Tokenizer, prompt, []string{"dogs", "!!"})
	for _, id := range whole[len(prompt):] {
		check(t, w.add(id))
	}
	check(t, w.end())
	if got := strings.Join(pieces, ""); "A dog"+got != text || len(pieces) < 8 {
		t.Errorf("%q in %d pieces, want %q", got, len(pieces), text)
	}
	for _, p := range pieces {
		if !utf8.ValidString(p) {
			t.Errorf("%q is no text", p)
		}
	}
}

// stopper stops the program once something has been written.
type stopper struct {
	text strings.Builder
	stop context.CancelFunc
}

func (s *stopper) Write(p []byte) (int, error) {
	defer s.stop()
	return s.text.Write(p)
}

// Ctrl-C ends a text, and leaves what was written as a line.
func TestGenerateInterrupted(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	out, log := &stopper{stop: stop}, bytes.Buffer{}
	code := run(ctx, []string{"generate", distill.Embedded, beginning, "--max-tokens", "500", "--stats"}, strings.NewReader(""), out, &log)
	result{code, out.text.String(), log.String()}.want(t, exitInterrupted, "written in")
	want := library(t, beginning, infer.GenerateOptions{MaxTokens: 20})
	if text := strings.TrimSuffix(out.text.String(), "\n"); text == "" || text == out.text.String() || !strings.HasPrefix(want, text) {
		t.Errorf("%q, want the beginning of %q", out.text.String(), want)
	}
}

// countdown is a context that ends when it was asked so many times.
type countdown struct {
	context.Context
	left atomic.Int32
}

func (c *countdown) Value(any) any { return nil } // which would lead to the context inside

func (c *countdown) Err() error {
	if c.left.Add(-1) < 0 {
		return context.Canceled
	}
	return nil
}

// Ctrl-C leaves an object with what there is.
func TestGenerateInterruptedJSON(t *testing.T) {
	ctx := &countdown{Context: t.Context()}
	ctx.left.Store(150) // of which opening the model takes some
	var out, log bytes.Buffer
	code := run(ctx, []string{"generate", distill.Embedded, beginning, "--max-tokens", "500", "--json"}, strings.NewReader(""), &out, &log)
	result{code, out.String(), log.String()}.want(t, exitInterrupted)
	var report generateReport
	check(t, json.Unmarshal(out.Bytes(), &report))
	want := library(t, beginning, infer.GenerateOptions{MaxTokens: 150})
	if report.Finish != finishInterrupted || report.Tokens < 1 || report.Tokens > 150 || report.Text == "" || !strings.HasPrefix(want, report.Text) {
		t.Errorf("%+v, want the beginning of %q", report, want)
	}
}

// TestGenerateRefused names what is wrong.
func TestGenerateRefused(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join(modelFolder(t), "model.safetensors"))
	check(t, err)
	junk := write(t, "junk.gguf", "GGUF"+string(raw[:2000]))
	long := strings.Repeat("The dog ran. ", 200)
	for name, c := range map[string]struct {
		stdin string
		args  []string
		words []string
	}{
		"no model":     {"a", nil, []string{"--model: missing"}},
		"no such file": {"a", []string{"nowhere.gguf"}, []string{"nowhere.gguf", "no such folder or file"}},
		"junk":         {"a", []string{junk}, []string{junk}},
		"empty stdin":  {"\n", []string{distill.Embedded}, []string{"standard input: is empty", "--prompt"}},
		"not UTF-8":    {"ab\xffc", []string{distill.Embedded}, []string{"standard input: byte 2 is not UTF-8"}},
		"bad words":    {"", []string{distill.Embedded, "\xc3"}, []string{"the prompt: byte 0 is not UTF-8"}},
		"too long":     {long, []string{distill.Embedded}, []string{"the prompt takes ", "512 (max_position_embeddings)"}},
		"no room":      {"a", []string{distill.Embedded, "--max-tokens", "9999"}, []string{"--max-tokens: 9999", "room for 51"}},
		"no tokens":    {"a", []string{distill.Embedded, "--max-tokens", "0"}, []string{"--max-tokens: 0"}},
		"temperature":  {"a", []string{distill.Embedded, "--temperature", "-1"}, []string{"--temperature: -1"}},
		"top-p":        {"a", []string{distill.Embedded, "--top-p", "NaN"}, []string{"--top-p: NaN"}},
		"top-k":        {"a", []string{distill.Embedded, "--top-k", "-2"}, []string{"--top-k: -2"}},
		"stop":         {"a", []string{distill.Embedded, "--stop", ""}, []string{"--stop: is empty"}},
		"two prompts":  {"a", []string{distill.Embedded, "b", "--prompt", "c"}, []string{`"b"`, "--prompt"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := callIn(t, c.stdin, append([]string{"generate"}, c.args...)...)
			if r.want(t, exitInput, c.words...); r.out != "" {
				t.Errorf("stdout: %q", r.out)
			}
		})
	}
}

// A text that cannot be written ends the program with the reason.
func TestGenerateUnwritable(t *testing.T) {
	var log bytes.Buffer
	code := run(t.Context(), []string{"generate", distill.Embedded, beginning}, strings.NewReader(""), full{}, &log)
	result{code, "", log.String()}.want(t, exitFailed, errFull.Error())
}

var errFull = errors.New("no room for it")

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errFull }
