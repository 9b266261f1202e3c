package main

import (
	"context"
	"fmt"

	"github.com/bitdistill/bitdistill/distill"
	"github.com/bitdistill/bitdistill/distill/data"
	"github.com/spf13/cobra"
)

type perplexityFlags struct {
	judgeFlags
	length    int
	stride    int
	maxTokens int64
}

// perplexityReport is what perplexity writes as JSON.
type perplexityReport struct {
	Perplexity float64 `json:"perplexity"`
	NLL        float64 `json:"nll"`    // nats a token
	Tokens     int     `json:"tokens"` // predictions
	Stride     int     `json:"stride,omitempty"`
	Engine     string  `json:"engine"`
	Model      string  `json:"model"` // as it was named
	Data       string  `json:"data"`  // the same
}

func (c *cli) perplexityCommand() *cobra.Command {
	f := &perplexityFlags{}
	cmd := &cobra.Command{
		Use:   "perplexity",
		Short: "Measure how well a model predicts a text",
		Long: `perplexity tokenizes a text once as a whole, with the token that the model puts in
front, and cuts it into windows that do not overlap; an incomplete last one is dropped.
Every token of a window but its first is predicted, and the mean is over all of them.

With --stride N, windows begin N tokens apart and overlap: each token of the text is
predicted once, by the first window that holds it, so that at least the length less N
tokens stand in front of it, but at the text's beginning; those without any are not. The
last window may be shorter.

--json is one object: perplexity, nll (nats a token), tokens (predictions), stride if one
was given, engine, and model and data as they were named.`,
		Example: `  bitdistill perplexity --model embedded --data tinystories.txt.gz --length 256 --max-tokens 2048
  bitdistill perplexity --model RUN --data wiki.test.raw --json
  bitdistill perplexity --model student.gguf --engine packed --data wiki.test.raw
  bitdistill perplexity --model RUN --data wiki.test.raw --length 1024 --stride 512`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return c.perplexity(cmd.Context(), f) },
	}
	f.register(cmd)
	flags := cmd.Flags()
	flags.StringVar(&f.data, "data", "", "text `FILE`, also .gz, or embedded")
	flags.IntVar(&f.length, "length", 512, "tokens of a window")
	flags.IntVar(&f.stride, "stride", 0, "tokens from one window to the next, so that windows overlap (default: they do not)")
	flags.Int64Var(&f.maxTokens, "max-tokens", 0, "only the first `N` tokens of the text")
	flags.IntVar(&f.batchSize, "batch-size", 16, "windows computed at once by the graph; fewer where their logits would take too much memory")
	return cmd
}

func (c *cli) perplexity(ctx context.Context, f *perplexityFlags) error {
	switch {
	case f.data == "":
		return inputf("--data: missing; name a text file")
	case data.IsTokenized(f.data):
		return inputf("--data: %s is a corpus that was tokenized; perplexity reads text: name the file that it was made from", f.data)
	case f.batchSize == 0:
		return inputf("--batch-size: 0, want a positive number")
	case f.maxTokens < 0:
		return inputf("--max-tokens: %d, want a positive number", f.maxTokens)
	}
	m, err := c.openSubject(ctx, &f.judgeFlags)
	if err != nil {
		return err
	}
	defer m.Close()
	if err := fits(m.Model, "--length", f.length); err != nil {
		return err
	}
	if f.stride < 0 || f.stride > f.length {
		return inputf("--stride: %d tokens, want 1 to %d, the length of a window", f.stride, f.length)
	}
	text, err := data.ReadCorpus(ctx, []data.File{distill.OpenText(f.data)}, m.Tokenizer,
		data.CorpusOptions{Length: f.length, Stride: f.stride, MaxTokens: f.maxTokens, Whole: true})
	if err != nil {
		return distill.ReadFault(ctx, err)
	}
	p, err := m.text(ctx, text)
	if err != nil {
		return err
	}
	if f.json {
		return c.writeJSON(perplexityReport{p.Perplexity, p.NLL, p.Tokens, f.stride, f.engine, f.model, f.data}, "")
	}
	_, err = fmt.Fprintf(c.out, "perplexity %.4f (%.6f nats a token) of %d tokens, in %.1f s on %s\n", p.Perplexity, p.NLL, p.Tokens, p.Seconds, f.where(m))
	return err
}
