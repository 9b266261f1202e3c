package gonb

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

func put(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o777); err != nil {
		t.Fatal(err)
	}
}

func TestVersions(t *testing.T) {
	for _, want := range []string{"\tgithub.com/janpfeifer/gonb v0.11.3 ", "\tgolang.org/x/tools/gopls v0.23.0 ", "\tgolang.org/x/tools/cmd/goimports\n"} {
		if !strings.Contains(string(toolsMod), want) {
			t.Errorf("tools.mod has no %q", want)
		}
	}
	if Version() != "v0.11.3" {
		t.Error(Version())
	}
}

func TestModule(t *testing.T) {
	root := t.TempDir()
	put(t, filepath.Join(root, "a", "go.mod"), "module x")
	put(t, filepath.Join(root, "a", "b", "go.mod"), "")
	if got := Module(filepath.Join(root, "a", "b", "c")); got != filepath.Join(root, "a") {
		t.Errorf("%q", got)
	}
	if got := Module(root); got != "" {
		t.Skipf("the folder for temporary files lies in the Go module %s", got)
	}
}

// given has Find take programs that are not really those.
func given(t *testing.T) Tools {
	t.Helper()
	folder := t.TempDir()
	for _, name := range []string{"gonb", "goimports", "gopls"} {
		put(t, program(folder, name), "")
	}
	t.Setenv(FolderVariable, folder)
	tools, err := Find(t.Context(), ".", true, io.Discard)
	if err != nil || tools.Folder != folder || tools.Editor != folder {
		t.Fatalf("%+v %v", tools, err)
	}
	return tools
}

func TestFindRefuses(t *testing.T) {
	t.Setenv(FolderVariable, t.TempDir())
	if _, err := Find(t.Context(), ".", false, io.Discard); err == nil || !strings.Contains(err.Error(), FolderVariable) {
		t.Error(err)
	}
	t.Setenv("PATH", "")
	if _, err := Find(t.Context(), ".", false, io.Discard); err == nil || !strings.Contains(err.Error(), "go.dev") {
		t.Error(err)
	}
}

// TestOtherVersionsAreNotUsed puts programs of unknown version into .bin of a module.
func TestOtherVersionsAreNotUsed(t *testing.T) {
	module := t.TempDir()
	put(t, filepath.Join(module, "go.mod"), "module x")
	put(t, program(filepath.Join(module, ".bin"), "gonb"), "#!/bin/sh")
	put(t, program(filepath.Join(module, ".bin"), "goimports"), "#!/bin/sh")
	t.Setenv("PATH", "")
	if got := ready(module); got != "" {
		t.Errorf("%q", got)
	}
}

func TestInstall(t *testing.T) {
	tools := given(t)
	t.Setenv("GOEXPERIMENT", "simd")
	data := t.TempDir()
	for range 2 { // again is fine
		folder, err := tools.Install(data, "gonb", "/module")
		if err != nil || folder != filepath.Join(data, "kernels", "gonb") {
			t.Fatalf("%q %v", folder, err)
		}
	}
	content, err := os.ReadFile(filepath.Join(data, "kernels", "gonb", "kernel.json"))
	var s struct {
		Argv           []string
		Name, Language string
		Env            map[string]string
		InterruptMode  string `json:"interrupt_mode"`
		DisplayName    string `json:"display_name"`
	}
	if err := errors.Join(err, json.Unmarshal(content, &s)); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(s.Argv[1:], " "); s.Argv[0] != program(tools.Folder, "gonb") || got != "--kernel {connection_file} -raw_error -go_work=/module" {
		t.Errorf("%q", s.Argv)
	}
	if path := s.Env["PATH"]; !strings.HasPrefix(path, tools.Folder) || !strings.HasSuffix(path, "${PATH}") || s.Env["GOEXPERIMENT"] != "simd" ||
		runtime.GOARCH == "amd64" && !strings.Contains(s.Env["GODEBUG"], "cpu.fma=off") || s.Language != "go" {
		t.Errorf("%+v", s)
	}
	put(t, filepath.Join(data, "kernels", "other", "kernel.json"), `{"argv":["gonb"]}`)
	if _, err := tools.Install(data, "other", ""); !errors.Is(err, ErrForeign) {
		t.Errorf("%v", err)
	}
}

func TestCommand(t *testing.T) {
	tools := given(t)
	t.Setenv("GOEXPERIMENT", "none")
	t.Setenv("GODEBUG", "http2client=0")
	if c := tools.Command("folder", ""); slices.ContainsFunc(c.Env, func(e string) bool { return strings.HasPrefix(e, "GODEBUG=") }) {
		t.Errorf("GODEBUG is set without need: %v", c.Env)
	}
	c := tools.Command("folder", "")
	if c.Dir != "folder" || strings.Contains(strings.Join(c.Argv, " "), "go_work") || !slices.Contains(c.Env, "GOEXPERIMENT=none") || !strings.HasPrefix(c.Env[0], "PATH="+tools.Folder) {
		t.Errorf("%+v", c)
	}
}
