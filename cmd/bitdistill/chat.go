package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/bitdistill/bitdistill/bitnet/hf/chat"
	"github.com/bitdistill/bitdistill/bitnet/hf/files"
	"github.com/bitdistill/bitdistill/bitnet/infer"
	"github.com/bitdistill/bitdistill/distill"
	"github.com/spf13/cobra"
)

// chatContext is the default of --context.
const chatContext = 4096

type chatFlags struct {
	engineFlags
	samplingFlags
	system  string
	context int
	stats   bool
}

func (c *cli) chatCommand() *cobra.Command {
	f := &chatFlags{}
	cmd := &cobra.Command{
		Use:   "chat [MODEL]",
		Short: "Talk with a model",
		Long: `chat reads what you say, a line at a time, and writes the model's answers. The model has
to have a chat template, which puts the conversation into the form that it was trained
for. Of a conversation that goes on, only what is new is computed.

/reset begins a new conversation, /exit or the end of the input ends the program, and so
does Ctrl-C, also in the middle of an answer. Where a conversation has taken all of
--context, the answer ends there, and /reset makes room.

With input that is no terminal, stdout has the answers alone.`,
		Example: `  bitdistill chat --model smollm2-instruct.gguf
  bitdistill chat --model RUN --system "Answer in one sentence." --temperature 0.7
  echo "What is a bit?" | bitdistill chat --model RUN --max-tokens 100`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := noArguments(cmd, f.take(args)); err != nil {
				return wrongInput{err}
			}
			return c.chat(cmd.Context(), f, cmd.InOrStdin())
		},
	}
	cmd.Flags().SortFlags = false
	f.registerModel(cmd)
	cmd.Flags().StringVar(&f.system, "system", "", "`TEXT` in front of the conversation that says how to answer")
	f.samplingFlags.register(cmd, 1024)
	cmd.Flags().IntVar(&f.context, "context", 0, fmt.Sprintf("tokens of a conversation (default: what the model was made for, at most %d)", chatContext))
	f.registerEngine(cmd)
	cmd.Flags().BoolVar(&f.stats, "stats", false, "say how fast it was")
	return cmd
}

// conversation is one with a model.
type conversation struct {
	*cli
	flags    *chatFlags
	model    *distill.Packed
	template *files.Chat
	sequence *infer.Sequence
	room     int
	options  infer.GenerateOptions
	messages []chat.Message
}

func (c *cli) chat(ctx context.Context, f *chatFlags, stdin io.Reader) error {
	if _, err := f.samplingFlags.options(); err != nil {
		return err
	}
	m, err := f.open(ctx, c.log)
	if err != nil {
		return err
	}
	defer m.Close()
	t := &conversation{cli: c, flags: f, model: m}
	if err := t.begin(ctx); err != nil {
		return err
	}
	terminal := isTerminal(stdin)
	if terminal {
		fmt.Fprintf(c.log, "%s, up to %d tokens; /reset begins anew, /exit ends\n", t.template.Source, t.room)
	}
	lines, failed := readLines(ctx, stdin)
	for {
		if terminal {
			fmt.Fprint(c.log, "> ")
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case line, open := <-lines:
			if !open {
				return *failed
			}
			if terminal && !utf8.ValidString(line) { // a slip of the keyboard; in a script, answers would go by other questions
				fmt.Fprintln(c.log, "bitdistill: that was not UTF-8; say it again")
				continue
			}
			if done, err := t.hear(ctx, line); done || err != nil {
				return err
			}
		}
	}
}

// begin finds the template and makes room.
func (t *conversation) begin(ctx context.Context) (err error) {
	if t.template, err = t.model.Chat(ctx); err != nil {
		return distill.ReadFault(ctx, err)
	}
	if t.template == nil {
		return inputf("%s: the model has no chat template, so it was made for texts rather than conversations; generate continues a text with it", t.flags.model)
	}
	most := t.model.Config.MaxPositions
	if t.room = t.flags.context; t.room == 0 {
		t.room = min(most, chatContext)
	}
	if t.room < 2 || t.room > most {
		return inputf("--context: %d tokens, want 2 to %d: what the model was made for (max_position_embeddings)", t.room, most)
	}
	if t.options, err = t.flags.samplingFlags.options(append(ends(t.model), t.template.End)...); err != nil {
		return err
	}
	if err := checkText("--system", t.flags.system); err != nil {
		return err
	}
	t.reset()
	t.sequence, err = t.model.NewSequence(t.room)
	return err
}

func (t *conversation) reset() {
	t.messages = nil
	if t.flags.system != "" {
		t.messages = []chat.Message{{Role: "system", Content: t.flags.system}}
	}
}

// hear obeys or answers a line.
func (t *conversation) hear(ctx context.Context, line string) (done bool, err error) {
	switch line = strings.TrimSpace(line); {
	case line == "":
		return false, nil
	case line == "/exit":
		return true, nil
	case line == "/reset":
		t.reset()
		return false, nil
	case strings.HasPrefix(line, "/") && !strings.Contains(line, " "):
		fmt.Fprintf(t.log, "bitdistill: %s is not known; /reset and /exit are\n", line)
		return false, nil
	}
	if err := checkText("standard input", line); err != nil {
		return false, err
	}
	return false, t.answer(ctx, line)
}

// answer adds a question and the model's answer to the conversation.
func (t *conversation) answer(ctx context.Context, question string) error {
	asked := append(t.messages, chat.Message{Role: "user", Content: question})
	text, err := t.template.Template.Render(ctx, asked, true)
	if err != nil {
		return distill.ReadFault(ctx, err)
	}
	ids := t.model.Tokenizer.Encode(text)
	o := t.options
	if left := t.room - len(ids) + 1; left < 1 {
		fmt.Fprintf(t.log, "bitdistill: the context is full: the conversation takes %d tokens with this question, and there is room for %d; /reset begins a new one, or ask less\n", len(ids), t.room)
		return nil
	} else {
		o.MaxTokens = min(o.MaxTokens, left)
	}
	var said strings.Builder
	w := newTextWriter(io.MultiWriter(t.out, &said), t.model.Tokenizer, nil, t.flags.stop)
	finish, fast, err := writeText(ctx, t.sequence, ids, o, w)
	answer := said.String()
	err = errors.Join(err, w.line())
	if t.flags.stats && fast.tokens > 0 {
		fmt.Fprintln(t.log, fast)
	}
	if err != nil {
		return err
	}
	if finish == finishLength && o.MaxTokens < t.flags.maxTokens {
		fmt.Fprintf(t.log, "bitdistill: the context is full: the answer ends at %d tokens of conversation; /reset begins a new one\n", t.room)
	}
	t.messages = append(asked, chat.Message{Role: "assistant", Content: strings.TrimSpace(answer)})
	return nil
}

// readLines reads lines until there are no more; failed then says why, if not for the end of the input. Reading cannot be interrupted, so
// that it is left where it is when ctx ends.
func readLines(ctx context.Context, in io.Reader) (lines <-chan string, failed *error) {
	to, failed := make(chan string), new(error)
	go func() {
		defer close(to)
		scanner := bufio.NewScanner(in)
		scanner.Buffer(nil, maxStdin)
		for scanner.Scan() {
			select {
			case to <- scanner.Text():
			case <-ctx.Done():
				return
			}
		}
		if err := scanner.Err(); err != nil {
			*failed = inputf("standard input: %w", err)
		}
	}()
	return to, failed
}
