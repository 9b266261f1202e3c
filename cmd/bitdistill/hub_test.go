package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/bitdistill/bitdistill/distill"
	"github.com/bitdistill/bitdistill/internal/hub/hubtest"
)

// hubShards are a data set of packed lines of JSON, and a folder with the same files.
func hubShards(t *testing.T, n int) (files map[string][]byte, folder string) {
	t.Helper()
	files, folder = map[string][]byte{"README.md": nil}, t.TempDir()
	for k := range n {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		for i := range 60 {
			fmt.Fprintf(w, "{\"text\":\"Bird number %d of shard %d saw a dog in the garden and %s\"}\n", i, k, strings.Repeat("sang again ", i%7))
		}
		check(t, w.Close())
		name := fmt.Sprintf("train-%05d-of-%05d.jsonl.gz", k, n)
		files["data/"+name] = b.Bytes()
		check(t, os.WriteFile(filepath.Join(folder, name), b.Bytes(), 0o666))
	}
	return files, folder
}

// left is the number of shards that take room in the cache.
func left(t *testing.T, cache string) int {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(cache, "datasets--owner--name", "blobs"))
	check(t, err)
	return len(entries)
}

// tokenize takes data sets of the hub, with any number of shards, through links that are cut and servers that are busy.
func TestTokenizeHub(t *testing.T) {
	files, folder := hubShards(t, 5)
	s := hubtest.New(t, "datasets", "owner/name", files)
	cache := s.Environment(t)
	local, whole, parts := filepath.Join(t.TempDir(), "local"), filepath.Join(t.TempDir(), "whole"), filepath.Join(t.TempDir(), "parts")
	args := func(corpus, out string, more ...string) []string {
		return append([]string{"tokenize", "--model", distill.Embedded, "--corpus", corpus, "--out", out}, more...)
	}
	call(t, args(folder, local)...).want(t, exitDone)
	var requests atomic.Int32
	const name = "data/train-00002-of-00005.jsonl.gz"
	s.Set(func(w http.ResponseWriter, r *http.Request) bool {
		if !s.AtStorage(r, name) {
			return false
		}
		switch requests.Add(1) {
		case 1:
			hubtest.Cut(w, files[name], len(files[name])/2)
		case 2:
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(429)
			return true
		}
		return false
	})
	call(t, args("hf:owner/name", whole)...).want(t, exitDone, "corpus hf:owner/name: commit 01234567, 5 files", "again in", "answers 429", "100.0 %")
	if n := left(t, cache); n > 0 {
		t.Errorf("%d shards are left", n)
	}
	for _, shard := range []string{"3/3", "1/3", "2/3"} {
		call(t, args("hf:owner/name", parts, "--shard", shard, "--keep-shards")...).want(t, exitDone, "shard "+shard+" is done")
		if n := left(t, cache); n != 5 {
			t.Errorf("%d shards are left, want all 5", n)
		}
	}
	t.Setenv("HF_HUB_OFFLINE", "1")
	call(t, args("hf:owner/name", parts)...).want(t, exitDone)
	for _, name := range []string{"00000.tokens", "00000.ends"} {
		want, err := os.ReadFile(filepath.Join(local, name))
		check(t, err)
		for _, dir := range []string{whole, parts} {
			got, err := os.ReadFile(filepath.Join(dir, name))
			check(t, err)
			if !bytes.Equal(got, want) {
				t.Errorf("%s: %s is not that of the files", dir, name)
			}
		}
	}
	one, err := os.ReadFile(filepath.Join(whole, "corpus.json"))
	check(t, err)
	two, err := os.ReadFile(filepath.Join(parts, "corpus.json"))
	check(t, err)
	if !bytes.Equal(one, two) || !bytes.Contains(one, []byte("hf:owner/name@"+hubtest.Commit+"/"+name)) {
		t.Errorf("corpus.json differs, or does not say where the files are from:\n%s", two)
	}
	call(t, append(ownData(t, filepath.Join(t.TempDir(), "run")), "--dry-run", "--corpus", whole)...).want(t, exitDone)
}

