package backend

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// wheelMembers are the plugins that Python wheels bring, by backend, relative to a site-packages folder.
var wheelMembers = map[string][]string{
	XLACPU: {"lammps_jax_pjrt_cpu/pjrt_c_api_cpu_plugin.so"},
	XLACUDA: {
		"jax_plugins/xla_cuda13/xla_cuda_plugin.so",
		"jax_plugins/xla_cuda12/xla_cuda_plugin.so",
	},
}

// Virtual environments for plugins alone, relative to the home folder: the steps by hand make them.
const (
	xlaEnv  = ".local/share/bitdistill/xla"
	cudaEnv = ".local/share/bitdistill/cuda"
)

// sitePackages lists the folders in which pip puts packages: that of Install, of the active environment, of the python3 on PATH, of
// the user, of the environments made for plugins, and of the system. They are found by name; Python itself is run only if its layout is an unknown one.
func (m machine) sitePackages() []string {
	roots := []string{os.Getenv("VIRTUAL_ENV"), os.Getenv("CONDA_PREFIX")}
	python, err := exec.LookPath("python3")
	var asked []string
	if err == nil {
		root := filepath.Dir(filepath.Dir(python))
		if len(sitesUnder(root)) == 0 {
			asked = askPython(python) // a shim (pyenv, asdf) or an unusual build
		}
		roots = append(roots, root)
	}
	if home, err := os.UserHomeDir(); err == nil {
		roots = append(roots, filepath.Join(home, ".local"), filepath.Join(home, xlaEnv), filepath.Join(home, cudaEnv))
	}
	sites := []string{}
	if home, err := os.UserHomeDir(); err == nil && exists(pluginFolder(home, XLACUDA)) {
		sites = append(sites, pluginFolder(home, XLACUDA))
	}
	for _, root := range append(roots, m.pythonRoots...) {
		sites = append(sites, sitesUnder(root)...)
	}
	for _, site := range asked {
		if filepath.IsAbs(site) {
			sites = append(sites, site)
		}
	}
	return uniqueFolders(sites)
}

// sitesUnder globs root, which is a prefix such as /usr or a virtual environment; newer Python versions come first.
func sitesUnder(root string) []string {
	if !filepath.IsAbs(root) {
		return nil
	}
	var sites []string
	for _, pattern := range []string{"lib/python3*/site-packages", "lib64/python3*/site-packages", "lib/python3*/dist-packages"} {
		found, _ := filepath.Glob(filepath.Join(globEscape.Replace(root), pattern))
		slices.Reverse(found)
		sites = append(sites, found...)
	}
	return sites
}

// globEscape keeps the characters of a folder's name from being read as a pattern.
var globEscape = strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`)

// askPython has python3 print its folders; -I keeps it from importing what lies in the current folder.
func askPython(python string) []string {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, python, "-I", "-c",
		"import site; print('\\n'.join(site.getsitepackages() + [site.getusersitepackages()]))")
	cmd.WaitDelay = time.Second // a shim's children may keep the pipe open
	out, err := cmd.Output()
	if err != nil {
		return nil // a python3 that does not run has no packages for us
	}
	return strings.Split(strings.TrimSpace(string(out)), "\n")
}

// uniqueFolders drops repeated folders, also under other names (lib64 is often a link to lib), and keeps the order.
func uniqueFolders(list []string) []string {
	seen := map[string]bool{}
	return slices.DeleteFunc(list, func(folder string) bool {
		real, err := filepath.EvalSymlinks(folder)
		if err != nil {
			real = folder
		}
		again := seen[real]
		seen[real] = true
		return again
	})
}
