package hf

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/bitdistill/bitdistill/bitnet/hf/chat"
	"github.com/bitdistill/bitdistill/internal/golden"
)

// A GGUF file's template is the one of the folder that Save makes of it.
func TestChatOfGGUF(t *testing.T) {
	f := ggufOf(t, mustLoad(t, filepath.Join(golden.Dir(t), "decoders", "llama31_rope")))
	f.keys["tokenizer.chat_template"] = "{{ bos_token }}{% for m in messages %}{{ m.content }}{{ eos_token }}{% endfor %}"
	path, folder := filepath.Join(t.TempDir(), "tiny.gguf"), filepath.Join(t.TempDir(), "saved")
	mustWrite(t, path, f.bytes())
	m := mustLoad(t, path)
	if err := m.Save(folder); err != nil {
		t.Fatal(err)
	}
	for source, m := range map[string]*Model{path + ": tokenizer.chat_template": m, filepath.Join(folder, "tokenizer_config.json") + ": chat_template": mustLoad(t, folder)} {
		c, err := m.Chat(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		text, err := c.Template.Render(t.Context(), []chat.Message{{Role: "user", Content: "a"}}, true)
		if err != nil || text != "<s>a</s>" || c.Source != source || c.End != 2 {
			t.Errorf("%q, %v, %+v, want the source %s", text, err, c, source)
		}
	}
	f.keys["tokenizer.chat_template"] = "\n{% fi %}"
	mustWrite(t, path, f.bytes())
	if _, err := mustLoad(t, path).Chat(t.Context()); err == nil || !strings.HasPrefix(err.Error(), path+": tokenizer.chat_template:2: ") {
		t.Errorf("got %v", err)
	}
}
