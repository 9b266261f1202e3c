package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/bitdistill/bitdistill/distill"
	"github.com/bitdistill/bitdistill/distill/data"
	"github.com/spf13/cobra"
)

type tokenizeFlags struct {
	model, out, shard, fallback string
	corpus                      []string
	merge, keep, json           bool
}

func (c *cli) tokenizeCommand() *cobra.Command {
	f := &tokenizeFlags{}
	cmd := &cobra.Command{
		Use:   "tokenize",
		Short: "Tokenize a corpus once, for runs to read",
		Long: `tokenize turns a corpus into a folder of token ids, which run takes for --corpus in place
of the text. Runs then begin at once, hold nothing of it in memory, and shuffle all of it.

What was stopped goes on with the same command. With --shard, several processes share
the work, on one machine or on several that see the folder; --merge then makes the corpus
of what they left. The result depends on the files and the tokenizer alone.`,
		Example: `  bitdistill tokenize --model SmolLM2-135M --corpus text/ --out text.tokens
  bitdistill tokenize --model SmolLM2-135M --corpus 'web-*.jsonl.zst' --out web.tokens --shard 2/8
  bitdistill tokenize --out web.tokens --merge
  bitdistill tokenize --model SmolLM2 --corpus hf:tiiuae/falcon-refinedweb --out web.tokens
  bitdistill tokenize --model SmolLM2 --corpus hf:Salesforce/wikitext/wikitext-103-raw-v1/train --fallback-corpus wiki/ --out wiki.tokens
  bitdistill run --model SmolLM2-135M --corpus web.tokens ...`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.withAdvice(c.tokenize(cmd.Context(), f)) },
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&f.model, "model", "", "`FOLDER` of the model whose tokenizer is used, a hub id, or "+distill.Embedded)
	flags.StringArrayVar(&f.corpus, "corpus", nil, "`FILE` of text or JSONL, also .gz and .zst, or Parquet, a folder, a pattern, or hf:owner/name of the hub; may be repeated")
	flags.StringVar(&f.fallback, "fallback-corpus", "", "local corpus `FILE` or folder, in place of --corpus where the hub cannot be reached")
	flags.StringVar(&f.out, "out", "", "`FOLDER` to write to")
	flags.StringVar(&f.shard, "shard", "", "do only part `I/N` of the work, from 1/N to N/N; nothing is merged")
	flags.BoolVar(&f.merge, "merge", false, "make the corpus of what all shards left")
	flags.BoolVar(&f.keep, "keep-shards", false, "leave files of the hub in the cache; else those that were not there go once they are read")
	jsonFlag(cmd, &f.json)
	return cmd
}

func (c *cli) tokenize(ctx context.Context, f *tokenizeFlags) error {
	only := f.merge && f.model == "" && len(f.corpus) == 0 && f.shard == ""
	shard, shards, err := parseShard(f.shard)
	switch {
	case err != nil:
		return err
	case f.out == "":
		return inputf("--out: missing; name a folder to write to")
	case only:
		return c.mergeTokenized(ctx, f)
	case f.model == "":
		return inputf("--model: missing; name the folder or hub id of the model whose tokenizer is to be used")
	case len(f.corpus) == 0:
		return inputf("--corpus: missing; name files, folders, patterns or data sets of the hub")
	}
	tok, err := distill.OpenTokenizer(ctx, f.model, c.log)
	if err != nil {
		return err
	}
	files, release, err := c.corpusFiles(ctx, f)
	if err != nil {
		return err
	}
	progress := &tokenizeProgress{log: c, began: time.Now()}
	progress.shown = progress.began
	err = data.Tokenize(ctx, f.out, files, tok, data.TokenizingOptions{Shard: shard, Shards: shards, Progress: progress.update})
	release(err == nil)
	if err != nil {
		return distill.ReadFault(ctx, err)
	}
	progress.show("tokenized")
	if f.shard != "" && !f.merge {
		_, err := fmt.Fprintf(c.log, "shard %s is done; once all %d are: bitdistill tokenize --out %s --merge\n", f.shard, shards, f.out)
		return err
	}
	return c.mergeTokenized(ctx, f)
}

