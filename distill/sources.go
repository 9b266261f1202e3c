package distill

import (
	"context"
	"os"

	"github.com/bitdistill/bitdistill/bitnet/hf"
	"github.com/bitdistill/bitdistill/bitnet/hf/files"
	"github.com/bitdistill/bitdistill/distill/data"
	"github.com/bitdistill/bitdistill/distill/embedded"
	"github.com/bitdistill/bitdistill/internal/hub"
)

// sources reads what a run starts from, each thing when it is first needed: the pretrained model, the task's data, the
// corpus.
type sources struct {
	config Config
	task   data.Task
	fetch  *fetcher
	begun  bool // stage 2 has been trained on the corpus: another one cannot take its place any more

	base     *hf.Model // config and tokenizer alone
	examples *taskExamples
	corpus   *corpusParts
}

// taskExamples are the splits of the task.
type taskExamples struct {
	train     *data.Examples
	selection *data.Examples // nil if no rows are set aside
	dev       *data.Examples // reported on, used for nothing else
	inputs    inputs         // of train and selection
}

// newSources finds the task, so that a wrong name shows at once.
func newSources(cfg Config, fetch *fetcher) (*sources, error) {
	task, err := OpenTask(cfg.Task.Name)
	if err != nil {
		return nil, err
	}
	return &sources{config: cfg, task: task, fetch: fetch}, nil
}

// model loads a fresh copy of the pretrained model.
func (s *sources) model(ctx context.Context) (*hf.Model, error) {
	return s.pretrained(ctx, hf.Load)
}

// described is the pretrained model without its weights.
func (s *sources) described(ctx context.Context) (*hf.Model, error) {
	if s.base == nil {
		m, err := s.pretrained(ctx, hf.Check)
		if err != nil {
			return nil, err
		}
		s.base = m
	}
	return s.base, nil
}

func (s *sources) pretrained(ctx context.Context, read func(dir string) (*hf.Model, error)) (*hf.Model, error) {
	m, err := readModel(ctx, s.fetch, s.config.Model, embedded.Model, read)
	if err != nil || s.config.Layers == 0 {
		return m, err
	}
	if m, err = m.Prefix(s.config.Layers); err != nil {
		return nil, wrongInput("%s: %w", s.config.Model, err)
	}
	return m, nil
}

// readModel loads a folder, what the hub has, or what is embedded, with hf.Load, or hf.Check where the weights are not wanted.
func readModel(ctx context.Context, f *fetcher, name string, unpack func(dir string) error, read func(dir string) (*hf.Model, error)) (m *hf.Model, err error) {
	err = f.use(ctx, name, unpack, func(dir string) error {
		if m, err = read(dir); err != nil {
			return inputError{err}
		}
		if m.Tokenizer == nil {
			return wrongInput("%s: no tokenizer.json", name)
		}
		return nil
	})
	return m, err
}

// use finds a model, a folder or a file, and has it used. The embedded one is unpacked, and goes again afterwards.
func (f *fetcher) use(ctx context.Context, name string, unpack func(dir string) error, use func(path string) error) error {
	var dir string
	var err error
	if name == Embedded {
		if dir, err = os.MkdirTemp("", "bitdistill-"); err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		if err := unpack(dir); err != nil {
			return err
		}
	} else if dir, err = f.model(ctx, name, (*hub.Repo).Model); err != nil {
		return err
	}
	if _, err := os.Stat(dir); err != nil {
		return noModel(name)
	}
	return use(dir)
}

func noModel(name string) error {
	return wrongInput("%s: no such folder or file; a model is a folder with config.json, model.safetensors and tokenizer.json, a GGUF file, or a hub id such as HuggingFaceTB/SmolLM2-135M", name)
}

// tokenizer is the pretrained model's.
func (s *sources) tokenizer(ctx context.Context) (*files.Tokenizer, error) {
	m, err := s.described(ctx)
	if err != nil {
		return nil, err
	}
	return m.Tokenizer, nil
}

// taskData reads, splits and tokenizes the task.
func (s *sources) taskData(ctx context.Context, log *runLog) (*taskExamples, error) {
	if s.examples != nil {
		return s.examples, nil
	}
	tok, err := s.tokenizer(ctx)
	if err != nil {
		return nil, err
	}
	if note := chatNote(ctx, &s.base.Model, s.task); note != "" {
		log.printf("%s", note)
	}
	train, err := s.task.Read(taskFile(s.config.Task.Train, embedded.Train))
	if err != nil {
		return nil, inputError{err}
	}
	e := &taskExamples{}
	if e.inputs, err = s.taskInputs(ctx, tok); err != nil {
		return nil, err
	}
	if n := s.config.Task.SelectionRows; n > 0 {
		rest, selection, counts, err := data.Split(train, n, s.config.Seed)
		if err != nil {
			return nil, inputError{err}
		}
		log.printf("selection split: %v", counts)
		train = rest
		if e.selection, err = s.tokenize(ctx, log, "selection", selection, tok, false); err != nil {
			return nil, err
		}
	}
	if e.train, err = s.tokenize(ctx, log, "training", train, tok, true); err != nil {
		return nil, err
	}
	dev, err := s.task.Read(taskFile(s.config.Task.Dev, embedded.Dev))
	if err != nil {
		return nil, inputError{err}
	}
	if e.dev, err = s.tokenize(ctx, log, "held-out", dev, tok, false); err != nil {
		return nil, err
	}
	s.examples = e
	return e, nil
}

func taskFile(path string, fallback func() data.File) data.File {
	if path == Embedded {
		return fallback()
	}
	return data.OnDisk(path)
}

// tokenizing is how rows of the task become ids of a model.
func (s *sources) tokenizing(ctx context.Context, m *hf.Model, training bool) (data.TokenizeOptions, error) {
	chat, err := ChatOf(ctx, &m.Model, s.task)
	t := s.config.Task
	return data.TokenizeOptions{MaxLength: t.MaxLength, Overlong: t.Overlong, Training: training, Chat: chat}, err
}

func (s *sources) tokenize(ctx context.Context, log *runLog, what string, d *data.Dataset, tok data.Tokenizer, training bool) (*data.Examples, error) {
	options, err := s.tokenizing(ctx, s.base, training)
	if err != nil {
		return nil, err
	}
	e, err := s.task.Tokenize(ctx, d, tok, options)
	if err != nil {
		if ctx.Err() != nil {
			return nil, err
		}
		return nil, inputError{err}
	}
	log.printf("%s data: %s: %v", what, e.File, e.Counts)
	return e, nil
}
