package hub

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/bitdistill/bitdistill/internal/hub/hubtest"
)

// The layout is that of the Python libraries: see also TestPython.
func TestModel(t *testing.T) {
	s := newStandIn(t, modelFiles())
	o := s.options()
	o.Token = testToken
	s.Set(func(w http.ResponseWriter, r *http.Request) bool {
		if "http://"+r.Host == s.Hub.URL && r.Header.Get("Authorization") != "Bearer "+testToken {
			t.Errorf("%s without the token", r.URL)
		}
		return false
	})
	var last, total int64
	o.Progress = func(done, all int64) {
		if done < last {
			t.Errorf("progress fell from %d to %d", last, done)
		}
		last, total = done, all
	}
	folder := mustModel(t, testID, o)
	storage := filepath.Join(o.Cache, "models--owner--name")
	if folder != filepath.Join(storage, "snapshots", testCommit) {
		t.Errorf("folder %s", folder)
	}
	var wanted int64
	for _, name := range []string{"config.json", "tokenizer.json", "model.safetensors"} {
		checkFile(t, filepath.Join(folder, name), s.Files[name])
		target, err := os.Readlink(filepath.Join(folder, name))
		if want := "../../blobs/" + hubtest.BlobHash(name, s.Files[name]); err != nil || filepath.ToSlash(target) != want {
			t.Errorf("%s leads to %s, %v, want %s", name, target, err, want)
		}
		wanted += int64(len(s.Files[name]))
	}
	if last != wanted || total != wanted {
		t.Errorf("progress ends with %d of %d, want %d", last, total, wanted)
	}
	if entries, _ := os.ReadDir(folder); len(entries) != 3 {
		t.Errorf("%d files, want 3", len(entries))
	}
	checkFile(t, filepath.Join(storage, "refs", "main"), []byte(testCommit))
	s.Seen("")
	last = 0
	mustModel(t, testID+"@main", o)
	if got := s.Seen(""); len(got) != 1 || last != wanted {
		t.Errorf("a second time: %q, progress %d", got, last)
	}
}

func TestRevisions(t *testing.T) {
	s := newStandIn(t, modelFiles())
	o := s.options()
	mustModel(t, testID+"@refs/pr/1", o)
	checkFile(t, filepath.Join(o.Cache, "models--owner--name", "refs", "refs", "pr", "1"), []byte(testCommit))
	mustModel(t, testID+"@"+testCommit, o)
	if got := s.Seen("/revision/" + testCommit); len(got) != 1 {
		t.Errorf("requests %q", got)
	}
	o.Offline = true
	mustModel(t, testID+"@"+testCommit, o)
}

func shardedFiles() map[string][]byte {
	files := modelFiles()
	delete(files, "model.safetensors")
	files[indexName] = []byte(`{"weight_map":{"a":"model-1.safetensors","b":"model-2.safetensors","c":"model-1.safetensors"}}`)
	files["model-1.safetensors"], files["model-2.safetensors"] = noise(1000), noise(2000)
	files["consolidated.safetensors"] = noise(5000) // the same weights under names of another program
	return files
}

func TestShards(t *testing.T) {
	s := newStandIn(t, shardedFiles())
	o := s.options()
	folder := mustModel(t, testID, o)
	checkFile(t, filepath.Join(folder, "model-2.safetensors"), s.Files["model-2.safetensors"])
	if _, err := os.Stat(filepath.Join(folder, "consolidated.safetensors")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("consolidated.safetensors: %v", err)
	}
}

