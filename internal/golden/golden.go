package golden

import (
	"encoding/json"
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/bitdistill/bitdistill/internal/safetensors"
)

// Environment variables.
const (
	EnvDir    = "BITDISTILL_GOLDEN"  // folder of golden values in place of testdata/golden
	EnvShared = "BITDISTILL_SHARED"  // folder of optional data in place of ../shared
	EnvNoSkip = "BITDISTILL_NO_SKIP" // 1: missing optional data fails the test
)

// Dir returns the folder of golden values. The test fails if it is missing.
func Dir(t testing.TB) string {
	t.Helper()
	dir := os.Getenv(EnvDir)
	if dir == "" {
		dir = filepath.Join(root(t), "testdata", "golden")
	}
	if !isFolder(dir) {
		t.Fatalf("golden values: no folder %s; restore testdata/golden or set %s", dir, EnvDir)
	}
	return dir
}

// Shared returns the folder of optional data beside the repository. Without it
// the test is skipped with a message, or fails if BITDISTILL_NO_SKIP is 1.
func Shared(t testing.TB) string {
	t.Helper()
	dir := os.Getenv(EnvShared)
	if dir == "" {
		dir = filepath.Join(filepath.Dir(root(t)), "shared")
	}
	if isFolder(dir) {
		return dir
	}
	if os.Getenv(EnvNoSkip) == "1" {
		t.Fatalf("NOT TESTED: no folder %s, and %s=1 forbids skipping; set %s", dir, EnvNoSkip, EnvShared)
	}
	t.Skipf("NOT TESTED: no folder %s; set %s to test with it", dir, EnvShared)
	return ""
}

// Open opens a safetensors file below Dir until the test ends.
func Open(t testing.TB, elem ...string) *safetensors.File {
	t.Helper()
	f, err := safetensors.Open(path(t, elem))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// Floats returns a tensor as float32 (see [safetensors.File.Float32s]) and its
// shape.
func Floats(t testing.TB, f *safetensors.File, name string) (values []float32, shape []int) {
	t.Helper()
	values, err := f.Float32s(name)
	if err != nil {
		t.Fatal(err)
	}
	info, _ := f.Info(name)
	return values, info.Shape
}

// Ints returns a tensor as integers (see [safetensors.File.Ints]) and its shape.
func Ints(t testing.TB, f *safetensors.File, name string) (values []int, shape []int) {
	t.Helper()
	values, err := f.Ints(name)
	if err != nil {
		t.Fatal(err)
	}
	info, _ := f.Info(name)
	return values, info.Shape
}

// JSON decodes a JSON file below Dir into v.
func JSON(t testing.TB, v any, elem ...string) {
	t.Helper()
	file := path(t, elem)
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, v); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

// Folders returns the names of the folders in a folder below Dir, sorted. The
// test fails if there are none.
func Folders(t testing.TB, elem ...string) []string {
	t.Helper()
	dir := path(t, elem)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		if isFolder(filepath.Join(dir, e.Name())) {
			names = append(names, e.Name())
		}
	}
	if len(names) == 0 {
		t.Fatalf("no folders in %s", dir)
	}
	return names
}

// MaxDiff returns the largest absolute difference and its index. A NaN on
// either side counts as infinitely far, and so does what one side lacks; equal
// infinities do not differ. For empty or equal input at is 0.
func MaxDiff(a, b []float32) (maxAbs float64, at int) {
	for i := range min(len(a), len(b)) {
		if a[i] == b[i] {
			continue
		}
		d := math.Abs(float64(a[i]) - float64(b[i]))
		if math.IsNaN(d) {
			return math.Inf(1), i
		}
		if d > maxAbs {
			maxAbs, at = d, i
		}
	}
	if len(a) != len(b) {
		return math.Inf(1), min(len(a), len(b))
	}
	return maxAbs, at
}

// Close reports an error unless got equals want within tol times want's
// largest finite magnitude. Where want is all zero, got must be too.
func Close(t testing.TB, what string, got, want []float32, tol float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d values, want %d", what, len(got), len(want))
		return
	}
	var scale float64
	for _, w := range want {
		if abs := math.Abs(float64(w)); !math.IsInf(abs, 0) { // else anything would be close
			scale = math.Max(scale, abs)
		}
	}
	if d, at := MaxDiff(got, want); !(d <= tol*scale) {
		t.Errorf("%s: element %d is %g, want %g: off by %.3g, %.3g of the largest magnitude %.3g; tolerance %.3g",
			what, at, got[at], want[at], d, d/scale, scale, tol)
	}
}

func path(t testing.TB, elem []string) string {
	t.Helper()
	return filepath.Join(append([]string{Dir(t)}, elem...)...)
}

// root is the nearest folder upwards that holds go.mod; tests run in the folder
// of their package.
func root(t testing.TB) string {
	t.Helper()
	start, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		_, err := os.Stat(filepath.Join(dir, "go.mod"))
		if err == nil {
			return dir
		}
		if !errors.Is(err, fs.ErrNotExist) || dir == filepath.Dir(dir) {
			t.Fatalf("golden values: no go.mod in %s or above (%v)", start, err)
		}
	}
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}
