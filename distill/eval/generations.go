package eval

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/bitdistill/bitdistill/distill/data"
	"github.com/bitdistill/bitdistill/distill/eval/overlap"
)

// Generations are what a model wrote behind the prompts of a generation task, and how it agrees with the references.
type Generations struct {
	BLEU    overlap.BLEU  `json:"bleu"`
	ROUGE   overlap.ROUGE `json:"rouge"`
	N       int           `json:"n"`       // texts
	Ended   int           `json:"ended"`   // texts that the model ended; the others were cut
	Tokens  int           `json:"tokens"`  // written, without end tokens
	Seconds float64       `json:"seconds"` // wall time

	Texts []string `json:"-"` // without white space around them, in the order of the examples
}

// Keeper keeps texts as they are finished, so that an evaluation that is stopped can go on. Its methods are not called from several
// goroutines at once.
type Keeper interface {
	Text(row int) (ids []int32, ok bool) // what was kept of a row before, without the end token
	Keep(row int, ids []int32) error     // an error ends the evaluation
}

// Complete writes behind the prompts of the first rows examples, or of all where rows is 0, up to as many tokens as the task keeps
// for a completion, and compares the texts with the references. What g.Kept has of a whole batch is not written again. decode turns tokens into
// text without special tokens. It stops with the context's error when that ends.
func (g *Generator) Complete(ctx context.Context, e *data.Examples, rows int, decode func(ids []int32) string) (Generations, error) {
	began := time.Now()
	if !e.Task.Generates() {
		return Generations{}, noText(e)
	}
	n := e.Len()
	if rows > 0 {
		n = min(n, rows)
	}
	prompts := make([][]int32, n)
	for i := range prompts {
		prompts[i] = e.Prompt(i)
	}
	most := e.MaxCompletion()
	all, err := g.generate(ctx, prompts, most, g.Kept)
	if err != nil && ctx.Err() == nil {
		err = fmt.Errorf("%s: %w", e.File, err)
	}
	if err != nil {
		return Generations{}, err
	}
	return newGenerations(e, all, decode, began)
}

// newGenerations compares what was written behind the first prompts with their references.
func newGenerations(e *data.Examples, all [][]int32, decode func(ids []int32) string, began time.Time) (r Generations, err error) {
	r.N = len(all)
	references, most := make([]string, r.N), e.MaxCompletion()
	for i, ids := range all {
		r.Texts = append(r.Texts, strings.TrimSpace(decode(ids)))
		references[i] = e.Reference(i)
		r.Tokens += len(ids)
		if len(ids) < most {
			r.Ended++
		}
	}
	if r.BLEU, err = overlap.CorpusBLEU(r.Texts, references); err != nil {
		return Generations{}, err
	}
	if r.ROUGE, err = overlap.MeanROUGE(r.Texts, references); err != nil {
		return Generations{}, err
	}
	r.Seconds = time.Since(began).Seconds()
	return r, nil
}

func noText(e *data.Examples) error {
	return fmt.Errorf("task %s: is a classification; there is no text to generate", e.Task.Name)
}
