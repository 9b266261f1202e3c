package overlap

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bitdistill/bitdistill/internal/golden"
)

// expected is what sacrebleu and rouge-score say: testdata/generate.py.
type expected struct {
	BLEUOfAll BLEU `json:"bleu_of_all"`
	News      []struct {
		File, Texts string
		Pairs       int
		BLEU        BLEU
		ROUGE       map[string][3]float64
	}
	Pairs []struct {
		Text, Reference string
		BLEU            BLEU
		ROUGE           map[string][3]float64
	}
}

func readExpected(t testing.TB) (e expected) {
	t.Helper()
	data, err := os.ReadFile("testdata/expected.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &e); err != nil {
		t.Fatal(err)
	}
	return e
}

func gunzip(t testing.TB, path string) string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(bufio.NewReader(f))
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// tolerance is for sums made in another order; one word counted otherwise in one of a thousand texts would show.
const tolerance = 1e-9

func checkBLEU(t *testing.T, what string, got, want BLEU) {
	t.Helper()
	if got.Matches != want.Matches || got.Totals != want.Totals || got.HypothesisLength != want.HypothesisLength || got.ReferenceLength != want.ReferenceLength {
		t.Errorf("%s: counts %+v, want %+v", what, got, want)
	}
	g := append(got.Precisions[:], got.Score, got.BrevityPenalty)
	w := append(want.Precisions[:], want.Score, want.BrevityPenalty)
	for i := range g {
		if !(math.Abs(g[i]-w[i]) <= tolerance) {
			t.Errorf("%s: %+v, want %+v", what, got, want)
		}
	}
}

func checkROUGE(t *testing.T, what string, got ROUGE, want map[string][3]float64) {
	t.Helper()
	for name, a := range map[string]Agreement{"rouge1": got.ROUGE1, "rouge2": got.ROUGE2, "rougeL": got.ROUGEL, "rougeLsum": got.ROUGELsum} {
		w, ok := want[name]
		if !ok {
			t.Errorf("%s: no expected %s", what, name)
		}
		for i, x := range []float64{a.Precision, a.Recall, a.F} {
			if !(math.Abs(x-w[i]) <= tolerance) {
				t.Errorf("%s: %s is %+v, want %v", what, name, a, w)
			}
		}
	}
}

func TestPairs(t *testing.T) {
	e := readExpected(t)
	if len(e.Pairs) < 80 {
		t.Fatalf("%d pairs", len(e.Pairs))
	}
	var texts, references []string
	for _, p := range e.Pairs {
		b, err := CorpusBLEU([]string{p.Text}, []string{p.Reference})
		if err != nil {
			t.Fatal(err)
		}
		what := "text " + short(p.Text) + ", reference " + short(p.Reference)
		checkBLEU(t, what, b, p.BLEU)
		checkROUGE(t, what, PairROUGE(p.Text, p.Reference), p.ROUGE)
		texts, references = append(texts, p.Text), append(references, p.Reference)
	}
	b, err := CorpusBLEU(texts, references)
	if err != nil {
		t.Fatal(err)
	}
	checkBLEU(t, "all pairs", b, e.BLEUOfAll)
	mean, err := MeanROUGE(texts, references)
	if err != nil {
		t.Fatal(err)
	}
	sum := map[string][3]float64{}
	for _, p := range e.Pairs {
		for name, v := range p.ROUGE {
			s := sum[name]
			for i := range s {
				s[i] += v[i] / float64(len(e.Pairs))
			}
			sum[name] = s
		}
	}
	checkROUGE(t, "mean of all pairs", mean, sum)
}

func short(s string) string {
	data, _ := json.Marshal(s[:min(len(s), 60)])
	return string(data)
}