// What a repository lacks is named.
func TestNoModel(t *testing.T) {
	for name, c := range map[string]struct {
		change func(files map[string][]byte)
		want   string
	}{
		"shard":   {func(f map[string][]byte) { delete(f, "model-2.safetensors") }, `the shard "model-2.safetensors", which the repository lacks`},
		"outside": {func(f map[string][]byte) { f[indexName] = []byte(`{"weight_map":{"a":"../../x"}}`) }, `the shard "../../x", which`},
		"index":   {func(f map[string][]byte) { f[indexName] = []byte("{") }, "unexpected end of JSON"},
		"nothing": {func(f map[string][]byte) { f[indexName] = []byte("{}") }, "names 0 files"},
		"config":  {func(f map[string][]byte) { delete(f, "config.json") }, "has no config.json"},
		"weights": {func(f map[string][]byte) { delete(f, indexName) }, "has no model.safetensors and no model.safetensors.index.json"},
		"pickled": {func(f map[string][]byte) {
			delete(f, indexName)
			f["pytorch_model.bin"] = nil
		}, "pytorch_model.bin must be converted to safetensors"},
		"GGUF": {func(f map[string][]byte) {
			delete(f, "config.json")
			f["q4.gguf"], f["q8.gguf"] = nil, nil
		}, "can be named: owner/name/q4.gguf, q8.gguf"},
	} {
		t.Run(name, func(t *testing.T) {
			files := shardedFiles()
			c.change(files)
			s := newStandIn(t, files)
			if _, err := getModel(context.Background(), testID, s.options()); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestGGUF(t *testing.T) {
	s := newStandIn(t, map[string][]byte{"q8.gguf": noise(1000), "q4.gguf": noise(2000)})
	o := s.options()
	path := mustModel(t, testID+"/q8.gguf", o)
	checkFile(t, path, s.Files["q8.gguf"])
	if got := s.Seen("q4"); got != nil {
		t.Errorf("requests %q", got)
	}
	o.Offline = true
	if again := mustModel(t, testID+"/q8.gguf", o); again != path {
		t.Errorf("offline %s, before %s", again, path)
	}
	if _, err := getModel(context.Background(), testID+"/q5.gguf", s.options()); !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), `no file "q5.gguf"`) {
		t.Errorf("got %v", err)
	}
}

// A data set is fetched shard by shard.
func TestDataset(t *testing.T) {
	files := map[string][]byte{"README.md": nil}
	for i := range 3 {
		files[fmt.Sprintf("data/train-%d.parquet", i)] = noise(100 + i)
	}
	s := newStandIn(t, files)
	s.Kind = string(Datasets)
	r, err := Open(context.Background(), Datasets, testID, s.options())
	if err != nil {
		t.Fatal(err)
	}
	names, err := r.Match("data/train-*.parquet")
	if want := []string{"data/train-0.parquet", "data/train-1.parquet", "data/train-2.parquet"}; err != nil || !slices.Equal(names, want) {
		t.Fatalf("%q, %v", names, err)
	}
	if _, err := r.Match("["); err == nil {
		t.Error("a wrong pattern is accepted")
	}
	if f := r.Files()[2]; f.Name != "data/train-1.parquet" || f.Size != 101 {
		t.Errorf("%+v", f)
	}
	folder, err := r.Fetch(context.Background(), names[1])
	if err != nil {
		t.Fatal(err)
	}
	checkFile(t, filepath.Join(folder, names[1]), s.Files[names[1]])
	if !strings.Contains(filepath.ToSlash(folder), "/datasets--owner--name/snapshots/") {
		t.Errorf("folder %s", folder)
	}
	target, _ := os.Readlink(filepath.Join(folder, names[1]))
	if !strings.HasPrefix(filepath.ToSlash(target), "../../../blobs/") {
		t.Errorf("leads to %s", target)
	}
	if got := s.Seen("resolve/"); len(got) != 1 {
		t.Errorf("requests %q", got)
	}
}

// A mirror whose list has names alone is asked about each file that is wanted.
func TestMirror(t *testing.T) {
	s := newStandIn(t, modelFiles())
	s.Change = func(list map[string]any) {
		for _, f := range list["siblings"].([]map[string]any) {
			delete(f, "size")
			delete(f, "blobId")
			delete(f, "lfs")
		}
	}
	folder := mustModel(t, testID, s.options())
	checkFile(t, filepath.Join(folder, "config.json"), s.Files["config.json"])
	checkFile(t, filepath.Join(folder, "model.safetensors"), s.Files["model.safetensors"])
	if got := s.Seen("HEAD"); len(got) != 3 {
		t.Errorf("requests %q", got)
	}
	s.Set(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodHead {
			w.Header().Set("ETag", `W/"no checksum"`)
			w.Header().Set("Content-Length", "22")
		}
		return r.Method == http.MethodHead
	})
	if _, err := getModel(context.Background(), testID, s.options()); err == nil || !strings.Contains(err.Error(), "config.json: refused: 127.0.0.1") || !strings.Contains(err.Error(), "does not state its checksum") {
		t.Errorf("got %v", err)
	}
}

func TestOffline(t *testing.T) {
	s := newStandIn(t, modelFiles())
	o := s.options()
	t.Setenv("HF_HUB_OFFLINE", "YES")
	_, err := getModel(context.Background(), testID, o)
	for _, want := range []string{testID, o.Cache, "HF_HUB_OFFLINE", "copy the folder models--owner--name"} {
		if !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	if got := s.Seen(""); got != nil {
		t.Errorf("offline: %q", got)
	}
	t.Setenv("HF_HUB_OFFLINE", "0")
	folder := mustModel(t, testID, o)
	s.Seen("")
	t.Setenv("HF_HUB_OFFLINE", "1")
	if again := mustModel(t, testID, o); again != folder || s.Seen("") != nil {
		t.Errorf("%s, before %s", again, folder)
	}
	if err := os.Remove(filepath.Join(folder, "model.safetensors")); err != nil {
		t.Fatal(err)
	}
	if _, err = getModel(context.Background(), testID, o); !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), "model.safetensors") {
		t.Errorf("got %v", err)
	}
}

// Without a network the cache serves, and the user is told.
func TestUnreachable(t *testing.T) {
	s := newStandIn(t, modelFiles())
	o := s.options()
	folder := mustModel(t, testID, o)
	s.Hub.Close()
	var said []string
	o.Log = func(text string) { said = append(said, text) }
	if again := mustModel(t, testID, o); again != folder {
		t.Errorf("%s, before %s", again, folder)
	}
	if len(said) != 3 || !strings.Contains(said[2], "the cached commit 01234567 is used") {
		t.Errorf("said %q", said)
	}
	_, err := getModel(context.Background(), "owner/other", o)
	if !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), "connection refused") || !strings.Contains(err.Error(), o.Cache) {
		t.Errorf("got %v", err)
	}
}
