package data

import (
	"strings"
	"testing"
)

// byteSpeller spells what byteTokenizer encodes; bytes of longer characters have no text of their own.
type byteSpeller struct{}

func (byteSpeller) Decode(ids []int32) string {
	var b strings.Builder
	for _, id := range ids {
		if id >= 10 {
			b.WriteByte(byte(id - 10))
		}
	}
	return strings.ToValidUTF8(b.String(), "\uFFFD")
}

func (byteSpeller) Token(id int32) (string, bool) {
	return map[int32]string{1: "<s>", 2: "</s>", 10 + 0xc3: "<0xC3>"}[id], id < 10 || id == 10+0xc3
}

func TestShow(t *testing.T) {
	e := generation(t, newsTask, `{"article":"é\u001b[31m","summary":"ok"}`+"\n"+`{"article":"b","summary":"c"}`, TokenizeOptions{MaxLength: 60})
	var plain, coloured strings.Builder
	if err := e.Show(&plain, 1, byteSpeller{}, false); err != nil {
		t.Fatal(err)
	}
	want := `g.jsonl:1: 19 tokens, of which the loss counts 4
<s>|<0xC3>|<179>|\x1b|[|3|1|m|\n|T|L|;|D|R|:|[ ][o][k][</s>]

`
	if plain.String() != want {
		t.Errorf("got %q\nwant %q", plain.String(), want)
	}
	if err := e.Show(&coloured, 9, byteSpeller{}, true); err != nil {
		t.Fatal(err)
	}
	if got := coloured.String(); strings.Count(got, "g.jsonl:") != 2 || strings.Contains(got, "\x1b[31m") || !strings.Contains(got, "\x1b[30;42mk\x1b[0m") || strings.Contains(got, "\x1b[30;42mD") {
		t.Errorf("got %q", got)
	}
	// A classification shows the right answer.
	var class strings.Builder
	d := &Dataset{File: "d.tsv", Columns: []string{"text"}, Rows: []Row{{Line: 2, Values: []string{"x"}, Label: 1}}}
	if err := tokenized(t, reviewTask, d, TokenizeOptions{MaxLength: 60}).Show(&class, 5, byteSpeller{}, false); err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(class.String(), "x| |I|t| |w|a|s|[ ][g][o][o][d]\n\n") {
		t.Errorf("got %q", class.String())
	}
}
