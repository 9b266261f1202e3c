package main

import (
	"fmt"
	"runtime"

	"github.com/bitdistill/bitdistill/distill"
	"github.com/bitdistill/bitdistill/internal/backend"
	"github.com/spf13/cobra"
)

// versionReport is what version writes as JSON.
type versionReport struct {
	Version string           `json:"version"`
	Go      string           `json:"go"`
	OS      string           `json:"os"`
	Arch    string           `json:"arch"`
	SIMD    bool             `json:"simd"` // built with GOEXPERIMENT=simd
	Modules []backend.Module `json:"modules"`
}

func (c *cli) versionCommand() *cobra.Command {
	asJSON := false
	cmd := &cobra.Command{
		Use:     "version",
		Short:   "Show the version of the program and of what it is built with",
		Example: "  bitdistill version --json",
		Args:    noArguments,
		RunE: func(*cobra.Command, []string) error {
			v := versionReport{distill.Version(), runtime.Version(), runtime.GOOS, runtime.GOARCH, backend.SIMD(), backend.Modules()}
			if asJSON {
				return c.writeJSON(v, "  ")
			}
			simd := "without SIMD"
			if v.SIMD {
				simd = "with SIMD"
			}
			if _, err := fmt.Fprintf(c.out, "bitdistill %s, %s %s, %s/%s\n", v.Version, v.Go, simd, v.OS, v.Arch); err != nil {
				return err
			}
			for _, m := range v.Modules {
				if _, err := fmt.Fprintf(c.out, "  %s %s\n", m.Path, m.Version); err != nil {
					return err
				}
			}
			return nil
		},
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}
