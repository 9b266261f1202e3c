package distill

import (
	"context"
	"fmt"
	"io"

	"github.com/bitdistill/bitdistill/distill/embedded"
)

// previewRows is how many rows are tokenized at least, so that some are left where the policy for long ones drops most.
const previewRows = 200

// ShowExamples writes the first n examples of the training table as [data.Examples.Show] does: the tokens that the model gets, and
// which of them the loss counts. Rows that a selection split takes away are among them. log is told
// what is fetched, and may be nil. Errors wrap [ErrInput] or [ErrUnreachable].
func ShowExamples(ctx context.Context, cfg Config, n int, w io.Writer, colour bool, log io.Writer) error {
	s, err := newSources(cfg, newFetcher(log, cfg.Hub))
	if err != nil {
		return err
	}
	tok, err := s.tokenizer(ctx)
	if err != nil {
		return err
	}
	table, err := s.task.Read(taskFile(cfg.Task.Train, embedded.Train))
	if err != nil {
		return wrongInput("task.train: %w", err)
	}
	table.Rows = table.Rows[:min(len(table.Rows), max(previewRows, 2*n))]
	options, err := s.tokenizing(ctx, s.base, true)
	if err != nil {
		return err
	}
	examples, err := s.task.Tokenize(ctx, table, tok, options)
	if err != nil {
		if ctx.Err() != nil {
			return err
		}
		return wrongInput("task.train: %w", err)
	}
	if note := chatNote(ctx, &s.base.Model, s.task); note != "" {
		if _, err := fmt.Fprintln(w, note); err != nil {
			return err
		}
	}
	return examples.Show(w, n, tok, colour)
}
