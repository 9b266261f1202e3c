package hf

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/bitdistill/bitdistill/internal/golden"
)

// The first blocks of every golden decoder are a model of their own, with the values of the file, and Save leaves nothing else.
func TestPrefix(t *testing.T) {
	dirs, err := filepath.Glob(filepath.Join(golden.Dir(t), "decoders", "*"))
	if err != nil || len(dirs) == 0 {
		t.Fatalf("no decoders: %v", err)
	}
	for _, dir := range dirs {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			whole := mustLoad(t, dir)
			fewer := max(1, whole.Config.Layers-1)
			if _, err := whole.Prefix(whole.Config.Layers + 1); err == nil || !strings.Contains(err.Error(), "layers") {
				t.Errorf("too many: %v", err)
			}
			if _, err := whole.Prefix(0); err == nil {
				t.Error("no layers at all are taken")
			}
			m, err := whole.Prefix(fewer)
			if err != nil {
				t.Fatal(err)
			}
			if m.Store.NumVariables() != len(m.Config.Tensors()) {
				t.Errorf("%d variables for %d tensors", m.Store.NumVariables(), len(m.Config.Tensors()))
			}
			checkValues(t, m, filepath.Join(dir, "model.safetensors"))
			checkRoundTrip(t, m)
			described, err := Check(dir)
			if err != nil {
				t.Fatal(err)
			}
			if described, err = described.Prefix(fewer); err != nil || described.Config.Layers != fewer {
				t.Errorf("without weights: %v", err)
			}
		})
	}
}
