package distill

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// Step is what is logged about one training step: a line of metrics.jsonl.
type Step struct {
	Stage        string  `json:"stage"` // Teacher, FP16-SFT, BitNet-SFT, Stage-2 or Stage-3
	Step         int     `json:"step"`
	Steps        int     `json:"steps"` // in all
	Epoch        float64 `json:"epoch"`
	Loss         float64 `json:"loss"` // what is minimised
	CE           float64 `json:"ce,omitempty"`
	LD           float64 `json:"ld,omitempty"`
	AD           float64 `json:"ad,omitempty"`
	ShareCE      float64 `json:"share_ce,omitempty"` // CE / loss
	ShareLD      float64 `json:"share_ld,omitempty"` // lambda*LD / loss
	ShareAD      float64 `json:"share_ad,omitempty"` // gamma*AD / loss
	LearningRate float64 `json:"learning_rate"`
	GradientNorm float64 `json:"gradient_norm"` // before clipping
	Tokens       int64   `json:"tokens"`        // real tokens so far
	Seconds      float64 `json:"seconds"`       // in steps so far
	TokensPerS   float64 `json:"tokens_per_s"`  // since the last record
	Skipped      int     `json:"skipped"`

	distils bool
}

// Ternary is how the weights of one linear are distributed.
type Ternary struct {
	Name     string  `json:"name,omitempty"`
	Minus    int     `json:"minus"` // codes -1
	Zero     int     `json:"zero"`
	Plus     int     `json:"plus"`
	Flipped  int     `json:"flipped"`  // codes that changed since the last count
	Compared bool    `json:"compared"` // whether there was one
	Scale    float64 `json:"scale"`    // Δ, the mean of them where there are several
	Latent   []int   `json:"latent"`   // the latent weights over Δ in LatentBins of equal width, from -LatentRange to LatentRange; the outer ones hold what is beyond
}

// The histograms of latent weights.
const (
	LatentBins  = 60
	LatentRange = 3
)

// TernaryCount is a line of metrics.jsonl about the ternary weights after a step.
type TernaryCount struct {
	Stage   string    `json:"stage"`
	Step    int       `json:"step"`
	Linears []Ternary `json:"ternary"`
}

// Selection is a line of metrics.jsonl about an evaluation on the selection split.
type Selection struct {
	Stage     string  `json:"stage"`
	Step      int     `json:"step"`
	Score     float64 `json:"selection_score"` // accuracy, or minus the nll a token; higher is better
	BestStep  int     `json:"best_step"`
	BestScore float64 `json:"best_score"`
}

// Metrics are all lines of a run's metrics.jsonl, in their order.
type Metrics struct {
	Steps      []Step
	Ternary    []TernaryCount
	Selections []Selection
}

// ReadMetrics reads the metrics of a run folder. A last line that is not whole, as of a run that is being written, is left
// out.
func ReadMetrics(dir string) (*Metrics, error) {
	path := filepath.Join(dir, metricsFile)
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, inputError{err}
	}
	m := &Metrics{}
	number := 0
	for line := range bytes.Lines(raw) {
		number++
		if !bytes.HasSuffix(line, []byte("\n")) {
			break
		}
		if err := m.add(line); err != nil {
			return nil, inputError{fmt.Errorf("%s:%d: %w", path, number, err)}
		}
	}
	return m, nil
}

// add tells the kinds of lines apart by the field that only one has.
func (m *Metrics) add(line []byte) error {
	var has struct {
		Ternary, Steps json.RawMessage
		Score          json.RawMessage `json:"selection_score"`
	}
	if err := json.Unmarshal(line, &has); err != nil {
		return err
	}
	switch {
	case has.Ternary != nil:
		return appendRecord(line, &m.Ternary)
	case has.Score != nil:
		return appendRecord(line, &m.Selections)
	case has.Steps != nil:
		return appendRecord(line, &m.Steps)
	}
	return nil // such as a note that the run was resumed
}

func appendRecord[R any](line []byte, list *[]R) error {
	var r R
	err := json.Unmarshal(line, &r)
	*list = append(*list, r)
	return err
}
