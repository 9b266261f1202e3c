package data

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"
)

// Speller turns token ids back into text.
type Speller interface {
	Decode(ids []int32) string             // special tokens are left out
	Token(id int32) (text string, ok bool) // the vocabulary's own spelling
}

// Show writes the first n examples token by token, with what a loss counts set off from what it does not: in green with colour, else
// in brackets, the others having a bar behind them. Characters that cannot be seen are written as in Go, such as \n.
func (e *Examples) Show(w io.Writer, n int, spell Speller, colour bool) error {
	out := bufio.NewWriter(w)
	for i := range min(n, e.Len()) {
		ids := append(append([]int32{}, e.Prompt(i)...), e.Answer(i)...)
		b := newBatch(1, len(ids), e.pad) // what training gets, so that nothing else is shown
		b.set(0, e.Prompt(i), e.Answer(i))
		fmt.Fprintf(out, "%s:%d: %d tokens, of which the loss counts %d\n", e.File, e.Line(i), b.Tokens, b.Counted())
		for t := range ids {
			text := visible(spelling(b.IDs, t, spell))
			switch counted := b.Labels[t] != NoLabel; {
			case counted && colour:
				fmt.Fprintf(out, "\x1b[30;42m%s\x1b[0m\x1b[2m|\x1b[0m", text)
			case counted:
				fmt.Fprintf(out, "[%s]", text)
			case colour:
				fmt.Fprintf(out, "%s\x1b[2m|\x1b[0m", text)
			default:
				fmt.Fprintf(out, "%s|", text)
			}
		}
		out.WriteString("\n\n")
	}
	return out.Flush()
}

// spelling is what token t adds to a text. Parts of characters and special tokens are spelled as in the vocabulary.
func spelling(ids []int32, t int, spell Speller) string {
	before := ids[max(0, t-1):t] // a tokenizer may treat the first token of a text in another way
	text, follows := strings.CutPrefix(spell.Decode(ids[max(0, t-1):t+1]), spell.Decode(before))
	if follows && text != "" && !strings.ContainsRune(text, unicode.ReplacementChar) {
		return text
	}
	if token, ok := spell.Token(ids[t]); ok {
		return token
	}
	return fmt.Sprintf("<%d>", ids[t])
}

// visible escapes what a terminal would obey, or not show.
func visible(text string) string {
	var b strings.Builder
	for _, r := range text {
		if unicode.IsGraphic(r) {
			b.WriteRune(r)
		} else {
			b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
		}
	}
	return b.String()
}
