package data

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func pack(content []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.Write(content)
	w.Close()
	return b.Bytes()
}

func TestReadPlainAndPacked(t *testing.T) {
	content := "\ufeffid\ttext\ty\r\n1\ta \"quoted\" one\tpos\r\n\r\n2\tb \tneg"
	want := []Row{{Line: 2, Values: []string{`a "quoted" one`}, Label: 1}, {Line: 4, Values: []string{"b"}, Label: 0}}
	for _, f := range []File{InMemory("a.tsv", []byte(content)), InMemory("a.tsv.gz", pack([]byte(content)))} {
		d, err := reviewTask.Read(f)
		if err != nil {
			t.Fatal(err)
		}
		if fmt.Sprint(d.Rows) != fmt.Sprint(want) || fmt.Sprint(d.Columns) != "[text]" {
			t.Errorf("%s: got %v %v, want %v", f.Name, d.Columns, d.Rows, want)
		}
	}
}

func TestReadRefuses(t *testing.T) {
	packed := pack([]byte("text\ty\n" + strings.Repeat("some words here\tpos\n", 5000)))
	flipped := slices.Clone(packed)
	flipped[len(flipped)-6] ^= 1 // in the checksum
	cases := []struct {
		name, file string
		content    []byte
		parts      []string
	}{
		{"empty", "x.tsv", nil, []string{"x.tsv", "empty"}},
		{"empty packed", "x.tsv.gz", nil, []string{"x.tsv.gz", "empty"}},
		{"nothing packed", "x.tsv.gz", pack(nil), []string{"x.tsv.gz", "empty"}},
		{"no rows", "x.tsv", []byte("text\ty\n\n"), []string{"x.tsv", "no rows"}},
		{"unknown label", "x.tsv", []byte("text\ty\na\tpos\nb\tmeh\n"), []string{"x.tsv:3", `"meh"`, `"y"`, `"neg", "pos"`}},
		{"too few columns", "x.tsv", []byte("text\ty\na\tpos\nb\n"), []string{"x.tsv:3", "1 columns", "2"}},
		{"too many columns", "x.tsv", []byte("text\ty\na\tb\tpos\n"), []string{"x.tsv:2", "3 columns", "2"}},
		{"missing prompt column", "x.tsv", []byte("sentence\ty\na\tpos\n"), []string{"x.tsv", `"text"`, "sentence, y"}},
		{"missing label column", "x.tsv", []byte("text\tlabel\na\tpos\n"), []string{"x.tsv", `"y"`, "text, label"}},
		{"column twice", "x.tsv", []byte("text\ttext\ty\na\tb\tpos\n"), []string{"x.tsv:1", `"text"`, "twice"}},
		{"not UTF-8", "x.tsv", []byte("text\ty\na\xff\tpos\n"), []string{"x.tsv:2", "UTF-8"}},
		{"endless line", "x.tsv", bytes.Repeat([]byte("a"), maxLine+1), []string{"x.tsv:1", "longer"}},
		{"truncated", "x.tsv.gz", packed[:len(packed)/2], []string{"x.tsv.gz", "truncated"}},
		{"truncated in the header", "x.tsv.gz", packed[:5], []string{"x.tsv.gz", "truncated"}},
		{"truncated in the checksum", "x.tsv.gz", packed[:len(packed)-3], []string{"x.tsv.gz", "truncated"}},
		{"damaged", "x.tsv.gz", flipped, []string{"x.tsv.gz", "damaged"}},
		{"not packed", "x.tsv.gz", []byte("text\ty\na\tpos\n"), []string{"x.tsv.gz", "not gzip"}},
		{"bomb", "x.tsv.gz", pack([]byte("text\ty\n" + strings.Repeat(strings.Repeat("a", 1000)+"\tpos\n", 20_000))), []string{"x.tsv.gz", "unpacks"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := reviewTask.Read(InMemory(c.file, c.content))
			wantError(t, err, c.parts...)
		})
	}
	_, err := reviewTask.Load(t.Context(), filepath.Join(t.TempDir(), "none.tsv"), byteTokenizer{}, TokenizeOptions{MaxLength: 10})
	wantError(t, err, "none.tsv")
}

