package main

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/bitdistill/bitdistill/bitnet/hf/files"
	"github.com/bitdistill/bitdistill/bitnet/infer"
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// samplingFlags are the flags of commands that write text.
type samplingFlags struct {
	temperature, topP float64
	topK, maxTokens   int
	seed              uint64
	stop              []string
}

func (f *samplingFlags) register(cmd *cobra.Command, maxTokens int) {
	flags := cmd.Flags()
	flags.IntVar(&f.maxTokens, "max-tokens", maxTokens, "tokens to write at most")
	flags.Float64Var(&f.temperature, "temperature", 0, "logits are divided by it; 0 takes the likeliest token each time")
	flags.IntVar(&f.topK, "top-k", 0, "draw from the `K` likeliest tokens only; 0 for all")
	flags.Float64Var(&f.topP, "top-p", 0, "draw from the likeliest tokens that have the probability `P` together; 0 for all")
	flags.Uint64Var(&f.seed, "seed", 1, "of what is drawn")
	flags.StringArrayVar(&f.stop, "stop", nil, "end in front of `TEXT`, should it be written; may be repeated")
}

// options checks the flags. Stop strings are not among them: a textWriter ends at those.
func (f *samplingFlags) options(end ...int32) (infer.GenerateOptions, error) {
	o := infer.GenerateOptions{MaxTokens: f.maxTokens, Temperature: f.temperature, TopK: f.topK, TopP: f.topP, Seed: f.seed, End: end}
	switch {
	case f.maxTokens < 1:
		return o, inputf("--max-tokens: %d, want at least 1", f.maxTokens)
	case !(f.temperature >= 0) || math.IsInf(f.temperature, 0):
		return o, inputf("--temperature: %g, want 0 or more", f.temperature)
	case f.topK < 0:
		return o, inputf("--top-k: %d, want 0 or more", f.topK)
	case !(f.topP >= 0 && f.topP <= 1):
		return o, inputf("--top-p: %g, want 0 to 1", f.topP)
	}
	for _, text := range f.stop {
		if text == "" {
			return o, inputf("--stop: is empty; name the text to end in front of")
		}
	}
	return o, nil
}

// errStop ends a text at a stop string.
var errStop = errors.New("a text to stop at was written")

// textWriter writes tokens as text as soon as it is certain what they spell: not in the middle of a character, and not what
// may be the beginning of a stop string.
type textWriter struct {
	to   io.Writer
	tok  *files.Tokenizer
	stop []string

	ids          []int32
	first, known int    // what is decoded next to what: a token may look different at the beginning of a text
	held         string // may be the beginning of a stop string
	last         byte   // written
}

// promptTail is how many tokens of a prompt decide how the first one behind it looks.
const promptTail = 8

func newTextWriter(to io.Writer, tok *files.Tokenizer, prompt []int32, stop []string) *textWriter {
	ids := append([]int32(nil), prompt[max(0, len(prompt)-promptTail):]...)
	return &textWriter{to: to, tok: tok, stop: stop, ids: ids, known: len(ids)}
}

// add takes one more token. It returns errStop behind a stop string.
func (w *textWriter) add(id int32) error {
	w.ids = append(w.ids, id)
	text := w.fresh()
	if strings.HasSuffix(text, string(utf8.RuneError)) { // part of a character
		return nil
	}
	w.first, w.known = w.known, len(w.ids)
	return w.emit(text)
}

// fresh is what the tokens since known spell.
func (w *textWriter) fresh() string {
	text, before := w.tok.Decode(w.ids[w.first:]), w.tok.Decode(w.ids[w.first:w.known])
	return text[min(len(before), len(text)):]
}

func (w *textWriter) emit(text string) error {
	w.held += text
	for _, s := range w.stop {
		if before, _, found := strings.Cut(w.held, s); found {
			w.held = ""
			if err := w.write(before); err != nil {
				return err
			}
			return errStop
		}
	}
	keep := 0
	for _, s := range w.stop {
		for n := min(len(s)-1, len(w.held)); n > keep; n-- {
			if strings.HasSuffix(w.held, s[:n]) {
				keep = n
			}
		}
	}
	text, w.held = w.held[:len(w.held)-keep], w.held[len(w.held)-keep:]
	return w.write(text)
}

func (w *textWriter) write(text string) error {
	if text == "" {
		return nil
	}
	w.last = text[len(text)-1]
	_, err := io.WriteString(w.to, text)
	return err
}

// end writes what was held back.
func (w *textWriter) end() error {
	text := w.held + w.fresh()
	w.held, w.known = "", len(w.ids)
	return w.write(text)
}

// line ends the line.
func (w *textWriter) line() error {
	if w.last == '\n' {
		return nil
	}
	return w.write("\n")
}

// pace is how fast a text was read and written.
type pace struct {
	prompt, tokens int
	read, wrote    time.Duration // up to the first token, and from there on
}

func (s pace) String() string {
	text := fmt.Sprintf("%d tokens read in %s", s.prompt, milliseconds(s.read))
	if s.prompt > 1 {
		text += fmt.Sprintf(" (%.0f tokens/s)", float64(s.prompt)/s.read.Seconds())
	}
	text += fmt.Sprintf(", %d written in %s", s.tokens, milliseconds(s.wrote))
	if s.tokens > 1 && s.wrote > 0 {
		text += fmt.Sprintf(" (%.1f tokens/s)", float64(s.tokens-1)/s.wrote.Seconds())
	}
	return text
}

func milliseconds(d time.Duration) string { return fmt.Sprintf("%.1f ms", 1e3*d.Seconds()) }

// isTerminal reports whether a stream of the program is one.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