// What cannot be mended ends with an error that says what to do, and shows no secret.
func TestTokenizeHubRefused(t *testing.T) {
	files, _ := hubShards(t, 3)
	answer := func(status int, code string) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) {
			w.Header().Set("X-Error-Code", code)
			w.WriteHeader(status)
		}
	}
	for name, c := range map[string]struct {
		corpus, at string
		answer     func(http.ResponseWriter)
		offline    string
		code       int
		words      []string
	}{
		"wrong token":  {corpus: "hf:owner/name", answer: answer(401, ""), code: exitInput, words: []string{"the token of HF_TOKEN", "wrong or has expired"}},
		"gated":        {corpus: "hf:owner/name", at: "/resolve/", answer: answer(403, "GatedRepo"), code: exitInput, words: []string{"is gated", "conditions must be accepted"}},
		"missing":      {corpus: "hf:owner/name", at: "00001-of", answer: answer(404, "EntryNotFound"), code: exitInput, words: []string{"data/train-00001-of-00003.jsonl.gz: has no such file"}},
		"other data":   {corpus: "hf:owner/none", code: exitInput, words: []string{"owner/none: does not exist"}},
		"no such path": {corpus: "hf:owner/name/test", code: exitInput, words: []string{"hf:owner/name/test", "of its 4 files none"}},
		"no name":      {corpus: "hf:name", code: exitInput, words: []string{"hf:name", "write hf:owner/name"}},
		"busy":         {corpus: "hf:owner/name", at: "00001-of", answer: func(w http.ResponseWriter) { w.Header().Set("Retry-After", "9999"); w.WriteHeader(503) }, code: exitFailed, words: []string{"answers 503; it asks to wait 2h46m39s"}},
		"offline":      {corpus: "hf:owner/name", offline: "1", code: exitFailed, words: []string{"is not in the cache", "HF_HUB_OFFLINE"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := hubtest.New(t, "datasets", "owner/name", files)
			s.Environment(t)
			t.Setenv("HF_TOKEN", hubtest.Token)
			t.Setenv("HF_HUB_OFFLINE", c.offline)
			s.Set(func(w http.ResponseWriter, r *http.Request) bool {
				if c.answer == nil || !strings.Contains(r.URL.Path, c.at) {
					return false
				}
				c.answer(w)
				return true
			})
			r := call(t, "tokenize", "--model", distill.Embedded, "--corpus", c.corpus, "--out", filepath.Join(t.TempDir(), "out"))
			r.want(t, c.code, c.words...)
			if strings.Contains(r.errors, hubtest.Token) {
				t.Errorf("the token shows: %s", r.errors)
			}
		})
	}
}

