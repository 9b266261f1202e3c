package overlap

import "strings"

// Agreement of a text with its reference, each share from 0 to 1.
type Agreement struct {
	Precision float64 `json:"precision"` // share of the text that is in the reference
	Recall    float64 `json:"recall"`    // share of the reference that is in the text
	F         float64 `json:"f"`         // their harmonic mean
}

// ROUGE is the agreement of texts with their references by what is compared.
type ROUGE struct {
	ROUGE1    Agreement `json:"rouge1"`    // words
	ROUGE2    Agreement `json:"rouge2"`    // pairs of adjacent words
	ROUGEL    Agreement `json:"rougeL"`    // longest common subsequence
	ROUGELsum Agreement `json:"rougeLsum"` // the same by lines: their union for each line of the reference
}

// MeanROUGE compares texts with a reference each and returns the mean over all of [PairROUGE]. It is an error if there are
// no texts or not as many references.
func MeanROUGE(hypotheses, references []string) (ROUGE, error) {
	if err := checkPairs(hypotheses, references); err != nil {
		return ROUGE{}, err
	}
	var sum ROUGE
	for i, h := range hypotheses {
		r := PairROUGE(h, references[i])
		sum.ROUGE1.add(r.ROUGE1)
		sum.ROUGE2.add(r.ROUGE2)
		sum.ROUGEL.add(r.ROUGEL)
		sum.ROUGELsum.add(r.ROUGELsum)
	}
	n := float64(len(hypotheses))
	return ROUGE{sum.ROUGE1.over(n), sum.ROUGE2.over(n), sum.ROUGEL.over(n), sum.ROUGELsum.over(n)}, nil
}

// PairROUGE compares a text with its reference. It is what Google's rouge-score computes with its Porter stemmer: words are
// runs of ASCII letters and digits, in lower case and stemmed, and lines are sentences. What a text is too short for is 0:
// ROUGE-2 of one word, all of no words. Lin, ROUGE: A Package for Automatic Evaluation of Summaries, 2004; ROUGE-Lsum is
// its section 3.2, with each word counted at most as often as it is in both.
func PairROUGE(hypothesis, reference string) ROUGE {
	ids := vocabulary{}
	hyp, ref := lines(ids, hypothesis), lines(ids, reference)
	hypWords, refWords := flatten(hyp), flatten(ref)
	n, m := len(hypWords), len(refWords)
	return ROUGE{
		ROUGE1:    agreement(sharedNgrams(hypWords, refWords, 1), n, m),
		ROUGE2:    agreement(sharedNgrams(hypWords, refWords, 2), n-1, m-1),
		ROUGEL:    agreement(newSequence(hypWords).common(refWords), n, m),
		ROUGELsum: agreement(unionHits(hyp, ref, len(ids)), n, m),
	}
}

func (a *Agreement) add(b Agreement) {
	a.Precision += b.Precision
	a.Recall += b.Recall
	a.F += b.F
}

func (a Agreement) over(n float64) Agreement {
	return Agreement{Precision: a.Precision / n, Recall: a.Recall / n, F: a.F / n}
}

// agreement of a text of n units with a reference of m that share some.
func agreement(shared, n, m int) Agreement {
	if shared == 0 {
		return Agreement{}
	}
	p, r := float64(shared)/float64(n), float64(shared)/float64(m)
	return Agreement{Precision: p, Recall: r, F: 2 * p * r / (p + r)}
}

// sharedNgrams counts the n-grams of one order that two lists of words share, each as often as it is in both.
func sharedNgrams(a, b []int32, order int) (shared int) {
	available := map[ngram]int{}
	for i := range len(b) - order + 1 {
		var g ngram
		copy(g[:], b[i:i+order])
		available[g]++
	}
	for i := range len(a) - order + 1 {
		var g ngram
		copy(g[:], a[i:i+order])
		if available[g] > 0 {
			available[g]--
			shared++
		}
	}
	return shared
}

// unionHits counts the words of the reference that are in the longest common subsequence of their line with any line of
// the text, each at most as often as it is in both. Words are numbered from 1 to words.
func unionHits(hyp, ref [][]int32, words int) (hits int) {
	// As all words of the reference are visited at most once, only the text's can run out.
	left := make([]int, words+1)
	sequences := make([]*sequence, len(hyp))
	for i, line := range hyp {
		sequences[i] = newSequence(line)
		for _, w := range line {
			left[w]++
		}
	}
	for _, line := range ref {
		marked := make([]bool, len(line))
		for _, s := range sequences {
			s.mark(line, marked)
		}
		for i, w := range line {
			if marked[i] && left[w] > 0 {
				left[w]--
				hits++
			}
		}
	}
	return hits
}

// lines are the lines of a text as stemmed words.
func lines(ids vocabulary, text string) [][]int32 {
	var all [][]int32
	for line := range strings.SplitSeq(text, "\n") {
		if words := stemmedWords(line); len(words) > 0 {
			all = append(all, ids.of(words))
		}
	}
	return all
}

func flatten(lines [][]int32) []int32 {
	var all []int32
	for _, l := range lines {
		all = append(all, l...)
	}
	return all
}

// stemmedWords are the runs of ASCII letters and digits in lower case, those longer than 3 stemmed.
func stemmedWords(text string) []string {
	// Python's lower case of İ is i and a combining dot, which ends the word; Go's is i.
	text = strings.ToLower(strings.ReplaceAll(text, "İ", "i\u0307"))
	words := strings.FieldsFunc(text, func(r rune) bool { return !('a' <= r && r <= 'z' || '0' <= r && r <= '9') })
	for i, w := range words {
		if len(w) > 3 {
			words[i] = stem(w)
		}
	}
	return words
}
