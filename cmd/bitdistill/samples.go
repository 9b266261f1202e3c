package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/bitdistill/bitdistill/bitnet/hf/files"
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

// logSamples writes a line for each of n rows, if a file is named.
func (f *evalFlags) logSamples(n int, sample func(i int) any) error {
	if f.samples == "" {
		return nil
	}
	return atomicfile.WriteLines(f.samples, n, sample)
}
