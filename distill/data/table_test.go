package data

import (
	"bytes"
	"compress/gzip"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go"
)

// readAll reads all columns of a table as text: first the names of the columns, then the rows.
func readAll(f File) (all [][]string, err error) {
	err = readTable(f, &receiver{
		choose: func(columns []string) ([]field, error) {
			all = append(all, columns)
			fields := make([]field, len(columns))
			for i := range fields {
				fields[i].column = i
			}
			return fields, nil
		},
		row: func(_ int, values []string) error {
			all = append(all, values)
			return nil
		},
	})
	return all, err
}

func zstandard(content []byte) []byte {
	w, err := zstd.NewWriter(nil)
	if err != nil {
		panic(err)
	}
	defer w.Close()
	return w.EncodeAll(content, nil)
}

// opinion is a row as the tests of Parquet write it.
type opinion struct {
	Text  string  `parquet:"text"`
	Y     int64   `parquet:"y"`
	Sure  bool    `parquet:"sure"`
	Score float64 `parquet:"score"`
}

var opinions = []opinion{{"a \"quoted\", one", 1, true, 0.5}, {"two\tlines\nof it", 0, false, -3}, {"", 1, true, 1e-9}}

func packParquet(t testing.TB) []byte {
	var b bytes.Buffer
	if err := parquet.Write(&b, opinions, parquet.Compression(&parquet.Snappy)); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// The same rows come out of every format, packed or not, from disk and from memory, by name and by content.
func TestTableFormats(t *testing.T) {
	want := [][]string{{"text", "y", "sure", "score"}}
	var asCSV, asJSONL bytes.Buffer
	w := csv.NewWriter(&asCSV)
	w.Write(want[0])
	for _, o := range opinions {
		row := []string{o.Text, fmt.Sprint(o.Y), fmt.Sprint(o.Sure), fmt.Sprint(o.Score)}
		want = append(want, row)
		w.Write(row)
		text, _ := json.Marshal(o.Text)
		fmt.Fprintf(&asJSONL, "{\"text\": %s, \"y\": %d, \"sure\": %v, \"score\": %v}\n\n", text, o.Y, o.Sure, o.Score)
	}
	w.Flush()
	for extension, content := range map[string][]byte{".csv": asCSV.Bytes(), ".jsonl": asJSONL.Bytes(), ".parquet": packParquet(t)} {
		for name, content := range map[string][]byte{
			"t" + extension: content, "t" + extension + ".gz": pack(content), "t" + extension + ".zst": zstandard(content),
			"t": content, "t.bin": zstandard(content), "T" + strings.ToUpper(extension): content,
		} {
			path := write(t, name, string(content))
			for _, f := range []File{InMemory(name, content), OnDisk(path)} {
				got, err := readAll(f)
				if err != nil || fmt.Sprintf("%q", got) != fmt.Sprintf("%q", want) {
					t.Errorf("%s: got %q, %v\nwant %q", f.Name, got, err, want)
				}
			}
		}
	}
}

// A file that PyArrow has written: dictionary, Snappy, two row groups, a column of lists that is not asked for.
func TestParquetOfPyArrow(t *testing.T) {
	task := reviewTask
	task.Labels = []Label{{Value: "0", Answer: " bad"}, {Value: "1", Answer: " good"}}
	d, err := task.Read(OnDisk(filepath.Join("testdata", "reviews.parquet")))
	if err != nil {
		t.Fatal(err)
	}
	if len(d.Rows) != 50 {
		t.Fatalf("%d rows", len(d.Rows))
	}
	for i, r := range d.Rows {
		if want := fmt.Sprintf("review number %d ✓", i); r.Values[0] != want || r.Label != i%2 || r.Line != i+1 {
			t.Errorf("row %d: %+v", i, r)
		}
	}
	task.Columns = map[string]Spellings{"text": {"tags"}}
	_, err = task.Read(OnDisk(filepath.Join("testdata", "reviews.parquet")))
	wantError(t, err, "reviews.parquet", `"tags"`, "lists")
	task.Columns = map[string]Spellings{"text": {"sometimes"}}
	_, err = task.Read(OnDisk(filepath.Join("testdata", "reviews.parquet")))
	wantError(t, err, "reviews.parquet", "row 8", `"sometimes"`, "null")
}

func TestTablesRefused(t *testing.T) {
	table := packParquet(t)
	damaged := slices.Clone(table)
	copy(damaged[20:], bytes.Repeat([]byte{0xff}, 40))
	for _, c := range []struct {
		name, file, content string
		parts               []string
	}{
		{"csv quote", "x.csv", "a,b\n1,\"2\"3\n", []string{"x.csv:2", "quote"}},
		{"csv open quote", "x.csv", "a,b\n1,\"2\n3,4\n", []string{"x.csv", "quote"}},
		{"csv endless quote", "x.csv", "a,b\n1,\"2\n" + strings.Repeat("3,4\n", maxLine/2), []string{"x.csv:1", "longer", "quote"}},
		{"csv columns", "x.csv", "a,b\n1\n", []string{"x.csv:2", "1 columns", "2 (a, b)"}},
		{"csv twice", "x.csv", "a,a\n1,2\n", []string{"x.csv:1", `"a"`, "twice"}},
		{"csv header bytes", "x.csv", "a,\xff\n1,2\n", []string{"x.csv:1", "header", "UTF-8"}},
		{"csv bytes", "x.csv", "a,b\n1,\xff\n", []string{"x.csv:2", `"b"`, "UTF-8"}},
		{"csv nothing", "x.csv", "", []string{"x.csv", "empty"}},
		{"csv header", "x.csv", "a,b\n", []string{"x.csv", "no rows"}},
		{"jsonl list", "x.jsonl", "[1]\n", []string{"x.jsonl:1", "JSON object"}},
		{"jsonl cut", "x.jsonl", "{\"a\": 1}\n{\"a\": ", []string{"x.jsonl:2", "cut off"}},
		{"jsonl more", "x.jsonl", "{\"a\": 1} {}\n", []string{"x.jsonl:1", "byte", "follows"}},
		{"jsonl field", "x.jsonl", "{\"a\": 1}\n{\"b\": 2}\n", []string{"x.jsonl:2", `"a"`, "it has b"}},
		{"jsonl twice", "x.jsonl", "{\"a\": 1, \"a\": 2}\n", []string{"x.jsonl:1", `"a" twice`}},
		{"jsonl no fields", "x.jsonl", "{}\n{\"a\": 1}\n", []string{"x.jsonl:1", "no columns"}},
		{"jsonl null", "x.jsonl", "{\"a\": null}\n", []string{"x.jsonl:1", `"a"`, "null"}},
		{"jsonl nested", "x.jsonl", "{\"a\": [1]}\n", []string{"x.jsonl:1", `"a"`, "list"}},
		{"jsonl bytes", "x.jsonl", "{\"a\": \"\xff\"}\n", []string{"x.jsonl:1", "UTF-8"}},
		{"jsonl line", "x.jsonl", "{\"a\": 1}\n" + strings.Repeat(" ", maxLine+1), []string{"x.jsonl:2", "longer"}},
		{"json array", "x.json", "[{\"a\": 1}]", []string{"x.json", "array", "a line"}},
		{"parquet nothing", "x.parquet", "", []string{"x.parquet", "empty"}},
		{"parquet text", "x.parquet", "text\ty\n", []string{"x.parquet", "Parquet"}},
		{"parquet cut", "x.parquet", string(table[:len(table)/2]), []string{"x.parquet", "Parquet"}},
		{"parquet footer", "x.parquet", "PAR1\x00\x00\xff\xf9PAR1", []string{"x.parquet", "footer length at byte 4", "4194238464", "0 bytes"}},
		{"parquet page", "x.parquet", string(claiming(t, table)), []string{"x.parquet", `column "text"`, "page header at byte 4", "are left"}},
		{"parquet damaged", "x.parquet", string(damaged), []string{"x.parquet", "Parquet"}},
		{"zstd bomb", "x.csv.zst", string(zstandard(bytes.Repeat([]byte("text,y\n"), 8<<20))), []string{"x.csv.zst", "unpacks"}},
		{"zstd cut", "x.csv.zst", string(zstandard([]byte("a,b\n1,2\n")))[:12], []string{"x.csv.zst", "truncated"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := readAll(InMemory(c.file, []byte(c.content)))
			wantError(t, err, c.parts...)
		})
	}
}

// claiming is a Parquet file whose first page claims to be larger than it is: its header begins behind the magic with the type, the
// plain and the packed size, each a field of one varint.
func claiming(t *testing.T, table []byte) []byte {
	claims := slices.Clone(table)
	at := len(parquetMagic)
	for field := range 3 {
		if claims[at] != 0x15 {
			t.Fatalf("byte %d is no field of 32 bits", at)
		}
		for at++; claims[at] >= 0x80; at++ {
		}
		if field == 2 {
			claims[at] = 0x7e
		}
		at++
	}
	return claims
}

// A Parquet file whose text is far larger than it is, by repeating one long value, is refused before it fills the memory.
func TestParquetBomb(t *testing.T) {
	var b bytes.Buffer
	w := parquet.NewGenericWriter[struct {
		Text string `parquet:"text,dict"`
	}](&b, parquet.Compression(&parquet.Zstd))
	rows := make([]struct {
		Text string `parquet:"text,dict"`
	}, 50_000)
	for i := range rows {
		rows[i].Text = strings.Repeat("x", 4<<10)
	}
	if _, err := w.Write(rows); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if b.Len() > len(rows)*4<<10/(2*bombRatio) {
		t.Fatalf("the file has %d bytes", b.Len())
	}
	seen := 0
	err := readTable(InMemory("bomb.parquet", b.Bytes()), &receiver{
		choose: func([]string) ([]field, error) { return []field{{column: 0}}, nil },
		row:    func(int, []string) error { seen++; return nil },
	})
	wantError(t, err, "bomb.parquet", "times its size")
	if seen == len(rows) {
		t.Error("all rows were read")
	}
}

// FuzzTSV: the reader never panics, and what it takes is what a naive reading of the file gives.
func FuzzTSV(f *testing.F) {
	for _, seed := range []string{"", "a\tb\n1\t2\n", "a\tb\r\n1\t2\r\n\r\n", "\ufeffa\n1", "a\ta\n", "a\tb\n1\n", "\n\na\n\xff\n", "\n\na\n\n\r\nb\n\n", "\x1f\x8b\x08"} {
		f.Add([]byte(seed))
	}
	f.Add(pack([]byte("a\tb\n1\t2\n")))
	f.Fuzz(func(t *testing.T, content []byte) {
		got, err := readAll(InMemory("f.tsv", content))
		if err != nil {
			if !strings.HasPrefix(err.Error(), "f.tsv") {
				t.Fatalf("the error does not name the file: %v", err)
			}
			return
		}
		if bytes.HasPrefix(content, []byte("\x28\xb5\x2f\xfd")) {
			return
		}
		if len(content) > 1 && content[0] == 0x1f && content[1] == 0x8b {
			r, _ := gzip.NewReader(bytes.NewReader(content))
			content, _ = io.ReadAll(r)
		}
		var want [][]string
		for i, line := range strings.Split(strings.TrimSuffix(string(content), "\n"), "\n") {
			line = strings.TrimSuffix(line, "\r")
			if i == 0 {
				line = strings.TrimPrefix(line, "\ufeff")
			}
			if line != "" || len(want) > 0 && len(want[0]) == 1 {
				want = append(want, strings.Split(line, "\t"))
			}
		}
		if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", want) {
			t.Fatalf("got %q, want %q", got, want)
		}
	})
}

