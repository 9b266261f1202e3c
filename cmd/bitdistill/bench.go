package main

import "github.com/spf13/cobra"

func (c *cli) benchCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure speed and memory",
		Example: `  bitdistill bench train --shape stories260k --batch 32 --length 64
  bitdistill bench train --shape smollm2-135m --stage 3 --compare --torch ~/venv/bin/python`,
		Args: noSuchCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(c.benchTrainCommand())
	return cmd
}
