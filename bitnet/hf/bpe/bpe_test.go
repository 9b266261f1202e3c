package bpe

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

func read(t testing.TB, name string) []byte {
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func load(t testing.TB, name string) *Tokenizer {
	tok, err := Parse(read(t, name+".json"))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return tok
}

// golden is what the Python package `tokenizers` gives, see testdata/gen.py.
type golden struct {
	Texts      []string
	Tokenizers map[string]struct {
		IDs     [][]int32
		Prefix  []int32
		Decoded []string
		Cuts    []struct {
			IDs     []int32
			Decoded string
		}
	}
}

func expected(t testing.TB) (g golden) {
	if err := json.Unmarshal(read(t, "expected.json"), &g); err != nil {
		t.Fatal(err)
	}
	return g
}

func TestGolden(t *testing.T) {
	g := expected(t)
	for name, want := range g.Tokenizers {
		tok := load(t, name)
		for i, text := range g.Texts {
			if got := tok.Encode(text); !slices.Equal(got, want.IDs[i]) {
				t.Errorf("%s: Encode(%q)\n got %v\nwant %v", name, text, got, want.IDs[i])
			}
			if want.Decoded == nil {
				continue
			}
			if got := tok.Decode(want.IDs[i]); got != want.Decoded[i] {
				t.Errorf("%s: Decode(%v)\n got %q\nwant %q", name, want.IDs[i], got, want.Decoded[i])
			}
		}
		for _, c := range want.Cuts { // ids in no sensible order, with characters cut in two
			if got := tok.Decode(c.IDs); got != c.Decoded {
				t.Errorf("%s: Decode(%v)\n got %q\nwant %q", name, c.IDs, got, c.Decoded)
			}
		}
		if got := tok.Prefix(); !slices.Equal(got, want.Prefix) {
			t.Errorf("%s: Prefix() = %v, want %v", name, got, want.Prefix)
		}
	}
}

// The cut in front of markers may not change an id.
func TestCutAtMarkersIsExact(t *testing.T) {
	g := expected(t)
	tok := load(t, "sentencepiece")
	if tok.merge.joined == nil {
		t.Fatal("the SentencePiece vocabulary should allow the cut")
	}
	long := strings.Join(g.Texts, " ")
	want := tok.merge.mergeAll(tok.normalize(long))
	if got := tok.merge.encode(nil, tok.normalize(long)); !slices.Equal(got, want) {
		t.Error("cut and uncut ids differ")
	}
}

// A vocabulary that joins ">▁" is cut behind other characters alone.
func TestJoins(t *testing.T) {
	vocab := map[string]int32{"▁": 0, "a": 1, ">": 2, "▁a": 3, ">▁": 4, "▁▁": 5, "a>": 6}
	g, err := newMerger(&model{Vocab: vocab, Merges: []pair{{">", "▁"}, {"▁", "a"}, {"▁", "▁"}, {"a", ">"}}}, false)
	if err != nil {
		t.Fatal(err)
	}
	if want := map[rune]bool{'▁': true, '>': true}; !maps.Equal(g.joined, want) {
		t.Errorf("joined %v", g.joined)
	}
	for range 500 {
		var b strings.Builder
		for range rand.IntN(12) {
			b.WriteString([]string{"▁", "a", ">"}[rand.IntN(3)])
		}
		if got, want := g.encode(nil, b.String()), g.mergeAll(b.String()); b.Len() > 0 && !slices.Equal(got, want) {
			t.Fatalf("%q: got %v, want %v", b.String(), got, want)
		}
	}
}

// mergeNaively is the definition: look at all pairs, merge the best, again.
func mergeNaively(g *merger, ids []int32) []int32 {
	ids = slices.Clone(ids)
	for {
		best := -1
		for i := range max(len(ids)-1, 0) {
			m, ok := g.pairs[key(ids[i], ids[i+1])]
			if ok && (best < 0 || m.rank < g.pairs[key(ids[best], ids[best+1])].rank) {
				best = i
			}
		}
		if best < 0 {
			return ids
		}
		ids[best] = g.pairs[key(ids[best], ids[best+1])].id
		ids = slices.Delete(ids, best+1, best+2)
	}
}

func TestMergeAllAgainstDefinition(t *testing.T) {
	g := load(t, "smollm2").merge
	rng := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		var b strings.Builder
		for range rng.IntN(40) {
			b.WriteByte(" etaoinshrdlu\n"[rng.IntN(14)])
		}
		if got, want := g.mergeAll(b.String()), mergeNaively(g, g.first(b.String())); !slices.Equal(got, want) {
			t.Fatalf("%q: got %v, want %v", b.String(), got, want)
		}
	}
}

