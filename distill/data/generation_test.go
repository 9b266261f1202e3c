package data

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

var newsTask = Task{Name: "news", Kind: Generation, Prompt: "{article}\nTL;DR:", Completion: " {summary}", MaxCompletion: 12}

// generation reads rows of JSON and tokenizes them.
func generation(t *testing.T, task Task, rows string, o TokenizeOptions) *Examples {
	t.Helper()
	d, err := task.Read(InMemory("g.jsonl", []byte(rows)))
	if err != nil {
		t.Fatal(err)
	}
	return tokenized(t, task, d, o)
}

// eosTokenizer pads with the end token, as most models do.
type eosTokenizer struct{ byteTokenizer }

func (eosTokenizer) Pad() int32 { return 2 }

// A batch counts the completion's tokens and the end token, and nothing else: neither prompt nor padding, although the padding is
// the end token too.
func TestGenerationBatch(t *testing.T) {
	d, err := newsTask.Read(InMemory("g.jsonl", []byte(`{"article":"Rain.","summary":"wet","id":7}`+"\n"+`{"article":"Snow fell.","summary":"cold day"}`)))
	if err != nil {
		t.Fatal(err)
	}
	e, err := newsTask.Tokenize(t.Context(), d, eosTokenizer{}, TokenizeOptions{MaxLength: 60, Training: true})
	if err != nil {
		t.Fatal(err)
	}
	if decodeBytes(e.Prompt(1)) != "^Snow fell.\nTL;DR:" || decodeBytes(e.Answer(1)) != " cold day$" || e.SingleToken() || len(e.Answers) != 0 {
		t.Errorf("prompt %q, completion %q", decodeBytes(e.Prompt(1)), decodeBytes(e.Answer(1)))
	}
	if want := "2 of 2 rows (0 too short, 0 too long and dropped), 0 cut to fit, 31 prompt tokens, 15 completion tokens (0 completions too long and dropped, 0 cut)"; e.Counts.String() != want {
		t.Errorf("counts %q", e.Counts)
	}
	source, err := NewTraining(e, TrainingOptions{Rows: 2})
	if err != nil {
		t.Fatal(err)
	}
	b := source.Batch(0)
	seen := map[string]bool{}
	for r := range b.Rows {
		var text, counted strings.Builder
		for i, id := range b.IDs[r*b.Length : (r+1)*b.Length] {
			if b.Mask[r*b.Length+i] == 1 {
				text.WriteString(decodeBytes([]int32{id}))
			}
			if l := b.Labels[r*b.Length+i]; l != NoLabel {
				if l != id {
					t.Errorf("label %d at id %d", l, id)
				}
				counted.WriteString(decodeBytes([]int32{l}))
			}
		}
		seen[text.String()+"|"+counted.String()] = true
	}
	if want := map[string]bool{"^Rain.\nTL;DR: wet$| wet$": true, "^Snow fell.\nTL;DR: cold day$| cold day$": true}; fmt.Sprint(seen) != fmt.Sprint(want) {
		t.Errorf("got %v", seen)
	}
	if b.Counted() != 15 {
		t.Errorf("%d labels count", b.Counted())
	}
	if _, _, width := b.Answers(); width != len(" cold day$") {
		t.Errorf("width %d", width)
	}
}

