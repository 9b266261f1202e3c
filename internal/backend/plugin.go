package backend

import (
	"bufio"
	"cmp"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// pluginPathEnv names folders to search first. go-xla reads it too, but when the program starts; here it counts at
// the time of the call, and the plugin found is handed to go-xla by its path.
const pluginPathEnv = "PJRT_PLUGIN_LIBRARY_PATH"

// machine holds the places outside the user's environment, so that tests can do without them.
type machine struct {
	folders     []string    // system folders of plugins
	pythonRoots []string    // system installations of Python
	hasGPU      func() bool // an NVIDIA GPU is present
}

func thisMachine() machine {
	folders := []string{"/usr/local/lib/go-xla", "/usr/local/lib/go-xla/nvidia", "/usr/local/lib/gomlx/pjrt"}
	return machine{
		folders:     append(folders, loaderFolders()...),
		pythonRoots: []string{"/usr/local", "/usr"},
		hasGPU:      hasNVIDIA,
	}
}

// hasNVIDIA looks for the driver's devices, also under the Windows Subsystem for Linux.
func hasNVIDIA() bool {
	for _, pattern := range []string{"/dev/nvidia[0-9]*", "/dev/nvidiactl", "/dev/dxg"} {
		if found, _ := filepath.Glob(pattern); len(found) > 0 {
			return true
		}
	}
	return false
}

// loaderFolders returns the folders in the dynamic loader's configuration, which go-xla searches too.
func loaderFolders() []string {
	files, _ := filepath.Glob("/etc/ld.so.conf.d/*.conf")
	var folders []string
	for _, name := range append([]string{"/etc/ld.so.conf"}, files...) {
		f, err := os.Open(name)
		if err != nil {
			continue // it belongs to Linux distributions with glibc only
		}
		for lines := bufio.NewScanner(f); lines.Scan(); {
			if line := strings.TrimSpace(lines.Text()); filepath.IsAbs(line) {
				folders = append(folders, line)
			}
		}
		f.Close()
	}
	return folders
}

// candidate is a file that may be a plugin.
type candidate struct {
	path string
	from string // where it was found, in words
}

// candidates lists the plugins for the XLA backend called name in order of preference, and the places searched.
// A path in the wish is the only candidate.
func (m machine) candidates(name string, w wish) (found []candidate, searched []string) {
	if w.fits(name) && w.path != "" {
		return []candidate{{w.path, gomlxEnv}}, []string{w.path + " (" + gomlxEnv + ")"}
	}
	exact := ""
	if w.fits(name) {
		exact = w.plugin
	}
	add := func(paths []string, from string) {
		for _, p := range paths {
			known := slices.ContainsFunc(found, func(c candidate) bool { return c.path == p })
			if !known && (exact == "" || exact == pluginName(p)) {
				found = append(found, candidate{p, from})
			}
		}
	}
	for _, folder := range splitFolders(os.Getenv(pluginPathEnv)) {
		searched = append(searched, folder+" ("+pluginPathEnv+")")
		add(pluginsIn(folder, name), pluginPathEnv)
	}
	for _, folder := range m.usualFolders() {
		searched = append(searched, folder)
		add(pluginsIn(folder, name), folder)
	}
	for _, site := range m.sitePackages() {
		for _, member := range wheelMembers[name] {
			searched = append(searched, filepath.Join(site, member))
			if p := filepath.Join(site, member); exists(p) {
				add([]string{p}, "the Python packages in "+site)
			}
		}
	}
	return found, searched
}

// usualFolders lists the folders that go-xla searches, the user's, the system's, the loader's, and that of Install.
func (m machine) usualFolders() []string {
	var folders []string
	if home, err := os.UserHomeDir(); err == nil && filepath.IsAbs(home) {
		local := filepath.Join(home, ".local", "lib")
		folders = []string{filepath.Join(local, "go-xla"), filepath.Join(local, "go-xla", "nvidia"), filepath.Join(local, "gomlx", "pjrt")}
		if runtime.GOOS == "darwin" {
			support := filepath.Join(home, "Library", "Application Support")
			folders = []string{filepath.Join(support, "go-xla"), filepath.Join(support, "GoMLX", "PJRT")}
		}
		folders = append(folders, pluginFolder(home, XLACPU))
	}
	folders = append(folders, m.folders...)
	folders = append(folders, splitFolders(os.Getenv("DYLD_LIBRARY_PATH"))...)
	return append(folders, splitFolders(os.Getenv("LD_LIBRARY_PATH"))...)
}

// splitFolders splits a ":" list and drops relative entries: code is never loaded from where the program happens to run.
func splitFolders(list string) []string {
	return slices.DeleteFunc(filepath.SplitList(list), func(p string) bool { return !filepath.IsAbs(p) })
}

// pluginsIn lists the plugins of a folder for the XLA backend called name: unversioned ones, then newest first.
func pluginsIn(folder, name string) []string {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil // most usual folders do not exist
	}
	var paths []string
	for _, e := range entries {
		if p := filepath.Join(folder, e.Name()); backendOf(pluginName(p)) == name {
			paths = append(paths, p)
		}
	}
	slices.SortStableFunc(paths, func(a, b string) int { return slices.Compare(versionKey(b), versionKey(a)) })
	return paths
}

// pluginFile matches the names that PJRT plugins go by; the group is the plugin's name.
var pluginFile = regexp.MustCompile(`^(?:pjrt_c_api_(.+)_plugin|pjrt[-_]plugin[-_](.+)|xla_(cuda)_plugin)\.(?:so|dylib)$`)

// pluginName returns "cpu" for ".../pjrt_c_api_cpu_plugin.so" and "cpu_v0.114.0" for a versioned one; "" for other files.
func pluginName(path string) string {
	match := pluginFile.FindStringSubmatch(filepath.Base(path))
	if match == nil {
		return ""
	}
	return cmp.Or(match[1], match[2], match[3])
}

// backendOf returns the backend that a plugin's name stands for, or "".
func backendOf(plugin string) string {
	switch base, _, _ := strings.Cut(plugin, "_v"); base {
	case "cpu":
		return XLACPU
	case "cuda", "cuda12", "cuda13":
		return XLACUDA
	}
	return ""
}

var digits = regexp.MustCompile(`[0-9]+`)

// versionKey orders plugin names: one without a version before all, otherwise by the numbers in the name.
func versionKey(path string) []int {
	_, version, versioned := strings.Cut(pluginName(path), "_v")
	if !versioned {
		return []int{1}
	}
	key := []int{0}
	for _, d := range digits.FindAllString(version, -1) {
		n, _ := strconv.Atoi(d) // absurdly long numbers sort as 0 or the maximum, either is fine
		key = append(key, n)
	}
	return key
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
