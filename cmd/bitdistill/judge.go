package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/bitdistill/bitdistill/distill"
	"github.com/bitdistill/bitdistill/internal/backend"
	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// judgeFlags are the flags that eval and perplexity share.
type judgeFlags struct {
	model, data, engine, backend string
	batchSize                    int
	json                         bool
}

func (f *judgeFlags) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&f.model, "model", "", "`FOLDER` of a model, a GGUF file, a hub id, a run folder (its student), "+distill.Embedded+" or "+distill.EmbeddedTeacher)
	flags.StringVar(&f.engine, "engine", "graph", "graph; packed is not in this version")
	flags.StringVar(&f.backend, "backend", "auto", "auto, go, xla:cpu or xla:cuda")
	jsonFlag(cmd, &f.json)
}

// open checks the flags and opens the model and the backend. The caller closes the backend.
func (f *judgeFlags) open(ctx context.Context, log io.Writer) (*distill.Subject, *backend.Choice, error) {
	switch {
	case f.model == "":
		return nil, nil, inputf("--model: missing; name a model's folder or a run folder")
	case f.engine == "packed":
		return nil, nil, inputf("--engine packed: not available in this version; graph is")
	case f.engine != "graph":
		return nil, nil, inputf("--engine: %q is not known; graph is", f.engine)
	case f.batchSize < 0:
		return nil, nil, inputf("--batch-size: %d, want a positive number", f.batchSize)
	}
	m, err := distill.OpenModel(ctx, f.model, log)
	if err != nil {
		return nil, nil, err
	}
	b, err := backend.Open(f.backend)
	if err != nil {
		return nil, nil, wrongInput{err}
	}
	return m, b, nil
}

// fits refuses a length that the model was not made for.
func fits(m *distill.Subject, flag string, length int) error {
	if most := m.Config.MaxPositions; length < 2 || length > most {
		return inputf("%s: %d tokens, want 2 to %d: what the model was made for (max_position_embeddings)", flag, length, most)
	}
	return nil
}

// progress shows how far something is in a terminal, and nothing elsewhere; done takes it away.
func (c *cli) progress(what string) (update func(done, total int), done func()) {
	f, ok := c.log.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return nil, func() {}
	}
	var bar *progressbar.ProgressBar
	update = func(done, total int) {
		if bar == nil {
			bar = progressbar.NewOptions(total, progressbar.OptionSetWriter(f), progressbar.OptionSetDescription(what),
				progressbar.OptionShowCount(), progressbar.OptionShowIts(), progressbar.OptionClearOnFinish(), progressbar.OptionThrottle(100*time.Millisecond))
		}
		bar.Set(done)
	}
	return update, func() {
		if bar != nil {
			bar.Clear()
			fmt.Fprint(f, "\r")
		}
	}
}