// Prompts are cut inside their columns, to the same length in training and evaluation; completions are never cut to be trained on.
func TestGenerationLengths(t *testing.T) {
	rows := `{"article":"short","summary":"fits"}
{"article":"` + strings.Repeat("long ", 20) + `","summary":"fits too"}
{"article":"short","summary":"does not fit at all"}`
	for _, c := range []struct {
		o       TokenizeOptions
		lines   []int
		answers []string
		cut     int
		dropped int
		long    int
	}{
		{TokenizeOptions{Training: true}, []int{1, 2}, []string{" fits$", " fits too$"}, 1, 0, 1},
		{TokenizeOptions{Training: true, Overlong: TruncatePrompt}, []int{1, 2}, []string{" fits$", " fits too$"}, 1, 0, 1},
		{TokenizeOptions{}, []int{1, 2, 3}, []string{" fits$", " fits too$", " does not fi"}, 1, 0, 0},
		{TokenizeOptions{Training: true, Overlong: Drop}, []int{1}, []string{" fits$"}, 0, 1, 1},
		{TokenizeOptions{Overlong: Drop}, []int{1}, []string{" fits$"}, 0, 1, 1},
	} {
		c.o.MaxLength = 50
		e := generation(t, newsTask, rows, c.o)
		for i, line := range c.lines {
			if e.Line(i) != line || decodeBytes(e.Answer(i)) != c.answers[i] {
				t.Errorf("%+v: line %d, completion %q", c.o, e.Line(i), decodeBytes(e.Answer(i)))
			}
			if p := decodeBytes(e.Prompt(i)); len(p) > 38 || !strings.HasSuffix(p, "\nTL;DR:") {
				t.Errorf("prompt %q", p)
			}
		}
		if n := e.Counts; e.Len() != len(c.lines) || n.Truncated != c.cut || n.Dropped != c.dropped || n.LongCompletions != c.long || n.Rows != 3 {
			t.Errorf("%+v: %d examples, %+v", c.o, e.Len(), n)
		}
		if n := e.Counts; n.CutCompletions != len(c.lines)/3 {
			t.Errorf("%+v: %d completions cut", c.o, n.CutCompletions)
		}
	}
	d, _ := newsTask.Read(InMemory("g.jsonl", []byte(rows)))
	_, err := newsTask.Tokenize(t.Context(), d, byteTokenizer{}, TokenizeOptions{MaxLength: 50, Overlong: Fail})
	wantError(t, err, "g.jsonl:2", "max_length is 50")
	_, err = newsTask.Tokenize(t.Context(), &Dataset{File: "g", Rows: d.Rows[2:], Columns: d.Columns}, byteTokenizer{}, TokenizeOptions{MaxLength: 50, Overlong: Fail})
	wantError(t, err, "g:3", "completion takes 21 tokens", "max_completion is 12")
	_, err = newsTask.Tokenize(t.Context(), d, byteTokenizer{bare: true}, TokenizeOptions{MaxLength: 50})
	wantError(t, err, "end-of-text", "stop")
	_, err = newsTask.Tokenize(t.Context(), d, byteTokenizer{}, TokenizeOptions{MaxLength: 15})
	wantError(t, err, "max_length 15", "12")
}

// An evaluation has every example once, with its completion, and the reference text beside it.
func TestGenerationEvaluation(t *testing.T) {
	e := generation(t, newsTask, `{"article":"a","summary":" one \n"}
{"article":"bbbbbb","summary":"and another one"}
{"article":"cc","summary":"two"}`, TokenizeOptions{MaxLength: 60})
	if e.Reference(0) != "one" || e.Reference(1) != "and another one" {
		t.Errorf("references %q, %q", e.Reference(0), e.Reference(1))
	}
	v, err := NewEvaluation(e, 2, 0)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[int32]int{}
	for i := range v.Len() {
		b := v.Batch(i)
		for row, example := range b.Index {
			if example < 0 {
				continue
			}
			seen[example]++
			want := append(slices.Clone(e.Prompt(int(example))), e.Answer(int(example))...)
			if got := b.IDs[row*b.Length:][:len(want)]; !slices.Equal(got, want) {
				t.Errorf("row %d: %q", row, decodeBytes(got))
			}
		}
	}
	if fmt.Sprint(seen) != "map[0:1 1:1 2:1]" {
		t.Errorf("examples %v", seen)
	}
}

