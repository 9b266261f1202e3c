package backend

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestPluginName(t *testing.T) {
	for file, want := range map[string][2]string{
		"pjrt_c_api_cpu_plugin.so":            {"cpu", XLACPU},
		"pjrt_c_api_cpu_v0.114.0_plugin.so":   {"cpu_v0.114.0", XLACPU},
		"pjrt_c_api_cuda_plugin.dylib":        {"cuda", XLACUDA},
		"pjrt-plugin-cuda12.so":               {"cuda12", XLACUDA},
		"pjrt_plugin_cpu.so":                  {"cpu", XLACPU},
		"xla_cuda_plugin.so":                  {"cuda", XLACUDA},
		"pjrt_c_api_tpu_plugin.so":            {"tpu", ""},
		"libc.so.6":                           {"", ""},
		"pjrt_c_api_cpu_plugin.so.sha256":     {"", ""},
		"old_pjrt_c_api_cpu_v0.1.0_plugin.so": {"", ""},
	} {
		if name := pluginName("/x/" + file); name != want[0] || backendOf(name) != want[1] {
			t.Errorf("%s: %q %q, want %q", file, name, backendOf(name), want)
		}
	}
}

func TestCandidates(t *testing.T) {
	m, home := bare(t)
	named := put(t, "", home, "named", "pjrt_c_api_cpu_plugin.so")
	local := filepath.Join(home, ".local/lib/go-xla")
	if got := m.usualFolders()[0]; got != local {
		local = got // another operating system
	}
	older := put(t, "", local, "pjrt_c_api_cpu_v0.83.1_plugin.so")
	newer := put(t, "", local, "pjrt_c_api_cpu_v0.114.0_plugin.so")
	put(t, "", local, "pjrt_c_api_cuda_plugin.so")
	put(t, "", local, "README")
	venv := put(t, "", home, "venv[1]", "lib/python3.11/site-packages", wheelMembers[XLACPU][0])
	user := put(t, "", home, ".local/lib/python3.9/site-packages", wheelMembers[XLACPU][0])
	own := put(t, "", home, xlaEnv, "lib/python3.13/site-packages", wheelMembers[XLACPU][0])
	t.Setenv(pluginPathEnv, "relative::"+filepath.Dir(named))
	t.Setenv("VIRTUAL_ENV", home+"/venv[1]")

	paths := func(w wish) (list []string) {
		found, searched := m.candidates(XLACPU, w)
		if len(searched) == 0 {
			t.Error("no place searched")
		}
		for _, c := range found {
			list = append(list, c.path)
		}
		return list
	}
	if got, want := paths(wish{}), []string{named, newer, older, venv, user, own}; !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if got := paths(wish{backend: "xla", name: XLACPU, plugin: "cpu_v0.83.1"}); !slices.Equal(got, []string{older}) {
		t.Errorf("exact version: %q", got)
	}
	if got := paths(wish{backend: "xla", name: XLACPU, path: "/p/cpu.so"}); !slices.Equal(got, []string{"/p/cpu.so"}) {
		t.Errorf("path: %q", got)
	}
	if got := paths(wish{backend: "xla", name: XLACUDA, path: "/p/cuda.so"}); len(got) != 6 {
		t.Errorf("a path of another backend: %q", got)
	}
}

func TestSitePackagesOfPython(t *testing.T) {
	m, home := bare(t)
	site := filepath.Join(home, "env/lib/python3.12/site-packages")
	python := put(t, "#!/bin/sh\necho must not run >&2; exit 1\n", home, "env/bin/python3")
	put(t, "", site, "x")
	if err := os.Symlink("lib", filepath.Join(home, "env/lib64")); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", filepath.Dir(python))
	if got := m.sitePackages(); !slices.Equal(got, []string{site}) {
		t.Errorf("environment on PATH: %q", got)
	}
	shim := put(t, "#!/bin/sh\necho /shim/site-packages\necho relative\necho /shim/site-packages\n", home, "shims/python3")
	t.Setenv("PATH", filepath.Dir(shim))
	if got := m.sitePackages(); !slices.Equal(got, []string{"/shim/site-packages"}) {
		t.Errorf("shim on PATH: %q", got)
	}
	broken := put(t, "not a program", home, "broken/python3")
	if err := os.Chmod(broken, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", filepath.Dir(broken))
	if got := m.sitePackages(); len(got) != 0 {
		t.Errorf("broken python3: %q", got)
	}
}
