package distill

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// interrupted runs a stage until its first step is done.
func interrupted(t *testing.T, r *Run, stage string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r.log.observe = func(s Step) {
		if s.Step == 1 {
			cancel()
		}
	}
	if _, err := r.Stage(ctx, stage); !errors.Is(err, ErrInterrupted) {
		t.Fatalf("stage %s: %v", stage, err)
	}
}

// Who goes on with other files than before learns which ones they are, and goes on once they are as they were.
func TestResumeChangedFiles(t *testing.T) {
	c := smallRun(t, "model="+modelFolder(t, tinyModel(t, 1)), "teacher=")
	dir := filepath.Dir(c.Task.Train)
	task, second := filepath.Join(dir, "task.json"), filepath.Join(dir, "later.txt")
	write := func(path, content string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	const mood = `{"name": "mood", "prompt": "{sentence} It was", "label_column": "label", "labels": [{"value": "0", "answer": " sad"}, {"value": "1", "answer": "ANSWER"}]}`
	write(task, strings.Replace(mood, "ANSWER", " happy", 1))
	write(second, tale(40))
	c.Task.Name, c.Corpus.Files = task, append(c.Corpus.Files, second)

	r := opened(t, c, Options{Out: filepath.Join(t.TempDir(), "run")})
	interrupted(t, r, StageTeacher)
	if err := r.Stage1(t.Context()); err != nil {
		t.Fatal(err)
	}
	interrupted(t, r, StageCorpus)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	first := c.Corpus.Files[0]
	for _, change := range []struct {
		stage, file string
		edit        func(string) string
		setting     string
		kept        []string
	}{
		{StageTeacher, c.Task.Train, func(s string) string { return strings.Replace(s, "\t1\n", "\t0\n", 1) }, "task.train: ", []string{"task.name", "tokenizer"}},
		{StageTeacher, task, func(s string) string { return strings.Replace(s, " happy", " fine", 1) }, "task.name: ", []string{"task.train", "tokenizer"}},
		{StageCorpus, first, func(s string) string { return "Once more. " + s }, "corpus.files: ", []string{second, "tokenizer"}},
	} {
		raw, err := os.ReadFile(change.file)
		if err != nil {
			t.Fatal(err)
		}
		resume := func() error {
			r := opened(t, Config{}, Options{Out: r.dir, Resume: true})
			defer r.Close()
			_, err := r.Stage(t.Context(), change.stage)
			return err
		}
		edited := change.edit(string(raw))
		if edited == string(raw) {
			t.Fatalf("%s is as it was", change.file)
		}
		write(change.file, edited)
		err = resume()
		wrong(t, err, "step 1", "have changed: ", change.setting+change.file, "restore them")
		for _, other := range change.kept {
			if err != nil && strings.Contains(err.Error(), other) {
				t.Errorf("%s changed, %s is named: %v", change.file, other, err)
			}
		}
		write(change.file, string(raw))
		if change.stage == StageTeacher && change.file != task {
			continue // goes on once both have been tried
		}
		if err := resume(); err != nil {
			t.Errorf("%s as it was: %v", change.file, err)
		}
	}
}

// Of files that come and go, and of those cut by a limit, only what may be the cause is named.
func TestInputChanges(t *testing.T) {
	was := inputs{"a": "1", "b": "2", "c": "part of it: 3"}
	for _, c := range []struct {
		now  inputs
		want []string
	}{
		{inputs{"a": "1", "b": "2", "c": "part of it: 3"}, nil},
		{inputs{"a": "9", "b": "2", "c": "part of it: 8"}, []string{"a"}},
		{inputs{"a": "9", "b": "part of it: 7"}, []string{"a"}},
		{inputs{"a": "1", "b": "2", "c": "part of it: 8"}, []string{"c"}},
		{inputs{"a": "1", "b": "2", "c": "3", "d": "4"}, []string{"c", "d (was not there)"}},
		{inputs{"a": "1", "c": "part of it: 3"}, []string{"b (is not there any more)"}},
	} {
		if got := c.now.changes(was); !slices.Equal(got, c.want) {
			t.Errorf("%v: %q, want %q", c.now, got, c.want)
		}
	}
}