func TestLookupTask(t *testing.T) {
	for _, name := range BuiltinTasks() {
		task, err := LookupTask(name)
		if err != nil || task.Validate() != nil || task.Name != name {
			t.Errorf("%s: %v, %v", name, err, task.Validate())
		}
		if task.Generates() {
			continue
		}
		task.Labels[0].Answer = " changed" // must not reach the next caller
		if again, _ := LookupTask(name); again.Labels[0].Answer == " changed" {
			t.Errorf("%s: the built-in task can be changed", name)
		}
	}
	content, _ := json.Marshal(reviewTask)
	task, err := LookupTask(write(t, "reviews.json", string(content)))
	if err != nil || fmt.Sprint(task) != fmt.Sprint(reviewTask) {
		t.Errorf("got %v, %v", task, err)
	}

	for content, parts := range map[string][]string{
		"":                                 {"bad.json", "empty"},
		" \n":                              {"bad.json", "empty"},
		"{":                                {"bad.json", "offset"},
		string(content) + "{}":             {"bad.json", "follows"},
		`{"nam":"x"}`:                      {"bad.json", `"nam"`},
		strings.Repeat(" ", maxTaskFile+1): {"bad.json", "larger"},
	} {
		_, err := LookupTask(write(t, "bad.json", content))
		wantError(t, err, parts...)
	}
	_, err = LookupTask("sst3")
	wantError(t, err, `"sst3"`, "cnndm, completion, messages, mnli, qnli, sst2")
}

func TestValidateReportsAllFaults(t *testing.T) {
	err := Task{MinChars: -1, Labels: []Label{{Value: "0", Answer: ""}, {Value: "0", Answer: " a"}, {Value: "1", Answer: " a"}}}.Validate()
	wantError(t, err, "name:", "prompt:", "label_column:", "labels[0].answer", "labels[1].value", "labels[2].answer", "min_chars:")
	wantError(t, Task{Name: "x", Prompt: "{a}", LabelColumn: "y"}.Validate(), "labels: 0")
	for prompt, part := range map[string]string{
		"no column": "no {column}", "{": "does not begin", "{}": "does not begin", "{a": "does not begin",
		"{a{b}": "does not begin", "a}": "without {",
	} {
		task := reviewTask
		task.Prompt = prompt
		wantError(t, task.Validate(), "prompt:", part)
	}
}

func TestTemplate(t *testing.T) {
	tpl, err := parseTemplate("{{x}} {a}, {b}{a}}}")
	if err != nil {
		t.Fatal(err)
	}
	if got := tpl.render([]string{"1", "2"}); got != "{x} 1, 21}" || fmt.Sprint(tpl.columns) != "[a b]" {
		t.Errorf("got %q of columns %v", got, tpl.columns)
	}
}

func TestTokenize(t *testing.T) {
	d := &Dataset{File: "d.tsv", Columns: []string{"text"}, Rows: []Row{{Line: 2, Values: []string{"fine"}, Label: 1}, {Line: 3, Values: []string{"dull film"}, Label: 0}}}
	e := tokenized(t, reviewTask, d, TokenizeOptions{MaxLength: 100})
	if got := decodeBytes(e.Prompt(1)); got != "^dull film It was" {
		t.Errorf("prompt %q", got)
	}
	if decodeBytes(e.Answers[0]) != " bad" || decodeBytes(e.Answers[1]) != " good" || e.SingleToken() {
		t.Errorf("answers %v", e.Answers)
	}
	if e.Label(0) != 1 || e.Label(1) != 0 || e.Line(1) != 3 || e.Longest() != len("^dull film It was good") {
		t.Errorf("labels %v, lines %v, longest %d", e.labels, e.lines, e.Longest())
	}
	bare, err := reviewTask.Tokenize(t.Context(), d, byteTokenizer{bare: true}, TokenizeOptions{MaxLength: 100})
	if err != nil || decodeBytes(bare.Prompt(0)) != "fine It was" {
		t.Errorf("without a token in front: %q, %v", decodeBytes(bare.Prompt(0)), err)
	}
}

