package bitnet_test

import (
	"os/exec"
	"strings"
	"testing"
)

// TestWithoutGoMLX: what an engine that knows nothing of GoMLX is made of does not import it.
func TestWithoutGoMLX(t *testing.T) {
	for _, folder := range []string{"arch", "gguf", "hf/bpe", "hf/chat", "hf/files", "infer", "infer/rows", "native", "packed"} {
		out, err := exec.Command("go", "list", "-deps", "./"+folder).CombinedOutput()
		if err != nil {
			t.Fatalf("go list: %v\n%s", err, out)
		}
		deps := strings.Fields(string(out))
		if len(deps) < 10 {
			t.Errorf("%s: go list names only %q", folder, deps)
		}
		for _, dep := range deps {
			if strings.HasPrefix(dep, "github.com/gomlx/") || dep == "github.com/bitdistill/bitdistill/bitnet" {
				t.Errorf("bitnet/%s depends on %s", folder, dep)
			}
		}
	}
}
