package distill

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/bitdistill/bitdistill/distill/data"
	"github.com/bitdistill/bitdistill/distill/eval"
)

// dialogues are held-out examples of the task "completion" for a model.
func dialogues(t testing.TB, r *Run) *data.Examples {
	t.Helper()
	e, err := r.sources.taskData(t.Context(), r.log)
	if err != nil {
		t.Fatal(err)
	}
	return e.dev
}

// generating is a run of the task "completion" that has trained nothing.
func generating(t testing.TB, log *bytes.Buffer) *Run {
	t.Helper()
	rows := filepath.Join(t.TempDir(), "rows.jsonl")
	var lines strings.Builder
	for _, word := range strings.Fields("red big sad old new hot") {
		lines.WriteString(`{"prompt": "The ` + word + ` dog", "completion": " was ` + word + `"}` + "\n")
	}
	if err := os.WriteFile(rows, []byte(lines.String()), 0o666); err != nil {
		t.Fatal(err)
	}
	c := smallRun(t, "model="+modelFolder(t, tinyModel(t, 1)), "teacher=", "task.name=completion", "task.train="+rows)
	c.Task.Dev = filepath.Join(filepath.Dir(rows), "dev.jsonl")
	if err := os.WriteFile(c.Task.Dev, []byte(lines.String()), 0o666); err != nil {
		t.Fatal(err)
	}
	return opened(t, c, Options{Out: filepath.Join(t.TempDir(), "run"), Log: log})
}

// The file holds what it was given, whole lines of it, for the same model, data and settings alone.
func TestKeepTexts(t *testing.T) {
	r := generating(t, &bytes.Buffer{})
	e, m, path := dialogues(t, r), tinyModel(t, 1), filepath.Join(t.TempDir(), "a.part")
	k, err := KeepTexts(path, m, e, "2 at once")
	if err != nil {
		t.Fatal(err)
	}
	measured := 0
	perplexity := func() (eval.Perplexity, error) {
		measured++
		return eval.Perplexity{Perplexity: 7, Tokens: 3}, nil
	}
	if _, err := k.Perplexity(perplexity); err != nil {
		t.Fatal(err)
	}
	for row, ids := range map[int][]int32{4: {9, 8, 7}, 2: nil} {
		if err := k.Keep(row, ids); err != nil {
			t.Fatal(err)
		}
	}
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, append(slices.Clone(raw), `{"row":3,"ids":[1`...), 0o666); err != nil { // killed while writing
		t.Fatal(err)
	}
	if k, err = KeepTexts(path, m, e, "2 at once"); err != nil {
		t.Fatal(err)
	}
	p, err := k.Perplexity(perplexity)
	four, ok4 := k.Text(4)
	two, ok2 := k.Text(2)
	if _, ok := k.Text(3); ok || !ok4 || !ok2 || !slices.Equal(four, []int32{9, 8, 7}) || len(two) != 0 || k.Len() != 2 || k.Seconds() <= 0 || err != nil || p.Perplexity != 7 || measured != 1 {
		t.Errorf("%v %v, %v %v, perplexity %+v measured %d times, %v", four, ok4, two, ok2, p, measured, err)
	}
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
	refused := func(what string, err error) {
		t.Helper()
		if now, _ := os.ReadFile(path); err == nil || !bytes.Equal(now, raw) {
			t.Errorf("%s: %v; the file holds\n%s", what, err, now)
		} else {
			wrong(t, err, path, "another model, other data or settings", "remove it")
		}
	}
	_, err = KeepTexts(path, tinyModel(t, 2), e, "2 at once")
	refused("another model", err)
	_, err = KeepTexts(path, m, e, "3 at once")
	refused("other settings", err)
	for _, other := range []string{"my notes\n", string(raw) + "{]\n"} {
		raw = []byte(other)
		if err := os.WriteFile(path, raw, 0o666); err != nil {
			t.Fatal(err)
		}
		_, err = KeepTexts(path, m, e, "2 at once")
		refused("another file", err)
	}
}

// An evaluation of a run goes on from what an earlier one of the same model has left, and begins anew with another model.
func TestGenerateGoesOn(t *testing.T) {
	var log bytes.Buffer
	r := generating(t, &log)
	e := dialogues(t, r)
	_, want, err := r.generate(t.Context(), "A", tinyModel(t, 1), e)
	if err != nil {
		t.Fatal(err)
	}
	k, err := r.keepTexts("A", tinyModel(t, 1), e)
	if err != nil || k.Len() != e.Len() {
		t.Fatalf("%v: %d texts are kept", err, k.Len())
	}
	if err := k.Keep(1, e.Prompt(1)); err != nil { // a later line counts
		t.Fatal(err)
	}
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
	log.Reset()
	_, got, err := r.generate(t.Context(), "A", tinyModel(t, 1), e)
	if err != nil || got[0] != want[0] || got[1] == want[1] || !strings.Contains(log.String(), "A: 6 texts are there already") {
		t.Errorf("%v: %q, before %q\n%s", err, got, want, &log)
	}
	log.Reset()
	other, err := r.keepTexts("A", tinyModel(t, 2), e)
	if err != nil || other.Len() != 0 || log.Len() > 0 {
		t.Fatalf("of another model: %v, %d texts\n%s", err, other.Len(), &log)
	}
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
}