const space = `\t-\r\x{85}\p{Z}`

// withoutLookahead writes a pattern for Go's regexp, which has no lookahead: the two alternatives for white space, always
// the last, become one group.
func withoutLookahead(t *testing.T, pattern string) *regexp.Regexp {
	body, ok := strings.CutSuffix(pattern, `|\s+(?!\S)|\s+`)
	if !ok {
		t.Fatalf("%s does not end in the white space alternatives", pattern)
	}
	body = strings.ReplaceAll(body, `[^\s`, `[^`+space)
	body = strings.ReplaceAll(body, `\s`, `[`+space+`]`)
	return regexp.MustCompile(body + `|([` + space + `]+)`)
}

// byRegexp splits with such a pattern; white space gives back its last character where something follows.
func byRegexp(re *regexp.Regexp, text string) (words []string) {
	for text != "" {
		m := re.FindStringSubmatchIndex(text)
		n := m[1]
		if runes := []rune(text[:n]); m[2] >= 0 && n < len(text) && len(runes) > 1 {
			n -= len(string(runes[len(runes)-1]))
		}
		words = append(words, text[:n])
		text = text[n:]
	}
	return words
}

func TestScannersAgainstRegexp(t *testing.T) {
	pool := []rune("aZé 's'tRe'LLvmd  \n\r\t0١½.,_🙂日\u0301\u00a0ſ\u0085\u2003")
	rng := rand.New(rand.NewPCG(3, 4))
	for pattern, next := range patterns {
		re := withoutLookahead(t, pattern)
		for range 3000 {
			runes := make([]rune, rng.IntN(30))
			for i := range runes {
				runes[i] = pool[rng.IntN(len(pool))]
			}
			var got []string
			splitBy(next)(string(runes), func(w string) { got = append(got, w) })
			if want := byRegexp(re, string(runes)); !slices.Equal(got, want) {
				t.Fatalf("%s\n%q\n got %q\nwant %q", pattern, string(runes), got, want)
			}
		}
	}
}

func TestInvalidUTF8(t *testing.T) {
	// Table 3-8 of the Unicode standard, and the rows around it.
	for in, want := range map[string]string{
		"a\x80b": "a\uFFFDb", "\xe4\xb8": "\uFFFD", "\xe4\xb8\xe4\xb8\xad": "\uFFFD中",
		"a\xF1\x80\x80\xE1\x80\xC2b\x80c\x80\xBFd": "a\uFFFD\uFFFD\uFFFDb\uFFFDc\uFFFD\uFFFDd",
		"\xf0\x9f\x99": "\uFFFD", "\xed\xa0\x80": "\uFFFD\uFFFD\uFFFD", "\xff": "\uFFFD",
	} {
		if got := validUTF8(in); got != want {
			t.Errorf("validUTF8(%q) = %q, want %q", in, got, want)
		}
	}
	tok := load(t, "qwen3")
	if got, want := tok.Encode("\xff"), tok.Encode("\uFFFD"); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestConcurrentEncode(t *testing.T) {
	g, tok := expected(t), load(t, "qwen3")
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for i, text := range g.Texts {
				if !slices.Equal(tok.Encode(text), g.Tokenizers["qwen3"].IDs[i]) {
					t.Errorf("Encode(%q) differs", text)
				}
			}
		})
	}
	group.Wait()
}

