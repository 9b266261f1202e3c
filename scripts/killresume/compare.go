package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bitdistill/bitdistill/distill"
)

// same compares two finished runs, and looks for what the killed one left behind.
func same(whole, killed string) error {
	return errors.Join(sameModels(whole, killed), sameSteps(whole, killed), sameResults(whole, killed), nothingLeft(killed))
}

func sameModels(a, b string) error {
	models, err := filepath.Glob(filepath.Join(a, "*", "model.safetensors"))
	if err != nil || len(models) == 0 {
		return fmt.Errorf("%s: no models (%v)", a, err)
	}
	for _, path := range models {
		name, err := filepath.Rel(a, path)
		if err != nil {
			return err
		}
		x, errX := os.ReadFile(path)
		y, errY := os.ReadFile(filepath.Join(b, name))
		if errX != nil || errY != nil || !bytes.Equal(x, y) {
			return errors.Join(fmt.Errorf("%s is not the same", name), errX, errY)
		}
	}
	return nil
}

// step is what metrics.jsonl says about one, without times.
type step struct {
	Stage        string
	Step         int
	Loss, Total  *float64
	GradientNorm *float64 `json:"gradient_norm"`
}

// sameSteps compares the losses of all steps. Each has to be there once: what was computed again is not written twice.
func sameSteps(a, b string) error {
	x, err := steps(a)
	if err != nil {
		return err
	}
	y, err := steps(b)
	if err != nil {
		return err
	}
	for i := range max(len(x), len(y)) {
		if i >= len(x) || i >= len(y) || x[i] != y[i] {
			return fmt.Errorf("metrics.jsonl: step %d of %d and %d: %s and %s", i+1, len(x), len(y), x[min(i, len(x)-1)], y[min(i, len(y)-1)])
		}
	}
	return nil
}

// steps are the lines of metrics.jsonl with a gradient norm, in a form that can be compared.
func steps(run string) (list []string, err error) {
	raw, err := os.ReadFile(filepath.Join(run, "metrics.jsonl"))
	if err != nil {
		return nil, err
	}
	for line := range bytes.Lines(raw) {
		var s step
		if err := json.Unmarshal(line, &s); err != nil {
			return nil, fmt.Errorf("%s: metrics.jsonl: %w", run, err)
		}
		if s.GradientNorm != nil {
			text, _ := json.Marshal(s) // text and numbers always encode
			list = append(list, string(text))
		}
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%s: metrics.jsonl: no steps", run)
	}
	return list, nil
}

// sameResults compares what does not depend on time.
func sameResults(a, b string) error {
	var results [2]distill.Results
	for i, run := range []string{a, b} {
		raw, err := os.ReadFile(filepath.Join(run, "results.json"))
		if err != nil {
			return err
		}
		if err := json.Unmarshal(raw, &results[i]); err != nil {
			return err
		}
		for j := range results[i].Rows {
			results[i].Rows[j].Seconds, results[i].Rows[j].TrainTokensPer = 0, 0
		}
	}
	x, y := results[0], results[1]
	if !slices.Equal(x.Rows, y.Rows) || *x.Stage2 != *y.Stage2 {
		return fmt.Errorf("results: %v %v and %v %v", x.Rows, *x.Stage2, y.Rows, *y.Stage2)
	}
	return nil
}

// nothingLeft reports temporary files.
func nothingLeft(run string) error {
	return filepath.WalkDir(run, func(path string, e os.DirEntry, err error) error {
		if err == nil && strings.HasPrefix(e.Name(), ".") && e.Name() != ".lock" {
			return fmt.Errorf("%s was left behind", path)
		}
		return err
	})
}
