package backend

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// gomlxEnv is the environment variable in which GoMLX programs take their backend.
const gomlxEnv = "GOMLX_BACKEND"

// wish is what GOMLX_BACKEND asks for; the zero value asks for nothing.
type wish struct {
	backend string // "", Go or "xla"
	name    string // XLACPU, XLACUDA or "" for either
	plugin  string // exact plugin name such as "cpu_v0.114.0", or ""
	path    string // absolute path of the plugin, or ""
	options string // "a=1,b": of the backend named, unparsed
}

// parseWish reads the value of GOMLX_BACKEND: <backend>[:<configuration>], as GoMLX defines it.
func parseWish(value string) (wish, error) {
	backend, config, _ := strings.Cut(value, ":")
	switch backend {
	case "":
		if config != "" {
			return wish{}, fmt.Errorf("%w: %s=%q names no backend before the colon", ErrConfig, gomlxEnv, value)
		}
		return wish{}, nil
	case Go:
		return wish{backend: Go, options: config}, checkGoOptions(config)
	case "xla", "stablehlo", "hlo", "shlo": // go-xla registers itself under all of these
		w := wish{backend: "xla"}
		plugin, options, _ := strings.Cut(config, ",")
		w.options = options
		return w, w.setPlugin(value, plugin)
	}
	return wish{}, fmt.Errorf("%w: %s=%q; it is one of go, xla:cpu, xla:cuda, xla:/absolute/path/of/plugin.so",
		ErrConfig, gomlxEnv, value)
}

// setPlugin fills in the plugin part of value: nothing, a name or an absolute path.
func (w *wish) setPlugin(value, plugin string) error {
	if plugin == "" {
		return nil
	}
	name := plugin
	if strings.ContainsAny(plugin, `/\`) {
		if !filepath.IsAbs(plugin) {
			return fmt.Errorf("%w: %s=%q: a plugin's path has to be absolute", ErrConfig, gomlxEnv, value)
		}
		w.path = plugin
		name = pluginName(plugin)
	}
	w.name = backendOf(name)
	if w.name == "" {
		return fmt.Errorf("%w: %s=%q: the plugin is neither cpu nor cuda by its name; files are called like pjrt_c_api_cpu_plugin.so",
			ErrConfig, gomlxEnv, value)
	}
	if w.path == "" && name != "cpu" && name != "cuda" {
		w.plugin = name
	}
	return nil
}

// names lists the XLA backends that the wish leaves open, the fastest first.
func (w wish) names() []string {
	if w.name != "" {
		return []string{w.name}
	}
	return []string{XLACUDA, XLACPU}
}

// fits tells whether the wish is for the XLA backend called name, so that its path and options apply to it.
func (w wish) fits(name string) bool {
	return w.backend == "xla" && slices.Contains(w.names(), name)
}

// goOptions returns the options for the pure-Go backend, "" when the wish is for another.
func (w wish) goOptions() string {
	if w.backend != Go {
		return ""
	}
	return w.options
}
