package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/bitdistill/bitdistill/bitnet/infer"
	"github.com/bitdistill/bitdistill/distill"
	"github.com/spf13/cobra"
)

type generateFlags struct {
	engineFlags
	samplingFlags
	prompt      string
	stats, json bool
}

// generateReport is what generate writes as JSON.
type generateReport struct {
	Text          string  `json:"text"`
	PromptTokens  int     `json:"prompt_tokens"`
	Tokens        int     `json:"tokens"`         // written
	Finish        string  `json:"finish"`         // end: the model's, stop: a text to stop at, length: as many tokens as were allowed, interrupted: by Ctrl-C
	OpenSeconds   float64 `json:"open_seconds"`   // of opening the model
	PromptSeconds float64 `json:"prompt_seconds"` // from there to the first token
	Seconds       float64 `json:"seconds"`        // from there to the last
	Model         string  `json:"model"`          // as it was named
}

// Why a text ended.
const (
	finishEnd    = "end"
	finishStop   = "stop"
	finishLength = "length"

	finishInterrupted = "interrupted"
)

func (c *cli) generateCommand() *cobra.Command {
	f := &generateFlags{}
	cmd := &cobra.Command{
		Use:   "generate [MODEL [PROMPT]]",
		Short: "Have a model continue a text",
		Long: `generate has a model continue a prompt, and writes what it adds, as it comes. The prompt
is PROMPT, that of --prompt, or what stands on standard input. It is taken as it is, with
the token in front that the model puts there; chat puts a conversation into the form that
a model was trained for.

The likeliest token is taken each time; with --temperature tokens are drawn, and the same
--seed draws the same ones. The text ends with the model's end token (or the one that begins a text), in front of a text
of --stop, or after --max-tokens. Ctrl-C ends it too, and leaves what was written.

Speeds go to standard error in a terminal, or with --stats. --json is one object: text,
prompt_tokens, tokens, finish (end, stop, length or interrupted), open_seconds, prompt_seconds (up to
the first token), seconds (from there on) and model.`,
		Example: `  bitdistill generate --model student.gguf --prompt "Once upon a time" --max-tokens 64
  bitdistill generate embedded "Once upon a time" --temperature 0.8 --top-p 0.9 --seed 7
  bitdistill generate --model student.gguf --stop "The end" < beginning.txt`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.generate(cmd.Context(), f, args, cmd.InOrStdin(), cmd.Flags().Changed("prompt"), cmd.Flags().Changed("max-tokens"))
		},
	}
	cmd.Flags().SortFlags = false
	f.registerModel(cmd)
	cmd.Flags().StringVar(&f.prompt, "prompt", "", "`TEXT` to continue (default: standard input)")
	f.samplingFlags.register(cmd, 256)
	f.registerEngine(cmd)
	cmd.Flags().BoolVar(&f.stats, "stats", false, "say how fast it was")
	jsonFlag(cmd, &f.json)
	return cmd
}

func (c *cli) generate(ctx context.Context, f *generateFlags, args []string, stdin io.Reader, prompted, limited bool) error {
	prompt, err := f.read(args, stdin, prompted)
	if err != nil {
		return err
	}
	if _, err := f.samplingFlags.options(); err != nil {
		return err
	}
	began := time.Now()
	m, err := f.open(ctx, c.log)
	if err != nil {
		return err
	}
	defer m.Close()
	opened := time.Since(began)
	ids := withBOS(m, prompt)
	most := m.Config.MaxPositions
	switch left := most - len(ids) + 1; {
	case len(ids) == 0:
		return inputf("the prompt is empty, and the model has no token that begins a text; give it a word to begin with")
	case left < 1:
		return inputf("the prompt takes %d tokens, and the model was made for %d (max_position_embeddings); shorten it", len(ids), most)
	case left < f.maxTokens && limited:
		return inputf("--max-tokens: %d, but behind a prompt of %d tokens there is room for %d (max_position_embeddings %d)", f.maxTokens, len(ids), left, most)
	default:
		f.maxTokens = min(f.maxTokens, left)
	}
	o, err := f.samplingFlags.options(ends(m)...)
	if err != nil {
		return err
	}
	s, err := m.NewSequence(len(ids) + f.maxTokens - 1)
	if err != nil {
		return err
	}
	var text strings.Builder
	to := io.Writer(c.out)
	if f.json {
		to = &text
	}
	w := newTextWriter(to, m.Tokenizer, ids, f.stop)
	finish, fast, err := writeText(ctx, s, ids, o, w)
	if !f.json && fast.tokens > 0 {
		err = errors.Join(err, w.line())
	}
	if (f.stats || isTerminal(c.log)) && fast.tokens > 0 {
		fmt.Fprintf(c.log, "model opened in %s, %s\n", milliseconds(opened), fast)
	}
	if !f.json || err != nil && finish != finishInterrupted {
		return err
	}
	return errors.Join(err, c.writeJSON(generateReport{text.String(), fast.prompt, fast.tokens, finish,
		opened.Seconds(), fast.read.Seconds(), fast.wrote.Seconds(), f.model}, ""))
}

