package distill

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/bitdistill/bitdistill/bitnet/hf/files"
	"github.com/bitdistill/bitdistill/bitnet/infer"
	"github.com/bitdistill/bitdistill/distill/data"
	"github.com/bitdistill/bitdistill/distill/embedded"
)

// Origin is what is known of where a model comes from.
type Origin struct {
	// Run is the config of the run that the model comes from: how its task reads, and on what it was judged. nil for a
	// model that comes from no run.
	Run *Config

	task json.RawMessage // in the model's own file
}

// OpenTask is the model's own task if no name is given, or if that is what it is called, and else the one of that name, see [OpenTask].
// Errors wrap [ErrInput].
func (o Origin) OpenTask(name string) (data.Task, error) {
	own, known, err := o.ownTask()
	switch {
	case known && (name == "" || err == nil && own.Name == name):
		return own, err
	case name == "":
		return data.Task{}, wrongInput("--task: missing; name a built-in task (%v) or a task file", data.BuiltinTasks())
	}
	return OpenTask(name)
}

func (o Origin) ownTask() (t data.Task, known bool, err error) {
	switch {
	case o.task != nil:
		if t, err = data.ParseTask(o.task); err != nil {
			err = wrongInput("the task in the model's file: %w", err)
		}
	case o.Run != nil:
		t, err = OpenTask(o.Run.Task.Name)
	default:
		return t, false, nil
	}
	return t, true, err
}

// Packed is a model that was opened to be used in the engine of package infer. The caller closes it.
type Packed struct {
	*infer.Model
	Origin
}

// OpenPacked opens a model by the names of [OpenModel], or a file that [Export] made, which knows its task and the settings of its
// run. Errors wrap [ErrInput] or [ErrUnreachable].
func OpenPacked(ctx context.Context, name string, log io.Writer, o infer.Options) (*Packed, error) {
	var p *Packed
	err := withModel(ctx, name, log, func(path string, from Origin) error {
		m, err := infer.Open(ctx, path, o)
		if err != nil {
			return ReadFault(ctx, err)
		}
		if m.Tokenizer == nil {
			m.Close()
			return wrongInput("%s: no tokenizer.json", name)
		}
		p = &Packed{m, from}
		if err := p.describe(m.Task, m.Provenance); err != nil {
			m.Close()
			return wrongInput("%s: %w", name, err)
		}
		return nil
	})
	return p, err
}

// describe takes what a model's own file says of its origin.
func (o *Origin) describe(task, provenance json.RawMessage) error {
	if task != nil {
		o.task = task
	}
	if provenance == nil {
		return nil
	}
	var p Provenance
	if err := json.Unmarshal(provenance, &p); err != nil {
		return fmt.Errorf("bitdistill.provenance: %w", err)
	}
	if p.Settings != nil {
		o.Run = p.Settings
	}
	return nil
}

// withModel finds what a model's name stands for, and has it used.
func withModel(ctx context.Context, name string, log io.Writer, use func(path string, from Origin) error) error {
	f := newFetcher(log, nil)
	switch name {
	case Embedded, EmbeddedTeacher:
		unpack := embedded.Model
		if name == EmbeddedTeacher {
			unpack = embedded.Teacher
		}
		cfg, err := Preset(DefaultPreset)
		if err != nil {
			return err
		}
		return f.use(ctx, Embedded, unpack, func(path string) error { return use(path, Origin{Run: &cfg}) })
	}
	dir, run, err := locate(name)
	if err != nil {
		return err
	}
	return f.use(ctx, dir, nil, func(path string) error { return use(path, Origin{Run: run}) })
}

// Tokenizing is how a task becomes ids for a model: by the run that it comes from, or else up to length tokens, 0 being the default. Errors
// wrap [ErrInput].
func (o Origin) Tokenizing(ctx context.Context, m *files.Model, t data.Task, length int) (data.TokenizeOptions, error) {
	options := data.TokenizeOptions{MaxLength: min(DefaultMaxLength, m.Config.MaxPositions), Overlong: data.Truncate}
	if o.Run != nil {
		options.MaxLength, options.Overlong = o.Run.Task.MaxLength, o.Run.Task.Overlong
	}
	if length != 0 {
		options.MaxLength = length
	}
	if most := m.Config.MaxPositions; options.MaxLength < 2 || options.MaxLength > most {
		return options, wrongInput("--max-length: %d tokens, want 2 to %d: what the model was made for (max_position_embeddings)", options.MaxLength, most)
	}
	var err error
	options.Chat, err = ChatOf(ctx, m, t)
	return options, err
}

// DefaultMaxLength is that of texts for a model that comes from no run, tokens, or what the model was made for if that is less.
const DefaultMaxLength = 512