// TestAnswersInContext uses a tokenizer for which " good" on its own is two tokens and behind a prompt one.
func TestAnswersInContext(t *testing.T) {
	e, err := reviewTask.Tokenize(t.Context(), randomReviews(3, 1), wordTokenizer{}, TokenizeOptions{MaxLength: 50})
	if err != nil {
		t.Fatal(err)
	}
	good := wordTokenizer{}.Encode("good")
	if !e.SingleToken() || !slices.Equal(e.Answers[1], good) {
		t.Errorf("answers %v, want %v for the second", e.Answers, good)
	}
}

func TestTruncationKeepsThePromptsText(t *testing.T) {
	task := Task{Name: "pairs", Prompt: "A {a} B {b} C", LabelColumn: "y", Labels: []Label{{Value: "0", Answer: " no"}, {Value: "1", Answer: " maybe"}}}
	long := strings.Repeat("é", 40)
	d := &Dataset{File: "d.tsv", Columns: []string{"a", "b"}, Rows: []Row{
		{Line: 2, Values: []string{"short", long}, Label: 0}, {Line: 3, Values: []string{long, "xyz"}, Label: 1}, {Line: 4, Values: []string{long + "1", long + "2"}, Label: 1}, {Line: 5, Values: []string{"s", "t"}, Label: 1},
	}}
	for limit := 14; limit < 120; limit++ {
		for _, policy := range []Overlong{"", TruncateLeft} {
			e := tokenized(t, task, d, TokenizeOptions{MaxLength: limit, Overlong: policy})
			for i, row := range d.Rows {
				text := decodeBytes(e.Prompt(i))
				full := "^A " + row.Values[0] + " B " + row.Values[1] + " C"
				if len(text)+len(" maybe") > limit || !utf8.ValidString(text) {
					t.Fatalf("limit %d: prompt %q", limit, text)
				}
				if len(full)+len(" maybe") <= limit && text != full {
					t.Fatalf("limit %d: %q was cut to %q without need", limit, full, text)
				}
				if !strings.HasPrefix(text, "^A ") || !strings.Contains(text, " B ") || !strings.HasSuffix(text, " C") {
					t.Fatalf("limit %d: the prompt's own text was cut: %q", limit, text)
				}
				// One more character of every cut value would be too much: at most 2 columns of 2 bytes.
				if text != full && len(text)+len(" maybe") <= limit-4 {
					t.Fatalf("limit %d: %q leaves more room than need be", limit, text)
				}
			}
		}
	}
	e := tokenized(t, reviewTask, &Dataset{Rows: []Row{{Line: 2, Values: []string{"abc def"}, Label: 0}}}, TokenizeOptions{MaxLength: 17, Overlong: TruncateLeft})
	if got := decodeBytes(e.Prompt(0)); got != "^def It was" {
		t.Errorf("cut from the left: %q", got)
	}
}

func TestPoliciesAreCounted(t *testing.T) {
	d := &Dataset{File: "d.tsv", Columns: []string{"text"}, Rows: []Row{
		{Line: 2, Values: []string{"ab"}, Label: 0}, {Line: 3, Values: []string{"abcdef"}, Label: 1}, {Line: 4, Values: []string{strings.Repeat("long ", 9)}, Label: 1},
	}}
	task := reviewTask
	task.MinChars = 3
	counts := func(o TokenizeOptions) string {
		o.MaxLength = 30
		c := tokenized(t, task, d, o).Counts
		return fmt.Sprintf("rows %d short %d cut %d dropped %d left %d", c.Rows, c.Short, c.Truncated, c.Dropped, c.Examples)
	}
	for _, c := range []struct {
		o    TokenizeOptions
		want string
	}{
		{TokenizeOptions{}, "rows 3 short 0 cut 1 dropped 0 left 3"},
		{TokenizeOptions{Training: true}, "rows 3 short 1 cut 1 dropped 0 left 2"},
		{TokenizeOptions{Training: true, Overlong: Drop}, "rows 3 short 1 cut 0 dropped 1 left 1"},
	} {
		if got := counts(c.o); got != c.want {
			t.Errorf("%+v: %s, want %s", c.o, got, c.want)
		}
	}
}

