package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bitdistill/bitdistill/distill"
	"github.com/bitdistill/bitdistill/distill/embedded"
)

// result is what one call of the program left.
type result struct {
	code        int
	out, errors string
}

// call runs the program in this process.
func call(t *testing.T, args ...string) result {
	t.Helper()
	return callWith(t, context.Background(), &bytes.Buffer{}, args...)
}

func callWith(t *testing.T, ctx context.Context, stderr interface {
	Write([]byte) (int, error)
	String() string
}, args ...string) result {
	t.Helper()
	var out bytes.Buffer
	code := run(ctx, args, strings.NewReader(""), &out, stderr)
	return result{code, out.String(), stderr.String()}
}

// callIn runs the program with something on standard input.
func callIn(t *testing.T, stdin string, args ...string) result {
	t.Helper()
	var out, log bytes.Buffer
	code := run(t.Context(), args, strings.NewReader(stdin), &out, &log)
	return result{code, out.String(), log.String()}
}

// want checks the exit code, that the messages contain all words, and that nobody sees a stack.
func (r result) want(t *testing.T, code int, words ...string) {
	t.Helper()
	if r.code != code {
		t.Errorf("exit code %d, want %d: %s", r.code, code, r.errors)
	}
	for _, w := range words {
		if !strings.Contains(r.errors, w) {
			t.Errorf("the messages do not contain %q:\n%s", w, r.errors)
		}
	}
	for _, trace := range []string{"goroutine", ".go:", "panic", "Usage:"} {
		if strings.Contains(r.errors, trace) {
			t.Errorf("the messages contain %q:\n%s", trace, r.errors)
		}
	}
	if code == exitInput && !strings.Contains(r.errors, "bitdistill: ") {
		t.Errorf("no message begins with the program's name:\n%s", r.errors)
	}
}

// decode reads the JSON on stdout, all of it, without unknown fields.
func (r result) decode(t *testing.T, to any) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(r.out))
	d.DisallowUnknownFields()
	if err := d.Decode(to); err != nil || d.More() {
		t.Fatalf("stdout is not one such object (%v):\n%s", err, r.out)
	}
}

// write makes a file in a new folder.
func write(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o666); err != nil {
		t.Fatal(err)
	}
	return path
}

// modelFolder unpacks the embedded model.
func modelFolder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := embedded.Model(dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

// table is a TSV file of short sentences for the task sst2.
func table(rows int) string {
	var b strings.Builder
	b.WriteString("sentence\tlabel\n")
	for i := range rows {
		mood, label := "dull and sad", 0
		if i%3 == 0 {
			mood, label = "kind and happy", 1
		}
		fmt.Fprintf(&b, "the story number %d was %s\t%d\n", i, mood, label)
	}
	return b.String()
}

// story is text for the corpus.
func story(lines int) string {
	return strings.Repeat("Once upon a time there was a small dog. He was happy to play with a big red ball.\n", lines)
}

// ownData are flags for a run on the embedded model with a few rows of other data, and few steps.
func ownData(t *testing.T, out string) []string {
	t.Helper()
	return append([]string{
		"run", "--preset", "embedded", "--backend", "go", "--out", out, "--model", distill.Embedded, "--task", distill.Embedded,
		"--train", write(t, "train.tsv", table(40)), "--dev", write(t, "dev.tsv", table(12)), "--corpus", write(t, "corpus.txt", story(20)),
	}, tiny()...)
}

// tiny are settings that train for a moment.
func tiny() []string {
	var args []string
	for _, set := range []string{
		"fine_tune.steps=2", "bitnet_sft.steps=2", "stage2.steps=3", "stage3.steps=2", "fine_tune.batch_size=4", "bitnet_sft.batch_size=4",
		"stage2.batch_size=4", "stage3.batch_size=4", "corpus.length=32", "corpus.report_windows=2", "task.max_length=32", "checkpoint_every=1", "log_every=1",
	} {
		args = append(args, "--set", set)
	}
	return args
}
