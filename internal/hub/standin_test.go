package hub

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/bitdistill/bitdistill/internal/hub/hubtest"
)

const (
	testID     = "owner/name"
	testCommit = hubtest.Commit
	testToken  = hubtest.Token
)

// standIn is a server with what tests of this package need besides.
type standIn struct {
	*hubtest.Server
	t *testing.T
}

func newStandIn(t *testing.T, files map[string][]byte) *standIn {
	return &standIn{hubtest.New(t, string(Models), testID, files), t}
}

// options lead to the stand-in and a fresh cache, with short waits and nothing from
// the environment.
func (s *standIn) options() Options {
	hubtest.ClearEnvironment(s.t)
	return Options{Endpoint: s.Hub.URL, Cache: filepath.Join(s.t.TempDir(), "hub"), pace: testPace}
}

var testPace = pace{attempts: 4, first: time.Millisecond, longest: 2 * time.Second, stall: time.Minute}

// noise is n bytes that do not repeat.
func noise(n int) []byte {
	data := make([]byte, n)
	x := uint32(1)
	for i := range data {
		x = x*1664525 + 1013904223
		data[i] = byte(x >> 24)
	}
	return data
}

func modelFiles() map[string][]byte {
	return map[string][]byte{
		"config.json":       []byte(`{"model_type":"llama"}`),
		"tokenizer.json":    []byte(`{}`),
		"model.safetensors": noise(300_000),
		"README.md":         []byte("not needed"),
		"onnx/model.onnx":   []byte("not needed"),
	}
}

// getModel opens a repository and brings its model.
func getModel(ctx context.Context, id string, o Options) (string, error) {
	r, err := Open(ctx, Models, id, o)
	if err != nil {
		return "", err
	}
	return r.Model(ctx)
}

func mustModel(t *testing.T, id string, o Options) string {
	t.Helper()
	folder, err := getModel(context.Background(), id, o)
	if err != nil {
		t.Fatal(err)
	}
	return folder
}

func checkFile(t *testing.T, path string, want []byte) {
	t.Helper()
	if got, err := os.ReadFile(path); err != nil || string(got) != string(want) {
		t.Errorf("%s: %d bytes, %v, want %d", path, len(got), err, len(want))
	}
}