func TestRefusals(t *testing.T) {
	const tail = `,"decoder":{"type":"ByteLevel"}}`
	vocab := `{"model":{"type":"BPE","vocab":{"a":0,"b":1,"ab":2},"merges":["a b"]}`
	for in, want := range map[string]string{
		``:                                    "unexpected end",
		`[]`:                                  "cannot unmarshal",
		`{}`:                                  "model.type: none",
		`{"model":{"type":"Unigram"}}`:        `"Unigram" is not supported`,
		`{"model":{"type":"BPE","vocab":{}}}`: "no tokens",
		`{"model":{"vocab":{"a":-1}}` + tail:  `token "a" has the id -1`,
		`{"model":{"vocab":{"a":1e3}}` + tail: "cannot unmarshal",
		`{"model":{"vocab":{"a":3e9}}` + tail: "cannot unmarshal",
		`{"model":{"vocab":{"a":0,"b":0}}}`:   `"a" and "b" share the id 0`,
		`{"model":{"vocab":{"a":0},"merges":[["a","b"]]}` + tail:        `"a" and "b": the vocabulary lacks`,
		`{"model":{"vocab":{"a":0},"merges":["a b c"]}` + tail:          "not two tokens",
		`{"model":{"vocab":{"a":0},"dropout":0.1}` + tail:               "model.dropout",
		`{"model":{"vocab":{"a":0},"unk_token":"?"}` + tail:             `unk_token: "?"`,
		`{"model":{"vocab":{"a":0},"end_of_word_suffix":"</w>"}` + tail: "end_of_word_suffix",
		vocab + `}`: "decoder: none",
		vocab + `,"added_tokens":[{"id":5,"content":"a"}]` + tail:                                        `"a" has the ids`,
		vocab + `,"added_tokens":[{"id":5,"content":""}]` + tail:                                         "id 5 has no content",
		vocab + `,"added_tokens":[{"id":5,"content":"x","lstrip":true}]` + tail:                          `"x": lstrip`,
		vocab + `,"normalizer":{"type":"Lowercase"}` + tail:                                              `normalizer: type "Lowercase"`,
		vocab + `,"normalizer":{"type":"Replace","pattern":{"Regex":"x"}}` + tail:                        "normalizer: Replace",
		vocab + `,"pre_tokenizer":{"type":"Metaspace"}` + tail:                                           `pre_tokenizer: type "Metaspace"`,
		vocab + `,"pre_tokenizer":{"type":"Split","pattern":{"Regex":"x"},"behavior":"Isolated"}` + tail: `the pattern "x"`,
		vocab + `,"post_processor":{"type":"BertProcessing"}` + tail:                                     `post_processor: type "BertProcessing"`,
		vocab + `,"decoder":{"type":"WordPiece"}}`:                                                       `decoder: type "WordPiece"`,
	} {
		_, err := Parse([]byte(in))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s\n got %v\nwant %s", in, err, want)
		}
	}
	// Several faults at once.
	_, err := Parse([]byte(vocab + `,"normalizer":{"type":"X"},"pre_tokenizer":{"type":"Y"},"decoder":{"type":"Z"}}`))
	for _, part := range []string{"normalizer", "pre_tokenizer", "decoder"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%s missing in %v", part, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"model":{"vocab":{"a":0,"▁":1,"a▁":2},"merges":["a ▁"]},"decoder":{"type":"Fuse"}}`), "a▁\xff")
	f.Add([]byte(`{"added_tokens":[{"id":0,"content":"<s>","special":true}],"normalizer":{"type":"Sequence","normalizers":[`+
		`{"type":"Prepend","prepend":"▁"},{"type":"Replace","pattern":{"String":" "},"content":"▁"}]},"post_processor":`+
		`{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<s>"}},{"Sequence":{"id":"A"}}],"special_tokens":{"<s>":{"ids":[0]}}},`+
		`"decoder":{"type":"Strip","content":" ","start":1},"model":{"vocab":{"▁":1,"a":2,"▁a":3,"<0x41>":4},"byte_fallback":true,"merges":[["▁","a"]]}}`), "a A")
	f.Add([]byte(`{"normalizer":{"type":"NFC"},"pre_tokenizer":{"type":"Sequence","pretokenizers":[{"type":"Digits"},`+
		`{"type":"ByteLevel","add_prefix_space":true}]},"decoder":{"type":"ByteLevel"},"model":{"vocab":{"Ġ":1,"a":2,"Ġa":3},"merges":["Ġ a"]}}`), "a 12 it's")
	f.Fuzz(func(t *testing.T, data []byte, text string) {
		tok, err := Parse(data)
		if err != nil {
			return
		}
		ids := tok.Encode(text)
		for _, id := range ids {
			if _, ok := tok.Token(id); !ok {
				t.Fatalf("id %d is not in the vocabulary", id)
			}
		}
		tok.Decode(ids)
	})
}

func BenchmarkEncode(b *testing.B) {
	text := strings.Repeat("Once upon a time, there was a little girl named Lily. She loved to play.\n", 2000)
	for _, name := range []string{"sentencepiece", "qwen3", "smollm2"} {
		tok := load(b, name)
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				tok.Encode(text)
			}
		})
	}
}

func ExampleTokenizer_Encode() {
	data, err := os.ReadFile("testdata/sentencepiece.json")
	if err != nil {
		fmt.Println(err)
		return
	}
	tok, err := Parse(data)
	if err != nil {
		fmt.Println(err)
		return
	}
	ids := tok.Encode("the 🙂")
	for _, id := range ids {
		token, _ := tok.Token(id)
		fmt.Print(token, " ")
	}
	fmt.Println(tok.Decode(ids))
	// Output: ▁the ▁ <0xF0> <0x9F> <0x99> <0x82> the 🙂
}
