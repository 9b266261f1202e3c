package distill

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/bitdistill/bitdistill/bitnet/hf"
	"github.com/bitdistill/bitdistill/distill/data"
	"github.com/bitdistill/bitdistill/distill/eval"
	"github.com/bitdistill/bitdistill/internal/atomicfile"
)

// Sample is a held-out row of a generation with what each model writes behind its prompt: a line of samples.jsonl.
type Sample struct {
	Line      int               `json:"line"` // in the file of the held-out data
	Prompt    string            `json:"prompt"`
	Reference string            `json:"reference"`
	Outputs   map[string]string `json:"outputs"` // by the model's name in [Row]
}

// generate has a model write behind the held-out prompts, and compares the texts with the references. They are kept as they come, until
// samples.jsonl has all of them.
func (r *Run) generate(ctx context.Context, name string, m *hf.Model, e *data.Examples) (*Overlap, []string, error) {
	kept, err := r.keepTexts(name, m, e)
	if err != nil {
		return nil, nil, err
	}
	defer kept.Close()
	end, _ := e.End()
	g, err := eval.NewGenerator(r.choice.Backend, m.Config, m.Store, end, r.Config.EvalBatchSize)
	if err != nil {
		return nil, nil, err
	}
	defer g.Close()
	g.Kept = kept
	g.Progress = r.log.progressOf(name+": greedy decoding", "steps at most")
	written, err := g.Complete(ctx, e, r.Config.Task.GenerateRows, m.Tokenizer.Decode)
	return NewOverlap(written), written.Texts, err
}

// keepTexts opens the file in which a model's texts are kept. What an earlier evaluation has left of another model there goes.
func (r *Run) keepTexts(name string, m *hf.Model, e *data.Examples) (*KeptTexts, error) {
	if err := os.MkdirAll(r.path(checkpointsDir, evalDir), 0o777); err != nil {
		return nil, err
	}
	path := r.path(checkpointsDir, evalDir, name+".jsonl")
	settings := fmt.Sprintf("%d at once of %d on %s", r.Config.EvalBatchSize, r.Config.Task.GenerateRows, r.choice.Name)
	kept, err := KeepTexts(path, m, e, settings)
	if errors.Is(err, errOtherTexts) {
		if err := os.Remove(path); err != nil {
			return nil, err
		}
		kept, err = KeepTexts(path, m, e, settings)
	}
	if err == nil && kept.Len() > 0 {
		r.log.printf("%s: %d texts are there already", name, kept.Len())
	}
	return kept, err
}

// writeSamples writes samples.jsonl from what each model wrote, if any did.
func (r *Run) writeSamples(ctx context.Context, outputs map[string][]string) error {
	if len(outputs) == 0 {
		return nil
	}
	examples, err := r.sources.taskData(ctx, r.log)
	if err != nil {
		return err
	}
	tok, err := r.sources.tokenizer(ctx)
	if err != nil {
		return err
	}
	e, n := examples.dev, 0
	for _, texts := range outputs {
		n = max(n, len(texts)) // all models continue the same first rows
	}
	return atomicfile.WriteLines(r.path(samplesFile), n, func(i int) any {
		s := Sample{e.Line(i), tok.Decode(e.Prompt(i)), e.Reference(i), map[string]string{}}
		for name, texts := range outputs {
			if i < len(texts) {
				s.Outputs[name] = texts[i]
			}
		}
		return s
	})
}

// ReadSamples reads up to most samples of a run folder; none where the run has none. What is damaged wraps [ErrInput].
func ReadSamples(dir string, most int) ([]Sample, error) {
	path := filepath.Join(dir, samplesFile)
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, inputError{err}
	}
	defer f.Close()
	var all []Sample
	for d := json.NewDecoder(bufio.NewReader(f)); len(all) < most; {
		var s Sample
		if err := d.Decode(&s); err == io.EOF {
			break
		} else if err != nil {
			return nil, inputError{fmt.Errorf("%s: sample %d: %w", path, len(all)+1, err)}
		}
		all = append(all, s)
	}
	return all, nil
}
