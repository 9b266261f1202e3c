package overlap

import (
	"fmt"
	"math"
	"strings"
	"unicode"
)

// maxOrder is the longest n-gram that BLEU counts.
const maxOrder = 4

// BLEU is the agreement of a corpus of texts with its references.
type BLEU struct {
	Score            float64           `json:"score"`             // 0 to 100
	Precisions       [maxOrder]float64 `json:"precisions"`        // of 1- to 4-grams, in percent, smoothed
	Matches          [maxOrder]int     `json:"matches"`           // n-grams that a text shares with its reference
	Totals           [maxOrder]int     `json:"totals"`            // n-grams of the texts
	BrevityPenalty   float64           `json:"brevity_penalty"`   // 0 to 1
	HypothesisLength int               `json:"hypothesis_length"` // words of the texts
	ReferenceLength  int               `json:"reference_length"`  // words of the references
}

// CorpusBLEU compares texts with a reference each. It is sacrebleu's corpus_bleu as it comes: tokenizer 13a, case counts,
// exponential smoothing of orders without a match, up to 4-grams whatever the length. So a corpus in which no text has 4
// words scores 0, even if all are right. Papineni et al., BLEU: a Method for Automatic Evaluation of Machine Translation,
// ACL 2002; Post, A Call for Clarity in Reporting BLEU Scores, WMT 2018. It is an error if there are no texts or not as
// many references.
func CorpusBLEU(hypotheses, references []string) (BLEU, error) {
	if err := checkPairs(hypotheses, references); err != nil {
		return BLEU{}, err
	}
	var b BLEU
	for i, h := range hypotheses {
		b.add(tokenize13a(h), tokenize13a(references[i]))
	}
	b.finish()
	return b, nil
}

// add counts a text and its reference, each a list of words.
func (b *BLEU) add(hypothesis, reference []string) {
	ids := vocabulary{}
	available := map[ngram]int{}
	eachNgram(ids.of(reference), func(_ int, g ngram) { available[g]++ })
	eachNgram(ids.of(hypothesis), func(order int, g ngram) {
		b.Totals[order-1]++
		if available[g] > 0 { // a word said twice counts twice only if the reference says it twice
			available[g]--
			b.Matches[order-1]++
		}
	})
	b.HypothesisLength += len(hypothesis)
	b.ReferenceLength += len(reference)
}

// finish computes the score from the counts.
func (b *BLEU) finish() {
	b.BrevityPenalty = 1
	if b.HypothesisLength == 0 && b.ReferenceLength > 0 {
		b.BrevityPenalty = 0
	} else if b.HypothesisLength < b.ReferenceLength {
		b.BrevityPenalty = math.Exp(1 - float64(b.ReferenceLength)/float64(b.HypothesisLength))
	}
	if b.Matches[0] == 0 {
		return // longer n-grams cannot match either, and smoothing shall not make a score of nothing
	}
	logSum, smooth := 0.0, 1.0
	for i, total := range b.Totals {
		matches := float64(b.Matches[i])
		if matches == 0 {
			smooth /= 2
			matches = smooth
		}
		if total == 0 {
			return
		}
		precision := matches / float64(total)
		b.Precisions[i] = 100 * precision
		logSum += math.Log(precision)
	}
	b.Score = 100 * b.BrevityPenalty * math.Exp(logSum/maxOrder)
}

// ngram is one to four words by their ids; the rest is 0, which is no word's id.
type ngram [maxOrder]int32

// eachNgram visits all n-grams of orders 1 to 4.
func eachNgram(words []int32, visit func(order int, g ngram)) {
	for i := range words {
		var g ngram
		for n := range min(maxOrder, len(words)-i) {
			g[n] = words[i+n]
			visit(n+1, g)
		}
	}
}

// vocabulary numbers words from 1 on in the order in which they come up.
type vocabulary map[string]int32

func (v vocabulary) of(words []string) []int32 {
	ids := make([]int32, len(words))
	for i, w := range words {
		if v[w] == 0 {
			v[w] = int32(len(v) + 1)
		}
		ids[i] = v[w]
	}
	return ids
}

// tokenize13a splits a text into words as NIST's mteval-v13a does, in sacrebleu's reading of it.
func tokenize13a(text string) []string {
	text = strings.TrimRightFunc(text, isSpace)
	text = strings.ReplaceAll(text, "<skipped>", "")
	text = strings.ReplaceAll(text, "-\n", "")
	text = strings.ReplaceAll(text, "\n", " ")
	// One after the other: &amp;lt; becomes <, but &amp;quot; stays &quot;.
	text = strings.ReplaceAll(text, "&quot;", `"`)
	text = strings.ReplaceAll(text, "&amp;", "&")
	text = strings.ReplaceAll(text, "&lt;", "<")
	text = strings.ReplaceAll(text, "&gt;", ">")
	return strings.FieldsFunc(string(separate(" "+text+" ")), isSpace)
}

// separate puts spaces around ASCII's punctuation: around . and , unless digits stand on both sides, around - behind a
// digit, never around an apostrophe.
func separate(text string) []byte {
	out := make([]byte, 0, 2*len(text))
	for _, c := range []byte(text) {
		if ' ' < c && c < 0x7f && !isLetter(c) && !isDigit(c) && strings.IndexByte("',-.", c) < 0 {
			out = append(out, ' ', c, ' ')
		} else {
			out = append(out, c)
		}
	}
	out = separatePairs(out, false, func(a, b byte) bool { return !isDigit(a) && (b == '.' || b == ',') })
	out = separatePairs(out, true, func(a, b byte) bool { return (a == '.' || a == ',') && !isDigit(b) })
	return separatePairs(out, false, func(a, b byte) bool { return isDigit(a) && b == '-' })
}

// separatePairs puts a space between two bytes that fit, and one before or behind them. As with a regular expression, a
// byte belongs to one pair only: of three commas in a row the third is met alone.
func separatePairs(text []byte, before bool, fit func(a, b byte) bool) []byte {
	out := make([]byte, 0, len(text)+len(text)/4)
	for i := 0; i < len(text); i++ {
		switch {
		case i+1 == len(text) || !fit(text[i], text[i+1]):
			out = append(out, text[i])
		case before:
			out = append(out, ' ', text[i], ' ', text[i+1])
			i++
		default:
			out = append(out, text[i], ' ', text[i+1], ' ')
			i++
		}
	}
	return out
}

func isDigit(c byte) bool  { return '0' <= c && c <= '9' }
func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }

// isSpace tells what Python's str.split splits at: Unicode's white space and ASCII's four separators.
func isSpace(r rune) bool { return unicode.IsSpace(r) || r >= 0x1c && r <= 0x1f }

func checkPairs(hypotheses, references []string) error {
	switch {
	case len(hypotheses) == 0:
		return fmt.Errorf("no texts to compare with references")
	case len(hypotheses) != len(references):
		return fmt.Errorf("%d texts and %d references: each text needs one", len(hypotheses), len(references))
	}
	return nil
}