func TestMessages(t *testing.T) {
	task, err := LookupTask("messages")
	if err != nil {
		t.Fatal(err)
	}
	const rows = `{"messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"Hi"},{"role":"assistant","content":"Yes?"},{"role":"user","content":"2+2"},{"role":"assistant","content":"4"},{"role":"user","content":"thanks"}],"id":3}`
	e := generation(t, task, rows, TokenizeOptions{MaxLength: 200})
	if got, want := decodeBytes(e.Prompt(0)), "^system: Be brief.\nuser: Hi\nassistant: Yes?\nuser: 2+2\nassistant:"; got != want {
		t.Errorf("prompt %q, want %q", got, want)
	}
	if got := decodeBytes(e.Answer(0)); got != " 4$" || e.Reference(0) != "4" {
		t.Errorf("completion %q, reference %q", got, e.Reference(0))
	}
	// A chat template is given all messages, and what follows it begins without a space. The longest messages are cut.
	chat := func(_ context.Context, messages []Message) (string, error) {
		var b strings.Builder
		for _, m := range messages {
			fmt.Fprintf(&b, "<%s>%s", m.Role[:1], m.Content)
		}
		return b.String() + "<a>", nil
	}
	e = generation(t, task, rows, TokenizeOptions{MaxLength: 40, Chat: &Chat{Prompt: chat, End: 10 + '!'}})
	if got := decodeBytes(e.Prompt(0)) + "|" + decodeBytes(e.Answer(0)); got != "<s>Be bri<u>Hi<a>Yes?<u>2+2<a>|4!" {
		t.Errorf("got %q", got)
	}
	if end, ok := e.End(); !ok || end != 10+'!' {
		t.Errorf("End() = %d, %t", end, ok)
	}
	if e = generation(t, task, rows, TokenizeOptions{MaxLength: 40, Chat: &Chat{Prompt: chat, End: -1}}); e.Answer(0)[1] != 2 {
		t.Errorf("without a token behind an answer of its own, it ends with %v", e.Answer(0))
	}
	refusing := &Chat{Prompt: func(context.Context, []Message) (string, error) { return "", errors.New("roles must alternate") }}
	d, err := task.Read(InMemory("g.jsonl", []byte(rows)))
	if err != nil {
		t.Fatal(err)
	}
	_, err = task.Tokenize(t.Context(), d, eosTokenizer{}, TokenizeOptions{MaxLength: 40, Chat: refusing})
	wantError(t, err, "g.jsonl:1", "roles must alternate")
	for content, parts := range map[string][]string{
		`{"messages":"hello"}`:                                              {"g.jsonl:1", `"messages"`, "list"},
		`{"messages":[]}`:                                                   {"g.jsonl:1", "assistant"},
		`{"messages":[{"role":"user","content":"a"}]}`:                      {"g.jsonl:1", "assistant"},
		`{"messages":[{"role":"assistant","content":"a"}]}`:                 {"g.jsonl:1", "begins with the answer"},
		`{"messages":[{"content":"x"},{"role":"assistant","content":"a"}]}`: {"g.jsonl:1", "[0].role"},
		`{"messages":[{"role":"user","content":[{"type":"text"}]},{"role":"assistant","content":"a"}]}`: {"g.jsonl:1", "[0].content"},
		`{"messages":[{"role":"user","content":"x"},{"role":"assistant","content":null}]}`:              {"g.jsonl:1", "[1].content"},
		`{"messages":[{"role":"user","content":"x"},{"role":"assistant","content":" "}]}`:               {"g.jsonl:1", "empty"},
		`{"conversation":[]}`: {"g.jsonl", `"messages"`, "conversation", "columns"},
	} {
		_, err := task.Read(InMemory("g.jsonl", []byte(content)))
		wantError(t, err, parts...)
	}
	// Where even empty messages do not fit, the row is left out and counted.
	many := `{"messages":[` + strings.Repeat(`{"role":"user","content":"x"},`, 50) + `{"role":"assistant","content":"a"}]}`
	e = generation(t, task, rows+"\n"+many, TokenizeOptions{MaxLength: 200})
	if e.Len() != 1 || e.Counts.Dropped != 1 {
		t.Errorf("%+v", e.Counts)
	}
}

