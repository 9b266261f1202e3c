package overlap

import (
	"slices"
	"strings"
)

// irregular words that no rule stems as one would.
var irregular = map[string]string{
	"sky": "sky", "skies": "sky", "dying": "die", "lying": "lie", "tying": "tie", "news": "news", "innings": "inning",
	"inning": "inning", "outings": "outing", "outing": "outing", "cannings": "canning", "canning": "canning",
	"howe": "howe", "proceed": "proceed", "exceed": "exceed", "succeed": "succeed",
}

// rule replaces the end of a word. In a list of rules the first whose suffix fits decides, so that longer ones come first.
type rule struct{ suffix, replacement string }

var step2Rules = []rule{
	{"ational", "ate"}, {"tional", "tion"}, {"enci", "ence"}, {"anci", "ance"}, {"izer", "ize"}, {"bli", "ble"},
	{"entli", "ent"}, {"eli", "e"}, {"ousli", "ous"}, {"ization", "ize"}, {"ation", "ate"}, {"ator", "ate"},
	{"alism", "al"}, {"iveness", "ive"}, {"fulness", "ful"}, {"ousness", "ous"}, {"aliti", "al"}, {"iviti", "ive"},
	{"biliti", "ble"}, {"fulli", "ful"},
}

var step3Rules = []rule{
	{"icate", "ic"}, {"ative", ""}, {"alize", "al"}, {"iciti", "ic"}, {"ical", "ic"}, {"ful", ""}, {"ness", ""},
}

var step4Rules = []rule{
	{"al", ""}, {"ance", ""}, {"ence", ""}, {"er", ""}, {"ic", ""}, {"able", ""}, {"ible", ""}, {"ant", ""},
	{"ement", ""}, {"ment", ""}, {"ent", ""}, {"ou", ""}, {"ism", ""}, {"ate", ""}, {"iti", ""}, {"ous", ""},
	{"ive", ""}, {"ize", ""},
}

// stem strips the suffixes of an English word in lower-case ASCII of more than two letters: M. F. Porter, An algorithm for
// suffix stripping, Program 14(3), 1980, with the changes that NLTK's PorterStemmer makes by default.
func stem(word string) string {
	if s, ok := irregular[word]; ok {
		return s
	}
	word = step1c(step1b(step1a(word)))
	word = replaceSuffix(step2(word), step3Rules, 1)
	return step5(step4(word))
}

// step1a takes off the plural. That ties, with four letters, becomes tie and not ti is NLTK's.
func step1a(word string) string {
	switch {
	case strings.HasSuffix(word, "sses"), strings.HasSuffix(word, "ies") && len(word) > 4:
		return word[:len(word)-2]
	case strings.HasSuffix(word, "s") && !strings.HasSuffix(word, "ss"):
		return word[:len(word)-1]
	}
	return word
}

// step1b takes off -ed and -ing and mends what is left. The rule of -ied is NLTK's, as the one of -ies above.
func step1b(word string) string {
	if s, ok := strings.CutSuffix(word, "ied"); ok {
		if len(s) == 1 {
			return s + "ie"
		}
		return s + "i"
	}
	if s, ok := strings.CutSuffix(word, "eed"); ok {
		if shapeOf(s).measure > 0 {
			return s + "ee"
		}
		return word
	}
	for _, suffix := range []string{"ed", "ing"} {
		if s, ok := strings.CutSuffix(word, suffix); ok && shapeOf(s).hasVowel {
			return mend(s)
		}
	}
	return word
}

// mend gives the word back the e that fell away before -ed or -ing, and takes the letter that was doubled.
func mend(word string) string {
	for _, s := range []string{"at", "bl", "iz"} {
		if strings.HasSuffix(word, s) {
			return word + "e"
		}
	}
	n, shape := len(word), shapeOf(word)
	switch {
	case n > 1 && word[n-1] == word[n-2] && !shape.vowel[0]:
		if strings.IndexByte("lsz", word[n-1]) < 0 {
			return word[:n-1]
		}
	case shape.measure == 1 && shape.endsShort:
		return word + "e"
	}
	return word
}

// step1c turns y into i. Porter asks for a vowel somewhere before it, NLTK for a consonant right before it, and not the
// first letter.
func step1c(word string) string {
	if s, ok := strings.CutSuffix(word, "y"); ok && len(s) > 1 && !shapeOf(s).vowel[0] {
		return s + "i"
	}
	return word
}

// step2 shortens double suffixes. NLTK's are what becomes of -alli (stemmed once more) and -logi (its l belongs to the
// stem), and -fulli.
func step2(word string) string {
	if s, ok := strings.CutSuffix(word, "alli"); ok && shapeOf(s).measure > 0 {
		return step2(s + "al")
	}
	if s, ok := strings.CutSuffix(word, "ogi"); ok && strings.HasSuffix(s, "l") && shapeOf(s).measure > 0 {
		return s + "og"
	}
	return replaceSuffix(word, step2Rules, 1)
}

func step4(word string) string {
	if s, ok := strings.CutSuffix(word, "ion"); ok {
		if shapeOf(s).measure > 1 && (strings.HasSuffix(s, "s") || strings.HasSuffix(s, "t")) {
			return s
		}
		return word
	}
	return replaceSuffix(word, step4Rules, 2)
}

func step5(word string) string {
	if s, ok := strings.CutSuffix(word, "e"); ok {
		if shape := shapeOf(s); shape.measure > 1 || shape.measure == 1 && !shape.endsShort {
			word = s
		}
	}
	if s := word[:len(word)-1]; strings.HasSuffix(word, "ll") && shapeOf(s).measure > 1 {
		word = s
	}
	return word
}

// replaceSuffix applies the first rule that fits, if what stands before the suffix has at least the given measure.
func replaceSuffix(word string, rules []rule, measure int) string {
	i := slices.IndexFunc(rules, func(r rule) bool { return strings.HasSuffix(word, r.suffix) })
	if i < 0 {
		return word
	}
	s := strings.TrimSuffix(word, rules[i].suffix)
	if shapeOf(s).measure < measure {
		return word
	}
	return s + rules[i].replacement
}

// shape is what the rules ask about the letters of a stem.
type shape struct {
	measure   int     // Porter's m: how often a consonant follows a vowel
	hasVowel  bool    // anywhere
	vowel     [3]bool // of the last, the last but one and the last but two letters
	endsShort bool    // ends consonant, vowel, consonant, but not in w, x, y; or is vowel, consonant, which is NLTK's
}

// shapeOf reads a stem. A y is a vowel behind a consonant only.
func shapeOf(stem string) (s shape) {
	n := len(stem)
	for i := range n {
		v := strings.IndexByte("aeiou", stem[i]) >= 0 || stem[i] == 'y' && i > 0 && !s.vowel[0]
		if !v && s.vowel[0] {
			s.measure++
		}
		s.hasVowel = s.hasVowel || v
		s.vowel = [3]bool{v, s.vowel[0], s.vowel[1]}
	}
	vowelThenConsonant := s.vowel[1] && !s.vowel[0]
	s.endsShort = vowelThenConsonant && (n == 2 || n > 2 && !s.vowel[2] && strings.IndexByte("wxy", stem[n-1]) < 0)
	return s
}
