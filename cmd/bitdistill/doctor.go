package main

import (
	"context"
	"fmt"

	"github.com/bitdistill/bitdistill/internal/backend"
	"github.com/spf13/cobra"
)

func (c *cli) doctorCommand() *cobra.Command {
	asJSON, install := false, ""
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Show what this machine computes with, and how fast; install XLA",
		Long: `doctor opens every backend, multiplies matrices on it and says which one would be used
and why, with versions and devices, and how to get a faster one. It uses no network.

With --install it brings XLA's plugin for the CPU (xla) or for NVIDIA GPUs (xla:cuda)
into a folder of the user's, where every later call finds it: from go-xla's release or,
where that cannot be reached, as a pinned package through pip, checksums verified. It
tries the plugin before that gets its name; a failure or Ctrl-C leaves nothing behind.`,
		Example: `  bitdistill doctor
  bitdistill doctor --json
  bitdistill doctor --install xla`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.Flags().Changed("install") {
				return c.installXLA(cmd.Context(), install, asJSON)
			}
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
	cmd.Flags().StringVar(&install, "install", "", "install the plugin of `BACKEND`: xla (that is xla:cpu) or xla:cuda")
	jsonFlag(cmd, &asJSON)
	return cmd
}

// installXLA brings a plugin and says where it is.
func (c *cli) installXLA(ctx context.Context, name string, asJSON bool) error {
	if name == "xla" {
		name = backend.XLACPU
	}
	if name != backend.XLACPU && name != backend.XLACUDA {
		return inputf("--install: %q is not one of xla, xla:cpu, xla:cuda", name)
	}
	done, err := backend.Install(ctx, name, c.log)
	if err != nil {
		return err
	}
	if asJSON {
		return c.writeJSON(done, "  ")
	}
	if done.Already {
		_, err = fmt.Fprintf(c.out, "%s works already: %s\n", name, done.Plugin)
		return err
	}
	_, err = fmt.Fprintf(c.out, "%s works: %s\nfrom %s; to remove it: rm -r %s\n", name, done.Plugin, done.From, done.Folder)
	return err
}
