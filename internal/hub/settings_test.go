package hub

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bitdistill/bitdistill/internal/hub/hubtest"
)

func TestParseID(t *testing.T) {
	for s, want := range map[string]ID{
		"HuggingFaceTB/SmolLM2-135M":         {"HuggingFaceTB", "SmolLM2-135M", "", "main"},
		"owner/name@v1.0":                    {"owner", "name", "", "v1.0"},
		"owner/name@refs/pr/1":               {"owner", "name", "", "refs/pr/1"},
		"owner/name/sub/q8_0.gguf":           {"owner", "name", "sub/q8_0.gguf", "main"},
		"owner/name/q8_0.gguf@" + testCommit: {"owner", "name", "q8_0.gguf", testCommit},
		"01-ai/Yi_1.5":                       {"01-ai", "Yi_1.5", "", "main"},
	} {
		got, err := ParseID(s)
		if err != nil || got != want || got.String() != s {
			t.Errorf("%s: %+v, %v, again %s", s, got, err, got)
		}
	}
	for _, s := range []string{
		"", "name", "/name", "owner/", "./name", "../name", "owner/..", "a b/c", "owner/na--me", "owner/name.", "-o/name", "ö/name",
		"owner/name@", "owner/name@../x", "owner/name@a//b", "owner/name@/a", "owner/name@a b", "owner/name@a%2fb", "owner/name@--x",
		"owner/name/", "owner/name/../x.gguf", "owner/name//x.gguf", "owner/name/a\nb.gguf", "https://hub.example/owner/name",
		`C:\models\x`, "/models/x", "owner/" + strings.Repeat("n", 97),
	} {
		if id, err := ParseID(s); err == nil || !strings.Contains(err.Error(), "write owner/name") {
			t.Errorf("%q: %+v, %v", s, id, err)
		}
	}
}

func TestEnvironment(t *testing.T) {
	hubtest.ClearEnvironment(t)
	home := os.Getenv("HF_HOME")
	settle := func(o Options) *settings {
		t.Helper()
		s, err := o.settle()
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	if s := settle(Options{}); s.Endpoint != "https://huggingface.co" || s.Cache != filepath.Join(home, "hub") || s.Token != "" || s.Offline {
		t.Errorf("%+v", s)
	}
	if err := os.WriteFile(filepath.Join(home, "token"), []byte("hf_file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if s := settle(Options{}); s.Token != "hf_file" || s.tokenSource != filepath.Join(home, "token") {
		t.Errorf("%+v", s)
	}
	t.Setenv("HF_TOKEN", " hf_env ")
	t.Setenv("HF_ENDPOINT", "http://localhost:9/prefix/")
	t.Setenv("HF_HUB_CACHE", "~/elsewhere")
	user, _ := os.UserHomeDir()
	if s := settle(Options{}); s.Token != "hf_env" || s.Endpoint != "http://localhost:9/prefix" || s.Cache != filepath.Join(user, "elsewhere") {
		t.Errorf("%+v", s)
	}
	if s := settle(Options{Token: "hf_given", Cache: home, Endpoint: "https://mirror.example"}); s.Token != "hf_given" || s.Cache != home || s.endpoint.Host != "mirror.example" {
		t.Errorf("%+v", s)
	}
	t.Setenv("HF_TOKEN", "hf_a b")
	if _, err := (Options{}).settle(); !errors.Is(err, ErrDenied) || strings.Contains(err.Error(), "hf_a") || !strings.Contains(err.Error(), "HF_TOKEN: is not a token") {
		t.Errorf("got %v", err)
	}
	for _, wrong := range []string{"huggingface.co", "ftp://x", "https://user:secret@x", "https://", "https://x\x7f"} {
		if _, err := (Options{Endpoint: wrong}).settle(); err == nil || strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), "HF_ENDPOINT") {
			t.Errorf("%s: %v", wrong, err)
		}
	}
	t.Setenv("HF_TOKEN", "")
	t.Setenv("HF_HOME", "")
	t.Setenv("HF_HUB_CACHE", "")
	t.Setenv("XDG_CACHE_HOME", home)
	if s := settle(Options{}); s.Cache != filepath.Join(home, "huggingface", "hub") {
		t.Errorf("%+v", s)
	}
}
