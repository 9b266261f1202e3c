package gonb

import (
	"bytes"
	"context"
	"crypto/sha256"
	"debug/buildinfo"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"time"

	"github.com/gofrs/flock"
)

//go:embed tools.mod
var toolsMod []byte

//go:embed tools.sum
var toolsSum []byte

// The programs and where they come from.
const (
	kernelPath  = "github.com/janpfeifer/gonb"
	importsPath = "golang.org/x/tools/cmd/goimports"
	editorPath  = "golang.org/x/tools/gopls"
)

// lockPoll is how often a process looks whether another one has finished building.
const lockPoll = 200 * time.Millisecond

// FolderVariable names a folder with gonb and goimports that is used as it is, whatever their versions.
const FolderVariable = "BITDISTILL_NOTEBOOK_TOOLS"

// Version is the version of GoNB that is pinned.
func Version() string {
	m := regexp.MustCompile(regexp.QuoteMeta(kernelPath) + ` (v\S+)`).FindSubmatch(toolsMod)
	return string(m[1])
}

// Tools are the programs of a Go kernel.
type Tools struct {
	Folder string // has gonb and goimports
	Editor string // has gopls, for completion in a browser; empty where nobody asked for it
}

// Find finds the programs: in the folder that FolderVariable names, in .bin of the module around folder, on PATH if the version
// is the pinned one, or among what was built before; else it builds them, which takes a minute or two, and tells log so. With
// editor it sees to gopls, too. Without Go nothing works, neither building nor the kernel.
func Find(ctx context.Context, folder string, editor bool, log io.Writer) (Tools, error) {
	if _, err := exec.LookPath("go"); err != nil {
		return Tools{}, errors.New("notebooks need Go itself, and there is no program go on PATH; https://go.dev/doc/install tells how to install it")
	}
	if given := os.Getenv(FolderVariable); given != "" {
		folder, err := filepath.Abs(given)
		if err == nil && !has(folder, "gonb", "goimports") {
			err = fmt.Errorf("%s=%s: does not hold gonb and goimports", FolderVariable, given)
		}
		return Tools{Folder: folder, Editor: withEditor(folder, editor)}, err
	}
	if found := ready(folder); found != "" && (!editor || has(found, "gopls")) {
		return Tools{Folder: found, Editor: withEditor(found, editor)}, nil
	}
	cache, err := cacheFolder()
	if err != nil {
		return Tools{}, err
	}
	t := Tools{Folder: filepath.Join(cache, "bin")}
	if err := build(ctx, log, t.Folder, kernelPath, importsPath); err != nil || !editor {
		return t, err
	}
	t.Editor = filepath.Join(cache, "editor")
	return t, build(ctx, log, t.Editor, editorPath)
}

// withEditor is folder if it is asked for and holds gopls.
func withEditor(folder string, editor bool) string {
	if editor && has(folder, "gopls") {
		return folder
	}
	return ""
}

func program(folder, name string) string {
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	return filepath.Join(folder, name)
}

func has(folder string, names ...string) bool {
	for _, name := range names {
		if info, err := os.Stat(program(folder, name)); err != nil || !info.Mode().IsRegular() {
			return false
		}
	}
	return true
}

// ready is a folder with programs of the pinned version that somebody else has put there, or "".
func ready(folder string) string {
	var places []string
	if module := Module(folder); module != "" {
		places = append(places, filepath.Join(module, ".bin"))
	}
	if path, err := exec.LookPath("gonb"); err == nil {
		if path, err = filepath.Abs(path); err == nil {
			places = append(places, filepath.Dir(path))
		}
	}
	for _, p := range places {
		if !has(p, "gonb", "goimports") {
			continue
		}
		// The version that GoNB prints is an older one; the module's is right.
		if info, err := buildinfo.ReadFile(program(p, "gonb")); err == nil && info.Main.Path == kernelPath && info.Main.Version == Version() {
			return p
		}
	}
	return ""
}

// cacheFolder is where this version's programs are built, one folder for each list of versions.
func cacheFolder() (string, error) {
	base, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no folder to build the kernel in: %w; %s can name one with the programs", err, FolderVariable)
	}
	sum := sha256.Sum256(append(bytes.Clone(toolsMod), toolsSum...))
	return filepath.Join(base, "bitdistill", "notebook-tools-"+hex.EncodeToString(sum[:8])), nil
}

// build builds packages of the tools module into folder, unless they are there. Other processes that want the same wait.
func build(ctx context.Context, log io.Writer, folder string, packages ...string) error {
	if _, err := os.Stat(folder); err == nil {
		return nil // it gets its name when all is in it
	}
	source := filepath.Join(filepath.Dir(folder), "module")
	if err := os.MkdirAll(source, 0o777); err != nil {
		return err
	}
	lock := flock.New(folder + ".lock")
	if _, err := lock.TryLockContext(ctx, lockPoll); err != nil {
		return fmt.Errorf("build the Go kernel: %w", err)
	}
	defer lock.Unlock()
	if _, err := os.Stat(folder); err == nil {
		return nil
	}
	fmt.Fprintf(log, "building %s, once; this takes a minute or two\n", baseNames(packages))
	for name, data := range map[string][]byte{"go.mod": toolsMod, "go.sum": toolsSum} {
		if err := os.WriteFile(filepath.Join(source, name), data, 0o666); err != nil {
			return err
		}
	}
	temp, err := os.MkdirTemp(filepath.Dir(folder), "building-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	if err := goBuild(ctx, source, temp, packages); err != nil {
		return err
	}
	return os.Rename(temp, folder)
}

func goBuild(ctx context.Context, source, to string, packages []string) error {
	cmd := exec.CommandContext(ctx, "go", append([]string{"build", "-o", to + string(filepath.Separator)}, packages...)...)
	cmd.Dir = source
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=", "GOOS=", "GOARCH=", "GOEXPERIMENT=")
	output, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		return fmt.Errorf("build the Go kernel: %w", context.Cause(ctx))
	}
	if err != nil {
		return fmt.Errorf("build the Go kernel: go build: %w: %s", err, strings.TrimSpace(string(output)))
	}
	return nil
}

func baseNames(packages []string) string {
	names := make([]string, len(packages))
	for i, p := range packages {
		names[i] = p[strings.LastIndexByte(p, '/')+1:]
	}
	return strings.Join(names, " and ")
}