// FuzzRows: whatever the bytes of a table and of a task file, no reader panics, errors name the file, and rows have a value for
// each column, all of it UTF-8. Lines of JSON have the values that encoding/json gives.
func FuzzRows(f *testing.F) {
	for _, seed := range []string{
		"", "a,b\n1,2\n", "a,b\n\"1\n\",\"\"\"2\"\r\n", "a\n\"", "\ufeffa\n1\n", "{\"a\":1,\"b\":\"x\"}\n{\"b\":\"\\ud83d\\ude00\",\"a\":true}\n",
		"{\"a\":{\"b\":[1]}}\n", "{\"a\":1e400}", "{}", "{}\n{\"\":0}\n", "{\"prompt\":\"a\",\"completion\":\"b\"}", "[{}]", "PAR1", "PAR1\x00\x00\x00\x00PAR1", "PAR1\x00\x00\xff\xf9PAR1",
		`{"messages":[{"role":"user","content":"hi"},{"role":"assistant","content":"ho"}]}`, `{"messages":[{"role":null}]}`,
	} {
		for kind := range 4 {
			f.Add(uint8(kind), []byte(seed))
		}
	}
	f.Add(uint8(2), packParquet(f))
	if real, err := os.ReadFile(filepath.Join("testdata", "reviews.parquet")); err != nil {
		f.Fatal(err)
	} else {
		f.Add(uint8(2), real)
	}
	conversations, _ := LookupTask("messages")
	f.Fuzz(func(t *testing.T, kind uint8, content []byte) {
		name := "f" + []string{".csv", ".jsonl", ".parquet", ""}[kind%4]
		if _, err := conversations.Read(InMemory(name, content)); err != nil && !strings.HasPrefix(err.Error(), name) {
			t.Fatalf("the error does not name the file: %v", err)
		}
		got, err := readAll(InMemory(name, content))
		if err != nil {
			if !strings.HasPrefix(err.Error(), name) {
				t.Fatalf("the error does not name the file: %v", err)
			}
			return
		}
		for _, row := range got {
			if len(row) != len(got[0]) || slices.ContainsFunc(row, func(v string) bool { return !utf8.ValidString(v) }) {
				t.Fatalf("row %q of columns %q", row, got[0])
			}
		}
		if kind%4 == 1 && !bytes.HasPrefix(content, []byte("\x1f\x8b")) && !bytes.HasPrefix(content, []byte("\x28\xb5\x2f\xfd")) {
			checkJSONL(t, content, got)
		}
	})
}

