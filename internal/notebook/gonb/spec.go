package gonb

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/bitdistill/bitdistill/internal/atomicfile"
	"github.com/bitdistill/bitdistill/internal/backend"
	"github.com/bitdistill/bitdistill/internal/jupyter"
)

// DefaultName is the name that GoNB's own kernel has, and so what notebooks ask for.
const DefaultName = "gonb"

// argv starts the kernel. Module is the folder whose packages notebooks import from disk, or "". -raw_error makes errors text.
func (t Tools) argv(module string) []string {
	argv := []string{program(t.Folder, "gonb"), "--kernel", "{connection_file}", "-raw_error"}
	if module != "" {
		argv = append(argv, "-go_work="+module)
	}
	return argv
}

// path is PATH for the kernel, in front of what stands there already.
func (t Tools) path(rest string) string {
	folders := []string{t.Folder}
	if t.Editor != "" && t.Editor != t.Folder {
		folders = append(folders, t.Editor)
	}
	if goTool, err := exec.LookPath("go"); err == nil {
		folders = append(folders, filepath.Dir(goTool))
	}
	return strings.Join(append(folders, rest), string(os.PathListSeparator))
}

// experiment is what the module's faster kernels need where they exist; the user's own setting wins.
func experiment() (string, bool) {
	if given, ok := os.LookupEnv("GOEXPERIMENT"); ok {
		return given, true
	}
	return "simd", runtime.GOARCH == "amd64"
}

// environment is what the kernel and the programs of its cells need besides PATH, as far as the user has not set it.
func environment() map[string]string {
	value, set := experiment()
	env := backend.FastEnvironment(runtime.GOARCH == "amd64" && strings.Contains(value, "simd"), os.LookupEnv)
	if set {
		env["GOEXPERIMENT"] = value
	}
	return env
}

// Command is how a run without a browser starts the kernel, in folder.
func (t Tools) Command(folder, module string) jupyter.Command {
	env := []string{"PATH=" + t.path(os.Getenv("PATH"))}
	extra := environment()
	for _, name := range slices.Sorted(maps.Keys(extra)) {
		env = append(env, name+"="+extra[name])
	}
	return jupyter.Command{Argv: t.argv(module), Env: env, Dir: folder}
}

// spec is a kernel.json.
type spec struct {
	Argv     []string          `json:"argv"`
	Name     string            `json:"display_name"`
	Language string            `json:"language"`
	Env      map[string]string `json:"env"`
	Metadata map[string]any    `json:"metadata"`
}

// ours marks specs that were written here, which may be written again.
const ours = "bitdistill"

// ErrForeign says that a kernel of that name is there already that was not written here.
var ErrForeign = errors.New("there is a kernel of that name already, which was not installed by this program")

// Install writes a kernel spec into data, a Jupyter data folder, as kernels/NAME, and returns its folder.
func (t Tools) Install(data, name, module string) (folder string, err error) {
	env := environment()
	env["PATH"] = t.path("${PATH}") // Jupyter fills in its own PATH
	s := spec{t.argv(module), "Go (bitdistill)", "go", env, map[string]any{ours: map[string]string{"module": module}}}
	folder = filepath.Join(data, "kernels", name)
	file := filepath.Join(folder, "kernel.json")
	old, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	var before spec
	if err == nil && (json.Unmarshal(old, &before) != nil || before.Metadata[ours] == nil) {
		return "", fmt.Errorf("%s: %w", folder, ErrForeign)
	}
	if err := os.MkdirAll(folder, 0o777); err != nil {
		return "", err
	}
	return folder, atomicfile.WriteFile(file, func(w io.Writer) error {
		e := json.NewEncoder(w)
		e.SetEscapeHTML(false)
		e.SetIndent("", " ")
		return e.Encode(s)
	})
}

// UserData is the user's own Jupyter data folder, where Jupyter finds kernels without being told.
func UserData() (string, error) {
	if given := os.Getenv("JUPYTER_DATA_DIR"); given != "" {
		return filepath.Abs(given)
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", err
	}
	switch runtime.GOOS {
	case "darwin":
		return filepath.Join(home, "Library", "Jupyter"), nil
	case "windows":
		if data := os.Getenv("APPDATA"); data != "" {
			return filepath.Join(data, "jupyter"), nil
		}
	}
	if data := os.Getenv("XDG_DATA_HOME"); data != "" {
		return filepath.Join(data, "jupyter"), nil
	}
	return filepath.Join(home, ".local", "share", "jupyter"), nil
}
