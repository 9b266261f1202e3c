package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bitdistill/bitdistill/bitnet/gguf"
	"github.com/bitdistill/bitdistill/bitnet/native"
	"github.com/bitdistill/bitdistill/distill"
)

// TestExport writes what stage 1 makes, in all types of embeddings, and says what it has written.
func TestExport(t *testing.T) {
	run, out := filepath.Join(t.TempDir(), "run"), t.TempDir()
	call(t, append(ownData(t, run), "--stage", "1")...).want(t, exitDone)
	model := filepath.Join(run, "stage1")
	for name, kind := range embeddingTypes {
		path := filepath.Join(out, name+".gguf")
		r := call(t, "export", "--model", model, "--to", "gguf", "--out", path, "--embeddings", name, "--json")
		r.want(t, exitDone)
		var x distill.Exported
		r.decode(t, &x)
		f, err := native.Open(path)
		check(t, err)
		info, err := f.Info(f.Config.Tensors()[0])
		check(t, err)
		if info.Type != kind || x.Embeddings != kind.String() || x.Path != path || x.Tensors != f.Len() || x.LinearBits < 2 || x.LinearBits > 2.5 || x.Task == "" {
			t.Errorf("%s: %s, embeddings %s", name, r.out, info.Type)
		}
		check(t, f.Close())
	}
	path := filepath.Join(out, "default.gguf")
	args := []string{"export", "--model", model, "--to", "gguf", "--out", path}
	r := call(t, args...)
	r.want(t, exitDone)
	for _, word := range []string{path, "tensors", "bits a weight", gguf.Q8_0.String(), "task sst2"} {
		if !strings.Contains(r.out, word) || strings.Count(r.out, "\n") != 1 {
			t.Errorf("the line does not contain %q:\n%s", word, r.out)
		}
	}
	checkSame(t, path, filepath.Join(out, "q8_0.gguf"))
	call(t, args...).want(t, exitInput, path, "already", "--force")
	call(t, append(args, "--force")...).want(t, exitDone)
	checkSame(t, path, filepath.Join(out, "q8_0.gguf"))
	call(t, "export", "--model", run, "--to", "gguf", "--out", filepath.Join(out, "x.gguf")).want(t, exitInput, "no student yet")

	ctx, stop := context.WithCancel(context.Background())
	stop()
	stopped := filepath.Join(out, "stopped.gguf")
	callWith(t, ctx, &bytes.Buffer{}, "export", "--model", model, "--to", "gguf", "--out", stopped).want(t, exitInterrupted)
	missing(t, stopped)
	if left, err := os.ReadDir(out); err != nil || len(left) != len(embeddingTypes)+1 {
		t.Errorf("left %v, %v", left, err)
	}
}
