package main

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/bitdistill/bitdistill/distill"
	reports "github.com/bitdistill/bitdistill/distill/report"
	"github.com/spf13/cobra"
)

func (c *cli) reportCommand() *cobra.Command {
	var out, board string
	cmd := &cobra.Command{
		Use:   "report RUN...",
		Short: "Write a page about a run, or one that compares runs",
		Long: `report writes one HTML file that needs no network and no other file: results,
settings, loss curves, weights and their codes, flips, activations, attention
relations, samples and environment of a run, as far as it has come. Every run that
evaluates writes it too. Of several runs it shows results, the settings in which
they differ, and losses.

It is written to report.html in the run folder; for several runs in the current
folder. A file of that name that is not a report stays as it is: then name another.
The name of the file goes to stdout.

--tensorboard writes losses, rates and scores as event files too, a folder for each
run, which tensorboard --logdir DIR shows.`,
		Example: `  bitdistill report bitdistill-run
  bitdistill report RUN --out page.html
  bitdistill report RUN-1 RUN-2 RUN-3 --out compared.html`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return inputf("report: name a run folder, or several to compare them")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, runs []string) error { return c.report(cmd.Context(), out, board, runs) },
	}
	cmd.Flags().StringVar(&out, "out", "", "`FILE` to write")
	cmd.Flags().StringVar(&board, "tensorboard", "", "`DIR` to write TensorBoard's event files into")
	return cmd
}

func (c *cli) report(ctx context.Context, out, board string, runs []string) error {
	if out == "" {
		out = reports.FileName
		if len(runs) == 1 {
			out = filepath.Join(runs[0], out)
		}
	}
	if err := reports.Write(ctx, out, runs...); err != nil {
		return err
	}
	if board != "" {
		if err := reports.WriteTensorBoard(board, runs...); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintln(c.out, out)
	return err
}

// reportOn writes the report at the end of a run. The run is done without it, so that a fault is only told.
func (c *cli) reportOn(ctx context.Context, dir string, results *distill.Results) {
	if results == nil {
		return
	}
	out := filepath.Join(dir, reports.FileName)
	if err := reports.Write(ctx, out, dir); err != nil {
		fmt.Fprintf(c.log, "warning: no report: %v\n", err)
		return
	}
	fmt.Fprintf(c.log, "report: %s\n", out)
}