// Models are taken from the hub wherever one is named.
func TestHubModels(t *testing.T) {
	files := map[string][]byte{}
	folder := modelFolder(t)
	for _, name := range []string{"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"} {
		content, err := os.ReadFile(filepath.Join(folder, name))
		if name != "tokenizer_config.json" {
			check(t, err)
		}
		if err == nil {
			files[name] = content
		}
	}
	s := hubtest.New(t, "models", "Qwen/Qwen3-0.6B", files)
	s.Environment(t)
	t.Chdir(t.TempDir())
	perplexity := []string{"perplexity", "--data", write(t, "a.txt", story(30)), "--length", "32", "--backend", "go", "--json", "--model"}
	want := call(t, append(perplexity, folder)...)
	got := call(t, append(perplexity, "Qwen3-0.6B")...)
	got.want(t, exitDone, "model Qwen3-0.6B: Qwen/Qwen3-0.6B of the hub, commit 01234567")
	if strings.ReplaceAll(want.out, folder, "Qwen3-0.6B") != got.out {
		t.Errorf("of the hub %s, of the folder %s", got.out, want.out)
	}
	out := filepath.Join(t.TempDir(), "run")
	args := append(ownData(t, out), "--model", "Qwen/Qwen3-0.6B", "--teacher", "")
	plan := call(t, append(args, "--dry-run")...)
	plan.want(t, exitDone)
	if !strings.Contains(plan.out, `"Qwen/Qwen3-0.6B": "`+hubtest.Commit+`"`) {
		t.Errorf("the plan does not say which commit: %s", plan.out)
	}
	call(t, append(args, "--stage", "1")...).want(t, exitDone)
	s.Seen("")
	call(t, "run", "--out", out, "--stage", "2").want(t, exitDone)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	callWith(t, ctx, &bytes.Buffer{}, append(args, "--resume")...).want(t, exitInterrupted) // the same settings, though not the commits that the run has noted
	if asked := s.Seen("/revision/main"); asked != nil {
		t.Errorf("a run that goes on asks for %q", asked)
	}
	eval := call(t, "eval", "--model", "Qwen3-0.6B", "--task", "sst2", "--data", write(t, "dev.tsv", table(6)), "--backend", "go")
	eval.want(t, exitDone, "of the hub")
	call(t, "eval", "--model", "owner/none", "--task", "sst2", "--data", write(t, "dev.tsv", table(6))).want(t, exitInput, "owner/none: no such folder", "does not exist at")
}

// Ctrl-C ends a download at once. What has come is not fetched again.
func TestHubInterrupted(t *testing.T) {
	files, _ := hubShards(t, 2)
	s := hubtest.New(t, "datasets", "owner/name", files)
	s.Environment(t)
	ctx, cancel := context.WithCancel(context.Background())
	s.Set(func(w http.ResponseWriter, r *http.Request) bool {
		if ctx.Err() != nil || !s.AtStorage(r, "data/train-00001-of-00002.jsonl.gz") {
			return false
		}
		cancel()
		<-r.Context().Done()
		return true
	})
	args := []string{"tokenize", "--model", distill.Embedded, "--corpus", "hf:owner/name", "--out", filepath.Join(t.TempDir(), "out")}
	callWith(t, ctx, &bytes.Buffer{}, args...).want(t, exitInterrupted, "go on with the same command")
	s.Seen("")
	call(t, args...).want(t, exitDone)
	if got := s.Seen("GET /data/"); len(got) != 1 || !strings.Contains(got[0], "train-00001") {
		t.Errorf("fetched %q", got)
	}
}

// A run that stands still without the hub takes the fallback that the error asks for, and no other one after that.
func TestFallbackOnResume(t *testing.T) {
	files, folder := hubShards(t, 2)
	s := hubtest.New(t, "datasets", "owner/name", files)
	cache := s.Environment(t)
	out := filepath.Join(t.TempDir(), "run")
	args := append(ownData(t, out), "--stage", "1")
	args[slices.Index(args, "--corpus")+1] = "hf:owner/name"
	call(t, args...).want(t, exitDone)
	t.Setenv("HF_HUB_OFFLINE", "1")
	check(t, os.RemoveAll(cache))
	resume, stage2 := []string{"run", "--resume", "--out", out}, []string{"run", "--stage", "2", "--out", out}
	call(t, stage2...).want(t, exitFailed, "HF_HUB_OFFLINE", "--fallback-corpus")
	call(t, append(resume, "--fallback-corpus", filepath.Join(folder, "none.txt"))...).want(t, exitInput, "corpus.fallback", "none.txt")
	call(t, append(resume, "--fallback-corpus", folder, "--seed", "7")...).want(t, exitInput, "seed: 1 in the run, 7 given")
	ctx, cancel := context.WithCancel(context.Background())
	callWith(t, ctx, &interrupter{line: "Teacher Step 1", stop: cancel}, append(resume, "--fallback-corpus", folder)...).
		want(t, exitInterrupted, "the fallback "+folder+" is taken")
	call(t, stage2...).want(t, exitDone, "Stage-2 Step 3")
	call(t, append(resume, "--fallback-corpus", write(t, "b.txt", story(20)))...).want(t, exitInput, "the corpus of the run is "+folder)
	stored, err := distill.StoredConfig(out)
	check(t, err)
	if stored.Corpus.Fallback != folder || stored.Hub["corpus"] != "fallback for hf:owner/name" {
		t.Errorf("stored: %+v, %v", stored.Corpus, stored.Hub)
	}
}

