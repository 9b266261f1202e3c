//go:build models

package hub

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestPython shares a cache with the huggingface_hub package, both ways. The
// interpreter is that of BITDISTILL_HUB_PYTHON.
func TestPython(t *testing.T) {
	python := os.Getenv("BITDISTILL_HUB_PYTHON")
	if python == "" {
		t.Skip("BITDISTILL_HUB_PYTHON names no interpreter that has huggingface_hub")
	}
	snapshot := func(s *standIn, cache, local string) string {
		t.Helper()
		c := exec.Command(python, "-c", `
import os, sys
from huggingface_hub import hf_hub_download
for name in ["config.json", "tokenizer.json", "model.safetensors"]:
    path = hf_hub_download("owner/name", name, local_files_only=sys.argv[1] == "local")
print(os.path.dirname(path))`, local)
		c.Env = append(os.Environ(), "HF_ENDPOINT="+s.Hub.URL, "HF_HUB_CACHE="+cache, "HF_HUB_DISABLE_PROGRESS_BARS=1", "HF_HUB_DISABLE_TELEMETRY=1")
		var said strings.Builder
		c.Stderr = &said
		out, err := c.Output()
		if err != nil {
			t.Fatalf("%v\n%s", err, said.String())
		}
		return strings.TrimSpace(string(out))
	}

	s := newStandIn(t, modelFiles())
	o := s.options()
	folder := mustModel(t, testID, o)
	s.Seen("")
	if got := snapshot(s, o.Cache, "local"); got != folder {
		t.Errorf("Python offline finds %s, want %s", got, folder)
	}
	if got := snapshot(s, o.Cache, "remote"); got != folder {
		t.Errorf("Python finds %s, want %s", got, folder)
	}
	if got := s.Seen("GET " + weightsPath); got != nil {
		t.Errorf("Python fetches again: %q", got)
	}

	o.Cache = filepath.Join(t.TempDir(), "hub")
	folder = snapshot(s, o.Cache, "remote")
	s.Seen("")
	o.Offline = true
	if got := mustModel(t, testID, o); got != folder {
		t.Errorf("offline %s, Python's is %s", got, folder)
	}
	o.Offline = false
	mustModel(t, testID, o)
	if got := s.Seen("/resolve/"); got != nil {
		t.Errorf("fetches again: %q", got)
	}
	checkFile(t, filepath.Join(folder, "model.safetensors"), s.Files["model.safetensors"])
}
