package distill

import (
	"bytes"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bitdistill/bitdistill/internal/hub/hubtest"
)

// A run on a mixture with a corpus of the hub, interrupted wherever, makes the model of one on files that was not; it goes on with the
// commit it began with, and without the network.
func TestHubRun(t *testing.T) {
	files := hubTexts(t, shardNames...)
	s := hubtest.New(t, "datasets", "owner/name", files)
	s.Environment(t)
	c := smallRun(t, "model="+modelFolder(t, tinyModel(t, 1)), "teacher="+modelFolder(t, tinyModel(t, 2)), "stage2.steps=12", "stage2.learning_rate=0.01")
	text := c.Corpus.Files[0]
	c.Corpus.Files = []string{text + "=1", local(t, files) + "=2"}
	want := throughStage2(t, c, 0)
	c.Corpus.Files[1] = "hf:owner/name/data/train-*=2"
	s.Seen("")
	if got := throughStage2(t, c, 14); !bytes.Equal(got, want) {
		t.Error("interrupted, the weights differ")
	}
	all := s.Seen("/revision/")
	if len(all) < 4 || !strings.HasSuffix(all[0], "/revision/main") || !strings.HasSuffix(all[len(all)-1], "/revision/"+hubtest.Commit) {
		t.Errorf("asked for %q", all)
	}
	t.Setenv("HF_HUB_OFFLINE", "1")
	if got := throughStage2(t, c, 0); !bytes.Equal(got, want) {
		t.Error("from the cache, the weights differ")
	}
}

// Where the hub cannot be reached the fallback is taken, if there is one, and stays what the run is about.
func TestFallback(t *testing.T) {
	files := hubTexts(t, shardNames...)
	s := hubtest.New(t, "datasets", "owner/name", files)
	cache := s.Environment(t)
	c := smallRun(t, "model="+modelFolder(t, tinyModel(t, 1)), "teacher="+modelFolder(t, tinyModel(t, 2)))
	text := c.Corpus.Files[0]
	want := throughStage2(t, c, 0)
	c.Corpus.Files = []string{"hf:owner/name/data/train-*=2", text + "=1"}
	t.Setenv("HF_HUB_OFFLINE", "1")
	_, err := NewPlan(t.Context(), c, nil)
	wantError(t, err, "owner/name", "HF_HUB_OFFLINE", cache, "--fallback-corpus")
	if !errors.Is(err, ErrUnreachable) || errors.Is(err, ErrInput) {
		t.Errorf("%v", err)
	}
	c.Corpus.Fallback = filepath.Join(t.TempDir(), "none.txt")
	_, err = NewPlan(t.Context(), c, nil)
	wantError(t, err, "corpus.fallback", "none.txt")
	c.Corpus.Fallback = "hf:owner/other"
	wantError(t, c.Validate(), "corpus.fallback", "local")

	c.Corpus.Fallback = text
	out := filepath.Join(t.TempDir(), "run")
	var log bytes.Buffer
	r := opened(t, c, Options{Out: out, Log: &log})
	if err := r.Stage1(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	wantFallbackKept(t, opened(t, Config{}, Options{Out: out, Resume: true}), text)
	for _, words := range []string{"the hub cannot be reached: ", "the fallback " + text + " is taken"} {
		if !strings.Contains(log.String(), words) {
			t.Errorf("the log has no %q:\n%s", words, log.String())
		}
	}
	t.Setenv("HF_HUB_OFFLINE", "") // the hub is there again
	r = opened(t, Config{}, Options{Out: out, Resume: true})
	if err := r.Stage2(t.Context()); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(out, Stage2Dir, weightsFile))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) || s.Seen("") != nil {
		t.Error("the run does not stay with its fallback")
	}
	wantFallbackKept(t, r, text)
	if c, err = StoredConfig(out); err != nil {
		t.Fatal(err)
	}
	c.Corpus.Files = []string{"hf:owner/name/data/train-*"} // another corpus
	if plan, err := NewPlan(t.Context(), c, nil); err != nil || s.Seen("train-") == nil || plan.Config.Hub["hf:owner/name/data/train-*"] != hubtest.Commit {
		t.Errorf("another corpus is not asked for: %v", err)
	}
}

// wantFallbackKept tries to give a run another fallback corpus, and none, and closes it.
func wantFallbackKept(t *testing.T, r *Run, corpus string) {
	t.Helper()
	for _, other := range []string{local(t, hubTexts(t, shardNames...)), ""} {
		c := r.Config
		c.Corpus.Fallback = other
		wrong(t, r.Reconfigure(t.Context(), c), r.dir, "the corpus of the run is "+corpus+", and stays that", "--fallback-corpus", "start another run")
	}
	if stored, err := StoredConfig(r.dir); err != nil || stored.Corpus.Fallback != r.Config.Corpus.Fallback {
		t.Errorf("%v, stored is %q", err, stored.Corpus.Fallback)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
}

// What wants the hub after the plan was made is not replaced once stage 2 has begun.
func TestFallbackLate(t *testing.T) {
	s := hubtest.New(t, "datasets", "owner/name", hubTexts(t, shardNames...))
	cache := s.Environment(t)
	c := smallRun(t, "model="+modelFolder(t, tinyModel(t, 1)), "teacher="+modelFolder(t, tinyModel(t, 2)))
	c.Corpus.Fallback, c.Corpus.Files = c.Corpus.Files[0], []string{"hf:owner/name/data/train-*"}
	for _, begun := range []bool{true, false} {
		out := filepath.Join(t.TempDir(), "run")
		r := opened(t, c, Options{Out: out})
		if err := r.Stage1(t.Context()); err != nil {
			t.Fatal(err)
		}
		t.Setenv("HF_HUB_OFFLINE", "1")
		if err := os.RemoveAll(filepath.Join(cache, "datasets--owner--name")); err != nil {
			t.Fatal(err)
		}
		if begun {
			if err := os.MkdirAll(filepath.Join(out, checkpointsDir, Stage2Dir), 0o777); err != nil {
				t.Fatal(err)
			}
			err := r.Stage2(t.Context())
			wantError(t, err, "stage 2 has begun with this corpus")
			if !errors.Is(err, ErrUnreachable) {
				t.Errorf("%v", err)
			}
			changed := r.Config
			changed.LogEvery++
			wantError(t, r.Reconfigure(t.Context(), changed), "stage 2 has begun with this corpus")
			wantFallbackKept(t, r, c.Corpus.Files[0])
		} else if err := r.Stage2(t.Context()); err != nil {
			t.Fatal(err)
		} else if stored, err := StoredConfig(out); err != nil || !maps.Equal(stored.Hub, map[string]string{"corpus": "fallback for hf:owner/name/data/train-*", "hf:owner/name/data/train-*": hubtest.Commit}) {
			t.Errorf("%v, stored is %v", err, stored.Hub)
		}
		t.Setenv("HF_HUB_OFFLINE", "")
	}
}