// readNews reads highlights and articles, the latter also as their first three sentences.
func readNews(t testing.TB, path string) (highlights, articles, lead []string) {
	t.Helper()
	for line := range strings.Lines(gunzip(t, path)) {
		var row struct{ Article, Highlights string }
		if err := json.Unmarshal([]byte(line), &row); err != nil {
			t.Fatal(err)
		}
		sentences := strings.Split(row.Article, ". ")
		highlights, articles = append(highlights, row.Highlights), append(articles, row.Article)
		lead = append(lead, strings.Join(sentences[:min(3, len(sentences))], "\n"))
	}
	return highlights, articles, lead
}

func TestNews(t *testing.T) {
	shared := golden.Shared(t)
	e := readExpected(t)
	if len(e.News) != 6 {
		t.Fatalf("%d expected scores of news", len(e.News))
	}
	for _, n := range e.News {
		references, articles, lead := readNews(t, filepath.Join(shared, "data", "cnn_dailymail", n.File))
		texts := lead
		if n.Texts == "article" {
			texts = articles
		}
		what := n.File + ", " + n.Texts
		if len(texts) != n.Pairs {
			t.Fatalf("%s: %d pairs, want %d", what, len(texts), n.Pairs)
		}
		b, err := CorpusBLEU(texts, references)
		if err != nil {
			t.Fatal(err)
		}
		checkBLEU(t, what, b, n.BLEU)
		r, err := MeanROUGE(texts, references)
		if err != nil {
			t.Fatal(err)
		}
		checkROUGE(t, what, r, n.ROUGE)
	}
}

func TestPairsDoNotFit(t *testing.T) {
	for want, pairs := range map[string][2][]string{
		"no texts":                 {nil, nil},
		"2 texts and 1 references": {{"a", "b"}, {"a"}},
		"1 texts and 2 references": {{"a"}, {"a", "b"}},
	} {
		if _, err := CorpusBLEU(pairs[0], pairs[1]); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("BLEU: %v, want %q", err, want)
		}
		if _, err := MeanROUGE(pairs[0], pairs[1]); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ROUGE: %v, want %q", err, want)
		}
	}
}

// table is rouge-score's longest common subsequence in its plain form: the positions in a that are in it.
func table(a, b []int32) (length int, marked []bool) {
	l := make([][]int, len(a)+1)
	l[0] = make([]int, len(b)+1)
	for i, x := range a {
		l[i+1] = make([]int, len(b)+1)
		for j, y := range b {
			if x == y {
				l[i+1][j+1] = l[i][j] + 1
			} else {
				l[i+1][j+1] = max(l[i][j+1], l[i+1][j])
			}
		}
	}
	marked = make([]bool, len(a))
	for i, j := len(a), len(b); i > 0 && j > 0; {
		switch {
		case a[i-1] == b[j-1]:
			marked[i-1] = true
			i, j = i-1, j-1
		case l[i][j-1] > l[i-1][j]:
			j--
		default:
			i--
		}
	}
	return l[len(a)][len(b)], marked
}

func TestLongestCommonSubsequence(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 3000 {
		list := func() []int32 {
			words, kinds := make([]int32, rng.IntN(200)), 1+rng.IntN(30)
			for i := range words {
				words[i] = int32(1 + rng.IntN(kinds))
			}
			return words
		}
		a, b := list(), list()
		length, marked := table(a, b)
		s := newSequence(b)
		if got := s.common(a); got != length {
			t.Fatalf("length %d, want %d: %v %v", got, length, a, b)
		}
		got := make([]bool, len(a))
		s.mark(a, got)
		if !slices.Equal(got, marked) {
			t.Fatalf("marked %v, want %v: %v %v", got, marked, a, b)
		}
	}
}

// A table of these lines would have 1.6e9 cells.
func TestLongLines(t *testing.T) {
	began := time.Now()
	text := strings.Repeat("over and over the same words again ", 6000)
	other := strings.Repeat("the same words over and again and over ", 5000)
	if r := PairROUGE(text, other); r.ROUGEL != r.ROUGELsum || r.ROUGEL.F <= 0.5 || r.ROUGEL.F >= r.ROUGE1.F {
		t.Errorf("%+v", r)
	}
	if d := time.Since(began); d > 30*time.Second {
		t.Errorf("took %v", d)
	}
}