func TestTokenizeRefuses(t *testing.T) {
	d := &Dataset{File: "d.tsv", Columns: []string{"text"}, Rows: []Row{{Line: 2, Values: []string{"ab"}, Label: 0}, {Line: 9, Values: []string{strings.Repeat("x", 99)}, Label: 0}}}
	task := func(change func(*Task)) Task {
		task := reviewTask
		task.Labels = slices.Clone(task.Labels)
		change(&task)
		return task
	}
	dull := &Dataset{File: "d.tsv", Columns: []string{"text"}, Rows: []Row{{Line: 2, Values: []string{""}, Label: 0}}}
	for _, c := range []struct {
		name  string
		task  Task
		d     *Dataset
		tok   Tokenizer
		o     TokenizeOptions
		parts []string
	}{
		{"too long", reviewTask, d, byteTokenizer{}, TokenizeOptions{MaxLength: 50, Overlong: Fail}, []string{"d.tsv:9", "112 tokens", "50"}},
		{"policy", reviewTask, d, byteTokenizer{}, TokenizeOptions{MaxLength: 50, Overlong: "cut"}, []string{"overlong", `"cut"`}},
		{"no room", reviewTask, d, byteTokenizer{}, TokenizeOptions{MaxLength: 12}, []string{"max_length 12", "8 tokens", "5"}},
		{"all dropped", reviewTask, &Dataset{File: "d.tsv", Rows: d.Rows[1:]}, byteTokenizer{}, TokenizeOptions{MaxLength: 50, Overlong: Drop}, []string{"d.tsv: none of 1 rows is left: 1 over max_length (50 tokens); raise max_length"}},
		{"all short", task(func(t *Task) { t.MinChars = 200 }), d, byteTokenizer{}, TokenizeOptions{MaxLength: 50, Training: true}, []string{"d.tsv: none of 2 rows is left: 2 under min_chars (200); lower the task's min_chars"}},
		{"no rows", reviewTask, &Dataset{File: "d.tsv"}, byteTokenizer{}, TokenizeOptions{MaxLength: 50}, []string{"d.tsv: no rows"}},
		{"equal answers", reviewTask, d, constantAnswers{}, TokenizeOptions{MaxLength: 50}, []string{"labels[1].answer", "same tokens", `" bad"`}},
		{"answer of nothing", reviewTask, d, deafTokenizer{}, TokenizeOptions{MaxLength: 50}, []string{"labels[0].answer", "labels[1].answer", "no tokens"}},
		{"melting answer", task(func(t *Task) { t.Labels[1].Answer = "ful" }), d, wordTokenizer{}, TokenizeOptions{MaxLength: 50}, []string{"labels[1].answer", "space"}},
		{"empty prompt", task(func(t *Task) { t.Prompt = "{text}" }), dull, byteTokenizer{bare: true}, TokenizeOptions{MaxLength: 50}, []string{"d.tsv:2", "prompt is empty"}},
		{"invalid task", task(func(t *Task) { t.Name = "" }), d, byteTokenizer{}, TokenizeOptions{MaxLength: 50}, []string{"name: missing"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := c.task.Tokenize(t.Context(), c.d, c.tok, c.o)
			wantError(t, err, c.parts...)
		})
	}
}

// constantAnswers has one token for all that follows a prompt, deafTokenizer none.
type constantAnswers struct{ byteTokenizer }

func (c constantAnswers) Encode(text string) []int32 {
	prompt, answer, _ := strings.Cut(text, " It was")
	ids := c.byteTokenizer.Encode(prompt + " It was")
	if answer != "" {
		ids = append(ids, 3)
	}
	return ids
}

type deafTokenizer struct{ byteTokenizer }

func (c deafTokenizer) Encode(text string) []int32 {
	prompt, _, _ := strings.Cut(text, " It was")
	return c.byteTokenizer.Encode(prompt + " It was")
}

