package notebook

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const defaults = `parameters|%env A b
import "time"

// Model is a folder or a hub id.
var Model = "embedded"
var (
	Steps, Rate = 100, -0.5 // how long
	Loud bool
	Seed uint8 = 0x10
	Fast = true
	Wait = 5 * time.Second
	Names []string = nil
)
const Depth float32 = 2`

func TestParameters(t *testing.T) {
	found, err := parse(t, "# x", defaults).Parameters()
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, p := range found {
		b.WriteString(p.Name + " " + p.Type + " " + p.Default + " " + p.About + "\n")
	}
	const want = "Model string \"embedded\" Model is a folder or a hub id.\nSteps int 100 how long\nRate float64 -0.5 how long\n" +
		"Seed uint8 0x10 \nFast bool true \nDepth float32 2 \n"
	if b.String() != want {
		t.Errorf("got:\n%s", b.String())
	}
	if found, err := parse(t, "out x").Parameters(); err != nil || found != nil {
		t.Errorf("%v %v", found, err)
	}
	for _, sources := range [][]string{{"parameters|x := 1"}, {"parameters|var A = 1", "parameters|var B = 1"}} {
		if _, err := parse(t, sources...).Parameters(); err == nil || !strings.Contains(err.Error(), "cell") {
			t.Errorf("%q: %v", sources, err)
		}
	}
}

func TestSetParameters(t *testing.T) {
	nb := parse(t, "# x", defaults, "out y")
	if err := nb.SetParameters([]Value{{"Rate", "2", ""}, {"Model", `a"b`, ""}, {"Seed", "255", "int"}, {"Depth", "1e3", "float"}, {"Fast", "false", "bool"}, {"Rate", "3", ""}}); err != nil {
		t.Fatal(err)
	}
	const want = "// Parameters of this run.\nvar Model = \"a\\\"b\"\nvar Rate = 3.0\nvar Seed uint8 = 255\nvar Fast = false\nconst Depth float32 = 1000.0"
	if c := nb.Cells[2]; len(nb.Cells) != 4 || c.Source != want || c.ID != "injected-parameters" || !c.HasTag("injected-parameters") {
		t.Errorf("%+v", c)
	}
	if _, err := parseParameters(nb.Cells[2].Source); err != nil {
		t.Errorf("what was injected is not Go: %v", err)
	}
	if err := nb.SetParameters([]Value{{"Steps", "1_000", ""}}); err != nil {
		t.Fatal(err)
	}
	if c := nb.Cells[2]; len(nb.Cells) != 4 || c.Source != "// Parameters of this run.\nvar Steps = 1000" {
		t.Errorf("not replaced: %+v", c)
	}
}

func TestSetParametersRefuses(t *testing.T) {
	for _, c := range []struct{ name, text, kind, want string }{
		{"Other", "1", "", "none of that name; it has Model, Steps"},
		{"Steps", "1.5", "", `"1.5" is not a int`},
		{"Steps", "9223372036854775808", "", "out of range"},
		{"Steps", "5", "string", "is a int, and the value 5 is a string"},
		{"Model", "5", "int", "is a string, and the value 5 is a int"},
		{"Seed", "256", "", "out of range"},
		{"Seed", "-1", "", "invalid syntax"},
		{"Rate", "NaN", "", "no literal"[3:]},
		{"Rate", "1e999", "", "out of range"},
		{"Depth", "1e39", "", "out of range"},
		{"Fast", "yes", "", "use true or false"},
		{"Fast", "1\npanic(1)", "", "use true or false"},
		{"Loud", "true", "", "none of that name"}, // it has no default
	} {
		nb := parse(t, defaults)
		err := nb.SetParameters([]Value{{c.name, c.text, c.kind}})
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), c.name) || len(nb.Cells) != 1 {
			t.Errorf("%+v: %v", c, err)
		}
	}
	if err := parse(t, "out x").SetParameters([]Value{{"A", "1", ""}}); err == nil || !strings.Contains(err.Error(), "no cell is tagged") {
		t.Error(err)
	}
	err := parse(t, defaults).SetParameters([]Value{{"Fast", "x", ""}, {"Seed", "x", ""}})
	if err == nil || strings.Count(err.Error(), "\n") != 1 {
		t.Errorf("not both faults: %v", err)
	}
}

func TestReadValues(t *testing.T) {
	file := func(content string) string {
		path := filepath.Join(t.TempDir(), "p.yaml")
		if err := os.WriteFile(path, []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
		return path
	}
	values, err := ReadValues(file("Model: some/model\nSteps: 1_000\nRate: 1e-3\nFast: True\nText: \"5\"\n"))
	want := []Value{{"Model", "some/model", "string"}, {"Steps", "1_000", "int"}, {"Rate", "1e-3", "float"}, {"Fast", "true", "bool"}, {"Text", "5", "string"}}
	if err != nil || len(values) != len(want) {
		t.Fatalf("%v %v", values, err)
	}
	for i, v := range values {
		if v != want[i] {
			t.Errorf("%+v, want %+v", v, want[i])
		}
	}
	if values, err := ReadValues(file("")); err != nil || values != nil {
		t.Errorf("%v %v", values, err)
	}
	for _, content := range []string{"- a", "a: [1]", "a: null", "a: 1\na: 2", "a: {b: 1}", "\t", "a: 2026-01-01"} {
		if v, err := ReadValues(file(content)); err == nil || !strings.Contains(err.Error(), "p.yaml") {
			t.Errorf("%q: %v %v", content, v, err)
		}
	}
	for _, s := range []string{"", "a", "=1", "a-b=1", "1=1"} {
		if _, err := ParseValue(s); err == nil {
			t.Errorf("%q was taken", s)
		}
	}
	if v, err := ParseValue("A=b=c"); err != nil || v != (Value{"A", "b=c", ""}) {
		t.Errorf("%+v %v", v, err)
	}
}
