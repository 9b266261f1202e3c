package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/bitdistill/bitdistill/bitnet/hf/files"
	"github.com/bitdistill/bitdistill/distill"
	"github.com/bitdistill/bitdistill/distill/data"
	"github.com/bitdistill/bitdistill/distill/eval"
	"github.com/bitdistill/bitdistill/internal/atomicfile"
)

// labelSample is a line of --log-samples of a classification. Labels go by their values in the table.
type labelSample struct {
	Line       int                `json:"line"` // in the data
	Prompt     string             `json:"prompt"`
	Target     string             `json:"target"`
	Prediction string             `json:"prediction"`
	Scores     map[string]float64 `json:"scores"` // log-probability of each label's answer behind the prompt
}

// textSample is a line of --log-samples of a generation.
type textSample struct {
	Line   int    `json:"line"` // in the data
	Prompt string `json:"prompt"`
	Target string `json:"target"`
	Output string `json:"output"` // up to the end token
}

// checkSamples refuses what could not be written in the end.
func (f *evalFlags) checkSamples() error {
	if f.samples == "" {
		return nil
	}
	if _, err := os.Lstat(f.samples); err == nil {
		return inputf("--log-samples: %s is there already; name another file, or remove it", f.samples)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return inputf("--log-samples: %w", err)
	}
	if info, err := os.Stat(filepath.Dir(f.samples)); err != nil {
		return inputf("--log-samples: %w", err)
	} else if !info.IsDir() {
		return inputf("--log-samples: %s is not a folder", filepath.Dir(f.samples))
	}
	return nil
}

func (f *evalFlags) logLabels(tok *files.Tokenizer, e *data.Examples, a eval.Accuracy) error {
	return f.logSamples(e.Len(), func(i int) any {
		labels := e.Task.Labels
		s := labelSample{e.Line(i), tok.Decode(e.Prompt(i)), labels[e.Label(i)].Value, labels[a.Predictions[i]].Value, map[string]float64{}}
		for label, score := range a.Scores[i] {
			s.Scores[labels[label].Value] = score
		}
		return s
	})
}

func (f *evalFlags) logTexts(tok *files.Tokenizer, e *data.Examples, written eval.Generations) error {
	return f.logSamples(len(written.Texts), func(i int) any {
		return textSample{e.Line(i), tok.Decode(e.Prompt(i)), e.Reference(i), written.Texts[i]}
	})
}

// partName is added to the name of --log-samples while texts are being written.
const partName = ".part"

// keepTexts opens the file that texts are kept in until --log-samples can be written; nil without that flag, and in the packed engine. The caller closes it.
func (c *cli) keepTexts(f *evalFlags, m *subject, e *data.Examples) (*distill.KeptTexts, error) {
	if f.samples == "" || m.graph == nil {
		return nil, nil
	}
	kept, err := distill.KeepTexts(f.samples+partName, m.graph.Model, e, fmt.Sprintf("%d at once on %s", f.batchSize, m.name()))
	if err != nil {
		return nil, fmt.Errorf("--log-samples: %w", err)
	}
	if n := kept.Len(); n > 0 {
		fmt.Fprintf(c.log, "%s: %d of %d texts are there already\n", f.samples+partName, n, e.Len())
	}
	return kept, nil
}

// keptAdvice closes what an evaluation that did not end has kept, and tells how to go on with it.
func (f *evalFlags) keptAdvice(ctx context.Context, err error, kept *distill.KeptTexts, rows int) error {
	if kept == nil {
		if ctx.Err() != nil && f.engine == engineGraph {
			err = fmt.Errorf("%w; with --log-samples FILE, texts are kept as they come", err)
		}
		return err
	}
	err = fmt.Errorf("%w; %s has %d of %d texts: go on with the same command", err, f.samples+partName, kept.Len(), rows)
	return errors.Join(err, kept.Close())
}

// logSamples writes a line for each of n rows, if a file is named.
func (f *evalFlags) logSamples(n int, sample func(i int) any) error {
	if f.samples == "" {
		return nil
	}
	return atomicfile.WriteLines(f.samples, n, sample)
}