// read finds the prompt.
func (f *generateFlags) read(args []string, stdin io.Reader, prompted bool) (string, error) {
	args = f.take(args)
	switch {
	case f.model == "":
		return "", inputf("--model: missing; name a file that bitdistill export made, a run folder or a model's folder")
	case prompted && len(args) > 0:
		return "", inputf("%q: the prompt is that of --prompt already", args[0])
	case prompted:
		return f.prompt, checkText("--prompt", f.prompt)
	case len(args) > 0:
		text := strings.Join(args, " ")
		return text, checkText("the prompt", text)
	case isTerminal(stdin):
		return "", inputf("--prompt: missing; name a text to continue, or give it on standard input")
	}
	return readText(stdin)
}

// maxStdin bounds a prompt, bytes.
const maxStdin = 16 << 20

// readText takes standard input as one text, without the end of its last line.
func readText(in io.Reader) (string, error) {
	raw, err := io.ReadAll(io.LimitReader(in, maxStdin+1))
	text := strings.TrimSuffix(strings.TrimSuffix(string(raw), "\n"), "\r")
	switch {
	case err != nil:
		return "", fmt.Errorf("standard input: %w", err)
	case len(raw) > maxStdin:
		return "", inputf("standard input: is longer than %d MiB; no prompt is", maxStdin>>20)
	case text == "":
		return "", inputf("standard input: is empty; it should be the text to continue, or name one with --prompt")
	}
	return text, checkText("standard input", text)
}

// checkText refuses what is no text.
func checkText(what, text string) error {
	if utf8.ValidString(text) {
		return nil
	}
	at := 0
	for {
		r, n := utf8.DecodeRuneInString(text[at:])
		if r == utf8.RuneError && n == 1 {
			return inputf("%s: byte %d is not UTF-8; convert the text first", what, at)
		}
		at += n
	}
}

// ends are the tokens behind a text: its end, or the beginning of another one, which stands there in some corpora instead.
func ends(m *distill.Packed) (ids []int32) {
	for _, token := range []func() (int32, bool){m.Tokenizer.EOS, m.Tokenizer.BOS} {
		if id, ok := token(); ok {
			ids = append(ids, id)
		}
	}
	return ids
}

// withBOS are the tokens of a text, with the one in front that the model wants.
func withBOS(m *distill.Packed, text string) []int32 {
	var ids []int32
	if id, ok := m.Tokenizer.BOS(); ok {
		ids = append(ids, id)
	}
	return append(ids, m.Tokenizer.Encode(text)...)
}

// writeText has a sequence continue a prompt, and says why the text ended. What was written before an error stands there, whole.
func writeText(ctx context.Context, s *infer.Sequence, prompt []int32, o infer.GenerateOptions, w *textWriter) (finish string, fast pace, err error) {
	began := time.Now()
	var first time.Time
	fast.prompt = len(prompt)
	ids, err := s.Generate(ctx, prompt, o, func(id int32) error {
		if fast.tokens++; fast.tokens == 1 {
			first = time.Now()
			fast.read = first.Sub(began)
		}
		return w.add(id)
	})
	if !first.IsZero() {
		fast.wrote = time.Since(first)
	}
	finish = finishEnd
	switch {
	case errors.Is(err, errStop):
		finish, err = finishStop, nil
	case ctx.Err() != nil && fast.tokens > 0:
		finish = finishInterrupted
	case len(ids) == o.MaxTokens:
		finish = finishLength
	}
	if finish != finishStop {
		err = errors.Join(err, w.end())
	}
	return finish, fast, err
}
