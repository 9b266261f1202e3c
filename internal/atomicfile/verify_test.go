package atomicfile

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestEveryBitAndLength flips every bit of every file, the manifest among
// them, and cuts every file at every length.
func TestEveryBitAndLength(t *testing.T) {
	_, final := prepared(t, true)
	names := []string{ManifestName}
	for name := range content("old") {
		names = append(names, name)
	}
	for _, name := range names {
		f, err := os.OpenFile(filepath.Join(final, name), os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		good, err := io.ReadAll(f)
		if err != nil {
			t.Fatal(err)
		}
		check := func(err error, what string, at int) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
			var damage *DamageError
			if err := Verify(final); !errors.As(err, &damage) || name != ManifestName && damage.File != name {
				t.Errorf("%s: %s %d: %v", name, what, at, err)
			}
		}
		for bit := range 8 * len(good) {
			_, err := f.WriteAt([]byte{good[bit/8] ^ 1<<(bit%8)}, int64(bit/8))
			check(err, "flipped bit", bit)
			f.WriteAt(good[bit/8:bit/8+1], int64(bit/8))
		}
		check(f.Truncate(int64(len(good)+1)), "grown to", len(good)+1)
		for n := len(good) - 1; n >= 0; n-- {
			check(f.Truncate(int64(n)), "cut to", n)
		}
		if err := errors.Join(f.Truncate(int64(len(good))), second(f.WriteAt(good, 0))); err != nil {
			t.Fatal(err)
		}
	}
	if versionOf(t, final, "old") != "old" {
		t.Error("not restored")
	}
}

func second[T any](_ T, err error) error { return err }

func TestVerifySays(t *testing.T) {
	for _, c := range []struct {
		name   string
		damage func(dir string)
		want   []string // nil: still fine
	}{
		{"file missing", func(dir string) { os.Remove(dir + "/config.json") }, []string{"config.json: damaged: missing"}},
		{"file cut", func(dir string) { os.Truncate(dir+"/config.json", 3) }, []string{"config.json: damaged: 3 bytes, the manifest says 4"}},
		{"file changed", func(dir string) { os.WriteFile(dir+"/config.json", []byte("sane"), 0o666) }, []string{"config.json: damaged: content changed"}},
		{"file is a folder", func(dir string) { os.Remove(dir + "/only-old"); os.Mkdir(dir+"/only-old", 0o777) }, []string{"only-old: damaged: not a regular file"}},
		{"file is a link", func(dir string) { os.Remove(dir + "/only-old"); os.Symlink("config.json", dir+"/only-old") }, []string{"only-old: damaged: not a regular file"}},
		{"two faults", func(dir string) { os.Remove(dir + "/config.json"); os.Remove(dir + "/only-old") }, []string{"config.json: damaged", "only-old: damaged"}},
		{"no manifest", func(dir string) { os.Remove(dir + "/manifest.json") }, []string{"manifest.json: the folder is incomplete or damaged: missing"}},
		{"empty manifest", func(dir string) { os.Truncate(dir+"/manifest.json", 0) }, []string{"manifest.json: the folder is incomplete"}},
		{"manifest leads out", func(dir string) {
			os.WriteFile(filepath.Dir(dir)+"/x", nil, 0o666)
			m := manifest{Version: 1, Files: map[string]seal{"../x": {}}}
			data, _ := m.encode()
			os.WriteFile(dir+"/manifest.json", data, 0o666)
		}, []string{`"../x" cannot be a file's name`}},
		{"file added", func(dir string) { os.WriteFile(dir+"/notes", []byte("mine"), 0o666) }, nil},
	} {
		_, final := prepared(t, true)
		c.damage(final)
		err := Verify(final)
		if (err == nil) != (c.want == nil) {
			t.Errorf("%s: %v", c.name, err)
		}
		for _, want := range c.want {
			if err == nil || !strings.Contains(filepath.ToSlash(err.Error()), want) {
				t.Errorf("%s: %v lacks %q", c.name, err, want)
			}
		}
	}
	missing := filepath.Join(t.TempDir(), "none")
	if err := Verify(missing); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), missing) {
		t.Errorf("missing folder: %v", err)
	}
}
