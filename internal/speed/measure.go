package speed

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/bitdistill/bitdistill/bitnet/infer"
	"github.com/bitdistill/bitdistill/bitnet/packed"
)

// Run is a test on a model.
type Run struct {
	Model   string          `json:"model"` // what infer.Open opens
	Threads int             `json:"threads"`
	Cache   infer.CacheType `json:"cache"`
	Test    Test            `json:"test"`
}

// Times are what a run took, seconds.
type Times struct {
	Kernel string  `json:"kernel"`  // of the ternary products
	Load   float64 `json:"load_s"`  // until the model was open
	First  float64 `json:"first_s"` // from the start, until the logits behind the first prompt were there: that of the test, or a single token
	Pass   float64 `json:"pass_s"`  // the timed pass, which is the second one
}

func (r Run) options() infer.Options { return infer.Options{Threads: r.Threads, Cache: r.Cache} }

// Measure times a run. Tokens are random, and none is drawn from logits, which are computed behind each generated token and behind the last
// one of a prompt: what llama-bench does. The first pass, of the prompt or of one token, brings the weights into memory.
func Measure(ctx context.Context, r Run) (Times, error) {
	var t Times
	var err error
	if t.Kernel, err = packed.Kernel(); err != nil {
		return t, err
	}
	start := time.Now()
	m, err := infer.Open(ctx, r.Model, r.options())
	if err != nil {
		return t, err
	}
	defer m.Close()
	t.Load = time.Since(start).Seconds()
	p, err := newPasses(m, r.Test)
	if err != nil {
		return t, err
	}
	if err := p.run(ctx, r.Test.Prompt, min(r.Test.Generate, max(0, 1-r.Test.Prompt))); err != nil {
		return t, err
	}
	t.First = time.Since(start).Seconds()
	if r.Test.Prompt > 0 && r.Test.Generate > 0 { // tokens one by one take other ways
		if err := p.run(ctx, 0, 1); err != nil {
			return t, err
		}
	}
	start = time.Now()
	err = p.run(ctx, r.Test.Prompt, r.Test.Generate)
	t.Pass = time.Since(start).Seconds()
	return t, err
}

// passes compute random tokens in sequences that begin anew each time.
type passes struct {
	model     *infer.Model
	sequences []*infer.Sequence
	ids       []int32
	logits    []float32 // behind a token of each sequence
}

func newPasses(m *infer.Model, t Test) (*passes, error) {
	p := &passes{model: m, logits: make([]float32, t.Sequences*m.Config.VocabSize)}
	for range t.Sequences {
		s, err := m.NewSequence(t.Prompt + t.Generate)
		if err != nil {
			return nil, err
		}
		p.sequences = append(p.sequences, s)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for range t.Tokens() {
		p.ids = append(p.ids, rng.Int32N(int32(m.Config.VocabSize)))
	}
	return p, nil
}

func (p *passes) run(ctx context.Context, prompt, generate int) error {
	for _, s := range p.sequences {
		s.Truncate(0)
	}
	vocab, n := p.model.Config.VocabSize, len(p.sequences)
	if prompt > 0 {
		for i, s := range p.sequences {
			if err := s.Append(ctx, p.ids[:prompt], p.logits[i*vocab:][:vocab]); err != nil {
				return err
			}
		}
	}
	for i := range generate {
		if err := p.model.Step(ctx, p.sequences, p.ids[i*n:][:n], p.logits); err != nil {
			return err
		}
	}
	return nil
}
