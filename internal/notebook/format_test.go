package notebook

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestRoundTrip reads a file with everything that the format has, as Python's json module writes it with the settings of nbformat,
// and expects the same bytes.
func TestRoundTrip(t *testing.T) {
	want, err := os.ReadFile("testdata/jupyter.ipynb")
	if err != nil {
		t.Fatal(err)
	}
	nb, err := ReadFile("testdata/jupyter.ipynb")
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := nb.Write(&b); err != nil || !bytes.Equal(b.Bytes(), want) {
		t.Errorf("%v\n%s", err, b.String())
	}
	if s := nb.Cells[1].Outputs[1].Data["text/html"]; s != "<p>\n</p>" {
		t.Errorf("lines were not joined: %q", s)
	}
}

// notebookOf makes a file's content of cells; a source that begins with "#" is markdown, tags stand before a "|".
func notebookOf(sources ...string) []byte {
	var cells []string
	for _, s := range sources {
		tags := ""
		if before, after, ok := strings.Cut(s, "|"); ok {
			tags, s = fmt.Sprintf(`"tags":[%q]`, before), after
		}
		kind, rest := "code", `,"outputs":[{"output_type":"stream","name":"stdout","text":"old"}],"execution_count":9`
		if strings.HasPrefix(s, "#") {
			kind, rest = "markdown", ""
		}
		source, _ := json.Marshal(s)
		cells = append(cells, fmt.Sprintf(`{"cell_type":%q,"metadata":{%s},"source":%s%s}`, kind, tags, source, rest))
	}
	return []byte(`{"cells":[` + strings.Join(cells, ",") + `],"metadata":{},"nbformat":4,"nbformat_minor":4}`)
}

func parse(t *testing.T, sources ...string) *Notebook {
	t.Helper()
	nb, err := Read(notebookOf(sources...))
	if err != nil {
		t.Fatal(err)
	}
	return nb
}

func TestIDs(t *testing.T) {
	a, b := parse(t, "x", "x", "y"), parse(t, "new", "x", "x", "y")
	ids := map[string]bool{}
	for i, c := range a.Cells {
		ids[c.ID] = true
		if !goodID.MatchString(c.ID) || c.ID != b.Cells[i+1].ID {
			t.Errorf("cell %d: %q and %q", i, c.ID, b.Cells[i+1].ID)
		}
	}
	if len(ids) != 3 {
		t.Errorf("not unique: %v", ids)
	}
	a.Cells[1].ID, a.Cells[2].ID = "kept", "kept"
	if a.completeIDs(); a.Cells[1].ID != "" && a.Cells[1].ID != "kept" || a.Cells[2].ID == "kept" {
		t.Errorf("%q %q", a.Cells[1].ID, a.Cells[2].ID)
	}
}

func TestReadRefuses(t *testing.T) {
	for data, want := range map[string]string{
		``:                          "is not a notebook",
		`[]`:                        "is not a notebook",
		`{}`:                        "format 4.0 to 4.5",
		`{"nbformat":3,"cells":[]}`: "of 3.0",
		`{"nbformat":4,"nbformat_minor":6,"cells":[]}`:                                                                       "of 4.6",
		`{"nbformat":4,"cells":[{"cell_type":"heading"}]}`:                                                                   `cell 1: cell_type "heading"`,
		`{"nbformat":4,"cells":[{"cell_type":"code","source":7}]}`:                                                           "neither text nor a list",
		`{"nbformat":4,"cells":[{"cell_type":"code","outputs":[{"output_type":"pyout"}]}]}`:                                  `output 1: output_type "pyout"`,
		`{"nbformat":4,"cells":[{"cell_type":"code","outputs":[{"output_type":"display_data","data":{"text/plain":[1]}}]}]}`: "text/plain",
	} {
		if _, err := Read([]byte(data)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", data, err)
		}
	}
	missing := filepath.Join(t.TempDir(), "no.ipynb")
	if _, err := ReadFile(missing); err == nil || !strings.Contains(err.Error(), missing) {
		t.Errorf("%v", err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add(notebookOf("# a", "x|out b"))
	data, err := os.ReadFile("testdata/jupyter.ipynb")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		nb, err := Read(data)
		if err != nil {
			return
		}
		var first, second bytes.Buffer
		if err := nb.Write(&first); err != nil {
			t.Fatal(err)
		}
		again, err := Read(first.Bytes())
		if err != nil {
			t.Fatalf("what was written cannot be read: %v", err)
		}
		if err := again.Write(&second); err != nil || !bytes.Equal(first.Bytes(), second.Bytes()) {
			t.Fatalf("%v: written twice, two files", err)
		}
		nb.Parameters()
		nb.WriteHTML(&first, "t", nil)
	})
}

func TestFailure(t *testing.T) {
	for _, c := range []struct {
		want   string
		chunks []string
	}{
		{"", nil},
		{"", []string{"a warning\n"}},
		{"", []string{"exit status 0\n"}},
		{"", []string{"the panic: is over\n", "it said exit status 3 before\n", "2026/01/01 exit status 1\n"}},
		{"the program or a command failed: exit status 3", []string{"exit status 3\n"}},
		{"the program or a command failed: exit status 3", []string{"no newline", "exit status 3\n"}},
		{"the program or a command failed: exit status 12", []string{"exit st", "atus 1", "2\n"}},
		{"the program or a command failed: exit status 2", []string{"\x1b[31mexit status 2\x1b[0m\n"}},
		{"the program or a command failed: signal: killed", []string{"^C\nsignal: killed\n"}},
		{"the program or a command failed: signal: segmentation fault (core dumped)", []string{"signal: segmentation fault (core dumped)\n"}},
		{"the program panicked: panic: oh no", []string{"pan", "ic: oh no\n\ngoroutine 1", "exit status 2\n"}},
		{"the program panicked: fatal error: all goroutines are asleep - deadlock!", []string{"fatal error: all goroutines are asleep - deadlock!\n"}},
		{`unknown command: "%nosuch" unknown or not implemented yet.`, []string{"x", `"%nosuch" unknown or not implemented yet.`, "y"}},
	} {
		if got := Failure(c.chunks); got != c.want {
			t.Errorf("%q: %q, want %q", c.chunks, got, c.want)
		}
	}
}