func FuzzPair(f *testing.F) {
	for _, p := range readExpected(f).Pairs[:60] {
		f.Add(p.Text, p.Reference)
	}
	f.Add("\xff\xfe.\x80,", "\xed\xa0\x80")
	f.Fuzz(func(t *testing.T, text, reference string) {
		b, err := CorpusBLEU([]string{text}, []string{reference})
		if err != nil {
			t.Fatal(err)
		}
		shares := append(b.Precisions[:], b.Score, 100*b.BrevityPenalty)
		r := PairROUGE(text, reference)
		for _, a := range []Agreement{r.ROUGE1, r.ROUGE2, r.ROUGEL, r.ROUGELsum} {
			shares = append(shares, 100*a.Precision, 100*a.Recall, 100*a.F)
		}
		for _, x := range shares {
			if !(x >= 0 && x <= 100) {
				t.Errorf("out of range: %+v %+v", b, r)
			}
		}
		if r.ROUGEL.F > r.ROUGE1.F+1e-12 || r.ROUGELsum.F > r.ROUGE1.F+1e-12 {
			t.Errorf("more words in common order than words in common: %+v", r)
		}
		if got, want := tokenize13a(text), regexp13a(text); !slices.Equal(got, want) {
			t.Errorf("words %q, want %q", got, want)
		}
		checkSame(t, text)
	})
}

// The rules of 13a as regular expressions, as they were published.
var rules13a = []struct {
	pattern     *regexp.Regexp
	replacement string
}{
	{regexp.MustCompile("([ -&(-+:-@[-`{-~/])"), " $1 "},
	{regexp.MustCompile(`([^0-9])([.,])`), "$1 $2 "},
	{regexp.MustCompile(`([.,])([^0-9])`), " $1 $2"},
	{regexp.MustCompile(`([0-9])(-)`), "$1 $2 "},
}

func regexp13a(text string) []string {
	text = strings.TrimRightFunc(text, isSpace)
	for _, r := range [][2]string{{"<skipped>", ""}, {"-\n", ""}, {"\n", " "}, {"&quot;", `"`}, {"&amp;", "&"}, {"&lt;", "<"}, {"&gt;", ">"}} {
		text = strings.ReplaceAll(text, r[0], r[1])
	}
	text = " " + text + " "
	for _, r := range rules13a {
		text = r.pattern.ReplaceAllString(text, r.replacement)
	}
	return strings.FieldsFunc(text, isSpace)
}

// checkSame compares a text with itself: all that it has words for is perfect.
func checkSame(t *testing.T, text string) {
	t.Helper()
	b, err := CorpusBLEU([]string{text}, []string{text})
	if err != nil {
		t.Fatal(err)
	}
	if want := share(b.HypothesisLength >= 4); b.Score != 100*want {
		t.Errorf("BLEU with itself: %+v", b)
	}
	words, r := len(stemmedWords(text)), PairROUGE(text, text)
	for _, a := range []struct {
		got  Agreement
		want float64
	}{{r.ROUGE1, share(words > 0)}, {r.ROUGE2, share(words > 1)}, {r.ROUGEL, share(words > 0)}, {r.ROUGELsum, share(words > 0)}} {
		if a.got != (Agreement{a.want, a.want, a.want}) {
			t.Errorf("ROUGE of %d words with themselves: %+v", words, r)
		}
	}
}

func share(all bool) float64 {
	if all {
		return 1
	}
	return 0
}

// Articles against highlights, 1,000 pairs of 640 words and 60.
func BenchmarkNews(b *testing.B) {
	references, articles, _ := readNews(b, filepath.Join(golden.Shared(b), "data", "cnn_dailymail", "validation_1000.jsonl.gz"))
	b.Run("BLEU", func(b *testing.B) {
		for b.Loop() {
			if _, err := CorpusBLEU(articles, references); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("ROUGE", func(b *testing.B) {
		for b.Loop() {
			if _, err := MeanROUGE(articles, references); err != nil {
				b.Fatal(err)
			}
		}
	})
}
