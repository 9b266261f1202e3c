package main

import (
	"github.com/bitdistill/bitdistill/internal/backend"
	"github.com/spf13/cobra"
)

func (c *cli) doctorCommand() *cobra.Command {
	asJSON := false
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Show what this machine computes with, and how fast",
		Long: `doctor opens every backend, multiplies matrices on it and says which one would be used
and why, with versions and devices, and how to get a faster one. It uses no network.`,
		Example: `  bitdistill doctor
  bitdistill doctor --json`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			r := backend.Doctor(cmd.Context())
			if err := cmd.Context().Err(); err != nil {
				return err
			}
			if asJSON {
				return c.writeJSON(r, "  ")
			}
			return r.WriteText(c.out)
		},
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}
