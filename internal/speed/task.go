package speed

import (
	"context"
	"errors"

	"github.com/bitdistill/bitdistill/bitnet/arch"
	"github.com/bitdistill/bitdistill/bitnet/gguf"
)

// Task is what a process of its own does, so that its memory is nobody else's. One of the fields is there.
type Task struct {
	Write    *File  `json:"write,omitempty"`
	Describe string `json:"describe,omitempty"` // path
	Probe    []int  `json:"probe,omitempty"`    // threads
	Run      *Run   `json:"run,omitempty"`
}

// File is a model with random weights that is to be written.
type File struct {
	Path   string      `json:"path"`
	Config arch.Config `json:"config"`
	Llama  bool        `json:"llama"` // for llama.cpp
	Type   gguf.Type   `json:"type"`  // of the head; of the linears for llama.cpp
}

// Answer is what comes of a task.
type Answer struct {
	Model *Model  `json:"model,omitempty"`
	Rates []Rates `json:"rates,omitempty"`
	Times *Times  `json:"times,omitempty"`
	RSS   int64   `json:"rss_bytes,omitempty"` // most that was resident of the process
}

// Do does a task.
func Do(ctx context.Context, t Task) (a Answer, err error) {
	switch {
	case t.Write != nil && t.Write.Llama:
		return a, WriteLlama(ctx, t.Write.Path, t.Write.Config, t.Write.Type)
	case t.Write != nil:
		return a, WriteModel(ctx, t.Write.Path, t.Write.Config, t.Write.Type)
	case t.Describe != "":
		m, err := Describe(ctx, t.Describe)
		return Answer{Model: &m}, err
	case len(t.Probe) > 0:
		a.Rates, err = Probe(t.Probe...)
		return a, err
	case t.Run != nil:
		times, err := Measure(ctx, *t.Run)
		return Answer{Times: &times}, err
	}
	return a, errors.New("speed: a task without anything to do")
}