// The fallback is named on the command line; without one, the error says that it can be.
func TestFallbackCorpus(t *testing.T) {
	files, folder := hubShards(t, 2)
	s := hubtest.New(t, "datasets", "owner/name", files)
	s.Environment(t)
	t.Setenv("HF_HUB_OFFLINE", "1")
	args := append(ownData(t, filepath.Join(t.TempDir(), "run")), "--dry-run")
	for i, a := range args {
		if a == "--corpus" {
			args[i+1] = "hf:owner/name"
		}
	}
	call(t, args...).want(t, exitFailed, "owner/name", "HF_HUB_OFFLINE", "--fallback-corpus")
	r := call(t, append(args, "--fallback-corpus", folder)...)
	r.want(t, exitDone, "the hub cannot be reached", "the fallback "+folder+" is taken")
	if !strings.Contains(r.out, `"corpus": "fallback for hf:owner/name"`) {
		t.Errorf("the plan does not say so: %s", r.out)
	}
	t.Setenv("HF_HUB_OFFLINE", "")
	r = call(t, append(args, "--fallback-corpus", folder)...)
	r.want(t, exitDone, "corpus hf:owner/name: commit 01234567")
	if strings.Contains(r.errors, "fallback") {
		t.Errorf("the fallback is taken although the hub is there: %s", r.errors)
	}
}

// tokenize takes the fallback that it is given where the hub cannot be reached, and stays with it.
func TestTokenizeFallback(t *testing.T) {
	files, folder := hubShards(t, 2)
	s := hubtest.New(t, "datasets", "owner/name", files)
	s.Environment(t)
	t.Setenv("HF_HUB_OFFLINE", "1")
	local, out := filepath.Join(t.TempDir(), "local"), filepath.Join(t.TempDir(), "out")
	args := func(corpus, out string, more ...string) []string {
		return append([]string{"tokenize", "--model", distill.Embedded, "--corpus", corpus, "--out", out}, more...)
	}
	call(t, args(folder, local)...).want(t, exitDone)
	call(t, args("hf:owner/name", out)...).want(t, exitFailed, "HF_HUB_OFFLINE", "--fallback-corpus")
	call(t, args("hf:owner/name", out, "--fallback-corpus", "hf:owner/other")...).want(t, exitInput, "--fallback-corpus", "local")
	call(t, args("hf:owner/name", out, "--fallback-corpus", filepath.Join(folder, "none.txt"))...).want(t, exitInput, "--fallback-corpus", "none.txt")
	missing(t, out)
	fallback := args("hf:owner/name", out, "--fallback-corpus", folder)
	call(t, append(fallback, "--shard", "1/2")...).want(t, exitDone, "the hub cannot be reached", "the fallback "+folder+" is taken in its place")
	t.Setenv("HF_HUB_OFFLINE", "")
	call(t, fallback...).want(t, exitDone, out+" was begun with the fallback "+folder)
	for _, name := range []string{"corpus.json", "00000.tokens", "00000.ends"} {
		checkSame(t, filepath.Join(out, name), filepath.Join(local, name))
	}
	r := call(t, args("hf:owner/name", filepath.Join(t.TempDir(), "new"), "--fallback-corpus", folder)...)
	r.want(t, exitDone, "corpus hf:owner/name: commit 01234567")
	if strings.Contains(r.errors, "fallback") {
		t.Errorf("the fallback is taken although the hub is there: %s", r.errors)
	}
}