// checkJSONL compares rows with what encoding/json reads.
func checkJSONL(t *testing.T, content []byte, got [][]string) {
	row := 0
	for line := range bytes.Lines(bytes.TrimPrefix(content, []byte("\ufeff"))) {
		if line = bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r")); len(line) == 0 {
			continue
		}
		row++
		var fields map[string]json.RawMessage
		if err := json.Unmarshal(line, &fields); err != nil {
			t.Fatalf("line %q was read, but %v", line, err)
		}
		for i, column := range got[0] {
			var text string
			if json.Unmarshal(fields[column], &text) != nil {
				text = string(fields[column])
			}
			if text != got[row][i] {
				t.Fatalf("row %d, %q: got %q, want %q", row, column, got[row][i], text)
			}
		}
	}
	if row != len(got)-1 {
		t.Fatalf("%d rows, want %d", len(got)-1, row)
	}
}

// TestEmptyLines: what is written for each row of a table of one column stands beside it only if its empty lines are rows too.
func TestEmptyLines(t *testing.T) {
	task, err := LookupTask("sst2")
	if err != nil {
		t.Fatal(err)
	}
	one, two := map[int]string{2: "good", 3: "", 4: "bad", 5: "", 6: ""}, map[int]string{3: "good", 5: "bad"}
	for _, c := range []struct {
		name, content string
		want          map[int]string
	}{
		{"x.tsv", "sentence\ngood\n\nbad\n\n\n", one},
		{"x.csv", "sentence\ngood\n\nbad\n\n\n", one},
		{"x.csv", "sentence\r\n\"good\"\r\n\r\nbad\r\n\r\n\r\n", one},
		{"x.csv", "\nsentence\ngood\n\"\"\nbad", map[int]string{3: "good", 4: "", 5: "bad"}},
		{"x.csv", "sentence\n\"go\nod\"\n\nbad\n", map[int]string{2: "go\nod", 4: "", 5: "bad"}},
		{"x.tsv", "sentence\tother\n\ngood\ta\n\nbad\tb\n\n", two},
		{"x.csv", "sentence,other\n\ngood,a\n\nbad,b\n\n", two},
	} {
		got, last := map[int]string{}, 0
		err := task.Each(InMemory(c.name, []byte(c.content)), func(r Row) error {
			if r.Line <= last {
				t.Errorf("%s %q: line %d after %d", c.name, c.content, r.Line, last)
			}
			last = r.Line
			got[r.Line] = strings.Join(r.Values, "|")
			return nil
		})
		if err != nil || !maps.Equal(got, c.want) {
			t.Errorf("%s %q: %v %v, want %v", c.name, c.content, got, err, c.want)
		}
	}
}
