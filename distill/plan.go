package distill

import (
	"context"
	"io"
	"os"
	"runtime"

	"github.com/bitdistill/bitdistill/bitnet/arch"
	"github.com/bitdistill/bitdistill/bitnet/hf"
	"github.com/bitdistill/bitdistill/distill/data"
	"github.com/bitdistill/bitdistill/distill/embedded"
)

// Plan is what a run will do, as far as it shows before anything is computed.
type Plan struct {
	Config     Config     `json:"config"`
	Parameters Parameters `json:"parameters"` // of the student
	Bytes      ModelBytes `json:"bytes"`
	Layer      int        `json:"distilled_layer"` // of the relations, counted from the start
	SplitHeads int        `json:"split_heads"`
	Memory     []Memory   `json:"memory"` // of each training
}

// Parameters counts the student's values by their role.
type Parameters struct {
	Total      int `json:"total"`
	Linears    int `json:"ternary_linears"`
	Embeddings int `json:"embeddings"` // the head too, where it is a matrix of its own
	Norms      int `json:"norms"`
	SubLN      int `json:"subln"`
}

// ModelBytes are what [Sizes] gives for the full-precision model and for the student.
type ModelBytes struct {
	FullLinears    int64 `json:"full_linears"`
	FullModel      int64 `json:"full_model"`
	StudentLinears int64 `json:"student_linears"`
	StudentModel   int64 `json:"student_model"`
}

// NewPlan reads what a config names, weights excepted, and refuses what a run would stumble over later: settings that do
// not fit the model, folders that are not models, a teacher with another vocabulary, tasks, tables with wrong rows and
// corpus files that are not there. What is on the hub is brought into the cache; log is told so, and may be nil. Nothing else is
// written. Errors wrap [ErrInput] or [ErrUnreachable].
func NewPlan(ctx context.Context, cfg Config, log io.Writer) (*Plan, error) {
	return newPlan(ctx, cfg, newFetcher(log, cfg.Hub), false)
}

// newPlan is NewPlan. begun says that stage 2 has been trained on the corpus.
func newPlan(ctx context.Context, cfg Config, fetch *fetcher, begun bool) (*Plan, error) {
	if err := cfg.Validate(); err != nil {
		return nil, inputError{err}
	}
	s, err := newSources(cfg, fetch)
	if err != nil {
		return nil, err
	}
	s.begun = begun
	base, err := s.described(ctx)
	if err != nil {
		return nil, err
	}
	teacher := base
	if cfg.Teacher != "" {
		if teacher, err = readModel(ctx, fetch, cfg.Teacher, embedded.Teacher, hf.Check); err != nil {
			return nil, err
		}
		if err := cfg.checkTeacher(teacher, base); err != nil {
			return nil, err
		}
	}
	student, err := studentConfig(base.Config, cfg.Student)
	if err != nil {
		return nil, err
	}
	if err := cfg.checkLengths(student.MaxPositions); err != nil {
		return nil, err
	}
	l, err := cfg.Loss.resolve(student, teacher.Config)
	if err != nil {
		return nil, err
	}
	if err := s.checkFiles(ctx, base); err != nil {
		return nil, err
	}
	cfg.Hub = fetch.hub()
	p := &Plan{Config: cfg, Layer: l.Layer, SplitHeads: l.Relations.SplitHeads}
	cfg.Loss = l
	p.Memory = cfg.memory(base.Config, student, teacher.Config, runtime.GOMAXPROCS(0), s.task.CountedTokens(cfg.Task.MaxLength))
	p.Parameters.count(student)
	p.Bytes.FullLinears, p.Bytes.FullModel = Sizes(base.Config)
	p.Bytes.StudentLinears, p.Bytes.StudentModel = Sizes(student)
	return p, nil
}

func (p *Parameters) count(c arch.Config) {
	*p = Parameters{
		Total: c.Parameters(), Linears: c.Parameters(arch.Linear), Norms: c.Parameters(arch.Norm),
		Embeddings: c.Parameters(arch.Embedding, arch.Head), SubLN: c.Parameters(arch.SubLNorm),
	}
}

// checkTeacher refuses a teacher whose logits cannot be compared with the student's.
func (c Config) checkTeacher(teacher, base *hf.Model) error {
	switch {
	case teacher.Tokenizer.Hash() != base.Tokenizer.Hash():
		return wrongInput("teacher %s: its tokenizer.json differs from that of %s; logits can only be compared over one vocabulary", c.Teacher, c.Model)
	case teacher.Config.VocabSize != base.Config.VocabSize:
		return wrongInput("teacher %s: vocab_size is %d, that of %s is %d", c.Teacher, teacher.Config.VocabSize, c.Model, base.Config.VocabSize)
	}
	student, err := studentConfig(base.Config, c.Student)
	if err != nil {
		return err
	}
	_, err = c.Loss.resolve(student, teacher.Config)
	return err
}

// checkLengths refuses sequences that the model was not made for, which would fail only once a graph is built.
func (c Config) checkLengths(most int) error {
	for _, l := range []struct {
		name   string
		length int
	}{{"task.max_length", c.Task.MaxLength}, {"corpus.length", c.Corpus.Length}} {
		if l.length > most {
			return wrongInput("%s: %d tokens, %s was made for %d (max_position_embeddings); lower it", l.name, l.length, c.Model, most)
		}
	}
	return nil
}

// checkFiles reads the task's tables as text, and of the corpus as much as has to be set aside.
func (s *sources) checkFiles(ctx context.Context, base *hf.Model) error {
	t := s.config.Task
	if t.Train != Embedded && sameFile(t.Train, t.Dev) { // there may be a folder of that name, too
		return wrongInput("task.dev: %s is the training data; what is reported on must not be trained on", t.Dev)
	}
	train, err := s.task.Read(taskFile(t.Train, embedded.Train))
	if err != nil {
		return wrongInput("task.train: %w", err)
	}
	dev, err := s.task.Read(taskFile(t.Dev, embedded.Dev))
	if err != nil {
		return wrongInput("task.dev: %w", err)
	}
	for _, table := range []*data.Dataset{train, dev} {
		if note := table.BlankNote(); note != "" {
			s.fetch.printf("warning: %s: %s", table.File, note)
		}
	}
	if n := data.Repeated(train, dev); n > 0 {
		s.fetch.printf("warning: %d of the %d rows of %s have the text of a row of %s; results on those are not on held-out data", n, len(dev.Rows), dev.File, train.File)
	}
	if n := t.SelectionRows; n > 0 {
		if _, _, _, err := data.Split(train, n, s.config.Seed); err != nil {
			return inputError{err}
		}
	}
	options, err := s.tokenizing(ctx, base, false)
	if err != nil {
		return err
	}
	if err := s.task.Check(base.Tokenizer, options); err != nil {
		return inputError{err}
	}
	return s.checkCorpus(ctx, base.Tokenizer)
}

func sameFile(a, b string) bool {
	one, err := os.Stat(a)
	other, err2 := os.Stat(b)
	return err == nil && err2 == nil && os.SameFile(one, other)
}