// corpusFiles opens what --corpus names; or the fallback, where the hub cannot be reached or the folder was begun with that.
func (c *cli) corpusFiles(ctx context.Context, f *tokenizeFlags) (files []data.File, release func(read bool), err error) {
	options := distill.CorpusOptions{Keep: f.keep, Log: c.log}
	if f.fallback == "" {
		if files, release, err = distill.OpenCorpus(ctx, f.corpus, options); errors.Is(err, distill.ErrUnreachable) {
			err = fmt.Errorf("%w; to go on without the hub, name a local corpus with --fallback-corpus", err)
		}
		return files, release, err
	}
	if strings.HasPrefix(f.fallback, "hf:") {
		return nil, nil, inputf("--fallback-corpus: %s is on the hub itself; name a local corpus", f.fallback)
	}
	local, releaseLocal, err := distill.OpenCorpus(ctx, []string{f.fallback}, options)
	if err != nil {
		return nil, nil, fmt.Errorf("--fallback-corpus: %w", err)
	}
	if data.BegunFrom(f.out, local) {
		fmt.Fprintf(c.log, "corpus: %s was begun with the fallback %s, and goes on with it\n", f.out, f.fallback)
		return local, releaseLocal, nil
	}
	files, release, err = distill.OpenCorpus(ctx, f.corpus, options)
	if !errors.Is(err, distill.ErrUnreachable) {
		return files, release, err
	}
	fmt.Fprintf(c.log, "corpus: the hub cannot be reached: %v\ncorpus: the fallback %s is taken in its place\n", err, f.fallback)
	return local, releaseLocal, nil
}

// parseShard reads I/N; nothing is all of the work.
func parseShard(text string) (shard, shards int, err error) {
	if text == "" {
		return 1, 1, nil
	}
	i, n, ok := strings.Cut(text, "/")
	shard, err = strconv.Atoi(i)
	if err == nil {
		shards, err = strconv.Atoi(n)
	}
	if !ok || err != nil || shard < 1 || shard > shards {
		return 0, 0, inputf("--shard: %q, want I/N with I from 1 to N, such as 2/8", text)
	}
	return shard, shards, nil
}

func (c *cli) mergeTokenized(ctx context.Context, f *tokenizeFlags) error {
	info, err := data.MergeTokenized(ctx, f.out)
	if err != nil {
		return distill.ReadFault(ctx, err)
	}
	if f.json {
		return c.writeJSON(info, "  ")
	}
	_, err = fmt.Fprintf(c.out, "%s: %s tokens in %d documents (%d empty) from %d files, %d bytes of text\n",
		f.out, data.FormatTokens(int64(info.Tokens)), info.Documents, info.Empty, len(info.Sources), info.Bytes)
	return err
}

// withAdvice tells how to go on after an interruption, or on a full disk.
func (f *tokenizeFlags) withAdvice(err error) error {
	switch {
	case errors.Is(err, syscall.ENOSPC):
		return fmt.Errorf("%w; what is there is whole: make room and go on with the same command", err)
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("%w; go on with the same command", err)
	}
	return err
}

// tokenizeProgress logs from time to time how far tokenizing is.
type tokenizeProgress struct {
	log          *cli
	began, shown time.Time
	last         data.TokenizeProgress
}

func (p *tokenizeProgress) update(now data.TokenizeProgress) {
	p.last = now
	if time.Since(p.shown) >= 5*time.Second {
		p.shown = time.Now()
		p.show("tokenizing")
	}
}

func (p *tokenizeProgress) show(what string) {
	passed := max(time.Since(p.began), time.Millisecond)
	left := ""
	if n := p.last; n.Size > n.Read && n.Read > n.Skipped {
		left = fmt.Sprintf(", %s left", time.Duration(float64(passed)*float64(n.Size-n.Read)/float64(n.Read-n.Skipped)).Round(time.Second))
	}
	share := ""
	if p.last.Size > 0 {
		share = fmt.Sprintf("%.1f %% of %.1f MB read, ", 100*float64(p.last.Read)/float64(p.last.Size), float64(p.last.Size)/1e6)
	}
	fmt.Fprintf(p.log.log, "%s: %s%.1f MB of text at %.2f MB/s, Tokens=%s%s\n", what, share,
		float64(p.last.Text)/1e6, float64(p.last.Text)/1e6/passed.Seconds(), data.FormatTokens(p.last.Tokens), left)
}