// The names that tables of the hub have, and labels as numbers and as words.
func TestSpellings(t *testing.T) {
	for _, c := range []struct{ task, file, content, values, label string }{
		{"sst2", "a.tsv", "sentence\tlabel\nfine\t1\n", "fine", " good"},
		{"sst2", "a.csv", "idx,text,label\n0,\"bad, bad\",negative\n", "bad, bad", " bad"},
		{"sst2", "a.jsonl", `{"text": "fine", "label": 1, "label_text": "positive"}`, "fine", " good"},
		{"qnli", "a.jsonl", `{"question": "q", "sentence": "s", "label": 1, "idx": 0}`, "s q", " no"},
		{"mnli", "a.jsonl", `{"premise": "p", "hypothesis": "h", "label": 1, "idx": 0}`, "p h", " Neither"},
		{"mnli", "a.tsv", "index\tsentence1\tsentence2\tlabel1\tgold_label\n0\tp\th\tx\tcontradiction\n", "p h", " False"},
	} {
		task, err := LookupTask(c.task)
		if err != nil {
			t.Fatal(err)
		}
		d, err := task.Read(InMemory(c.file, []byte(c.content)))
		if err != nil {
			t.Error(err)
			continue
		}
		if r := d.Rows[0]; strings.Join(r.Values, " ") != c.values || task.Labels[r.Label].Answer != c.label {
			t.Errorf("%s of %s: %+v", c.task, c.content, r)
		}
	}
	task, _ := LookupTask("sst2")
	_, err := task.Read(InMemory("a.tsv", []byte("review\tlabel\nfine\t1\n")))
	wantError(t, err, "a.tsv", `"sentence" or "text"`, "review, label", `"columns": {"sentence"`)
	_, err = task.Read(InMemory("a.tsv", []byte("text\tlabel\nfine\t-1\n")))
	wantError(t, err, "a.tsv:2", `"-1"`)

	mapped, err := LookupTask(write(t, "t.json", `{"name":"t","prompt":"{sentence} It was","label_column":"label",
		"labels":[{"value":"0","also":["no"],"answer":" bad"},{"value":"1","answer":" good"}],
		"columns":{"sentence":"review","label":["stars","liked"]}}`))
	if err != nil {
		t.Fatal(err)
	}
	d, err := mapped.Read(InMemory("a.csv", []byte("sentence,review,liked\nnot this,this,no\n")))
	if err != nil || d.Rows[0].Values[0] != "this" || d.Rows[0].Label != 0 {
		t.Errorf("%+v, %v", d, err)
	}
}

func TestValidateGeneration(t *testing.T) {
	for content, parts := range map[string][]string{
		`{"name":"t","kind":"poem","prompt":"{a}"}`:                                                                                    {`kind: "poem"`},
		`{"name":"t","kind":"generation","prompt":"{a}"}`:                                                                              {"completion: missing"},
		`{"name":"t","kind":"generation","prompt":"{a}","completion":"no"}`:                                                            {"completion:", "no {column}"},
		`{"name":"t","kind":"generation","messages":"m","prompt":"{a}"}`:                                                               {"messages: takes the place"},
		`{"name":"t","kind":"generation","prompt":"{a}","completion":"{b}","label_column":"c"}`:                                        {"label_column"},
		`{"name":"t","kind":"generation","prompt":"{a}","completion":"{b}","max_completion":1}`:                                        {"max_completion: 1"},
		`{"name":"t","kind":"generation","prompt":"{a}","completion":"{b}","columns":{"c":"d"}}`:                                       {`no column "c"`, `["a" "b"]`},
		`{"name":"t","kind":"generation","prompt":"{a}","completion":"{b}","columns":{"a":[]}}`:                                        {"columns.a"},
		`{"name":"t","kind":"generation","prompt":"{a}","completion":"{b}","columns":{"a":7}}`:                                         {"offset"},
		`{"name":"t","prompt":"{a}","label_column":"b","completion":"{a}","labels":[{},{}]}`:                                           {"completion, messages, max_completion"},
		`{"name":"t","prompt":"{a}","label_column":"b","labels":[{"value":"0","also":["1"],"answer":"x"},{"value":"1","answer":"y"}]}`: {"labels[1].value", `"1"`},
	} {
		_, err := LookupTask(write(t, "bad.json", content))
		wantError(t, err, parts...)
	}
}