// Rows with nothing to classify, or nothing to say, are left out and counted, whatever else they hold; a row without a label is not.
func TestBlankRows(t *testing.T) {
	pairs := Task{Name: "pairs", Prompt: "{a} {b}:", LabelColumn: "y", Labels: []Label{{Value: "0", Answer: " no"}, {Value: "1", Answer: " yes"}}}
	news := Task{Name: "news", Kind: Generation, Prompt: "{article}", Completion: " Summary: {summary}"}
	talk := Task{Name: "talk", Kind: Generation, Messages: "messages"}
	said := func(answer string) string {
		return `{"messages":[{"role":"user","content":"hi"},{"role":"assistant","content":"` + answer + `"}]}` + "\n"
	}
	for _, c := range []struct {
		task         Task
		file, text   string
		lines        []int
		blank, first int
	}{
		{reviewTask, "a.tsv", "text\ty\nfine\tpos\n \tneg\n\t\n\u00a0\tunheard of\nbad\tneg\n", []int{2, 6}, 3, 3},
		{pairs, "a.csv", "a,b,y\nx,,0\n,y,1\n,\"\t\",1\n", []int{2, 3}, 1, 4},
		{news, "a.jsonl", `{"article":"x","summary":"s"}` + "\n" + `{"article":"x","summary":" "}` + "\n" + `{"article":"","summary":"s"}` + "\n", []int{1, 3}, 1, 2},
		{talk, "a.jsonl", said("\\n") + said("hello"), []int{2}, 1, 1},
	} {
		d, err := c.task.Read(InMemory(c.file, []byte(c.text)))
		if err != nil {
			t.Errorf("%s: %v", c.task.Name, err)
			continue
		}
		var lines []int
		for _, r := range d.Rows {
			lines = append(lines, r.Line)
		}
		want := fmt.Sprintf("%d blank rows left out, the first in line %d", c.blank, c.first)
		if !slices.Equal(lines, c.lines) || d.Blank != c.blank || d.BlankNote() != want {
			t.Errorf("%s: lines %v, want %v; %q, want %q", c.task.Name, lines, c.lines, d.BlankNote(), want)
		}
		e := tokenized(t, c.task, d, TokenizeOptions{MaxLength: 100})
		if e.Counts.Blank != c.blank || !strings.HasSuffix(e.Counts.String(), fmt.Sprintf("; %d more are blank and left out", c.blank)) {
			t.Errorf("%s: counts %v", c.task.Name, e.Counts)
		}
	}
	for _, c := range []struct {
		task  Task
		text  string
		parts []string
	}{
		{reviewTask, "text\ty\nfine\t\n", []string{"a:2", `unknown label ""`, `"y"`}},
		{reviewTask, "text\ty\n\tpos\n \tneg\n", []string{"a:2: the text is empty, here and in all other rows (2 in all)"}},
		{news, "article\tsummary\nx\t\n", []string{"a:2: the completion is empty"}},
		{talk, said(" "), []string{"a:1: the answer is empty"}},
	} {
		_, err := c.task.Read(InMemory("a", []byte(c.text)))
		wantError(t, err, c.parts...)
	}
}

func TestFingerprint(t *testing.T) {
	d := randomReviews(20, 3)
	a := tokenized(t, reviewTask, d, TokenizeOptions{MaxLength: 80}).Fingerprint()
	if b := tokenized(t, reviewTask, d, TokenizeOptions{MaxLength: 80}).Fingerprint(); a != b {
		t.Error("equal data, different fingerprints")
	}
	d.Rows[7].Label ^= 1
	if b := tokenized(t, reviewTask, d, TokenizeOptions{MaxLength: 80}).Fingerprint(); a == b {
		t.Error("a changed label leaves the fingerprint")
	}
}

func TestProgressAndCancel(t *testing.T) {
	d := randomReviews(3000, 4)
	var seen []int
	_, err := reviewTask.Tokenize(t.Context(), d, byteTokenizer{}, TokenizeOptions{MaxLength: 90, Progress: func(done, total int) {
		seen = append(seen, done, total)
	}})
	if err != nil || fmt.Sprint(seen) != "[1024 3000 2048 3000 3000 3000]" {
		t.Errorf("progress %v, %v", seen, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := reviewTask.Tokenize(ctx, d, byteTokenizer{}, TokenizeOptions{MaxLength: 90}); err != ctx.Err() {
		t.Errorf("cancelled: %v", err)
	}
}
