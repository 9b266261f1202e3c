package eval

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/bitdistill/bitdistill/bitnet/infer"
	"github.com/bitdistill/bitdistill/distill/data"
)

// Packed judges a model in package infer's engine, by the definitions of Classifier, LanguageModel, Completions and Generator. Texts are
// computed side by side, one on each of the model's threads, with the results of one thread, bit for bit.
type Packed struct {
	Model    *infer.Model
	Progress func(done, total int) // rows; may be nil. It is not called twice at the same time
}

// Scores are the log-probabilities of each label's answer, [examples][labels]. What an example's prompt begins with like the one before
// is not computed again.
func (p Packed) Scores(ctx context.Context, e *data.Examples) ([][]float64, error) {
	scores := make([][]float64, e.Len())
	err := p.rows(ctx, e.Len(), e.Longest(), func(s *infer.Sequence, i int) (err error) {
		scores[i], err = s.Classify(ctx, e.Prompt(i), e.Answers)
		return err
	})
	if err != nil {
		return nil, inFile(ctx, e, err)
	}
	return scores, nil
}

// Accuracy classifies all examples. It stops with the context's error when that ends.
func (p Packed) Accuracy(ctx context.Context, e *data.Examples) (Accuracy, error) {
	began := time.Now()
	if e.Len() == 0 {
		return Accuracy{}, fmt.Errorf("%s: no examples to evaluate on", e.File)
	}
	scores, err := p.Scores(ctx, e)
	if err != nil {
		return Accuracy{}, err
	}
	return newAccuracy(e, scores, began)
}

// Perplexity predicts every token of every window but its first. It stops with the context's error when that ends.
func (p Packed) Perplexity(ctx context.Context, c *data.Corpus) (Perplexity, error) {
	began := time.Now()
	windows, err := data.NewWindows(c, 1)
	if err != nil {
		return Perplexity{}, err
	}
	texts := make([][]float64, windows.Len())
	err = p.rows(ctx, len(texts), c.Length, func(s *infer.Sequence, i int) (err error) {
		b := windows.Batch(i)
		if b.Err != nil {
			return b.Err
		}
		n := 0
		for n < b.Length && b.Mask[n] == 1 {
			n++
		}
		s.Truncate(0)
		texts[i], err = p.predict(ctx, s, b.IDs[:n], b.Targets()[:n])
		return err
	})
	if err != nil {
		return Perplexity{}, err
	}
	return perplexityOf(texts, began)
}

// Completions is the perplexity of the completions behind their prompts, each token given those before it. It stops with the context's
// error when that ends.
func (p Packed) Completions(ctx context.Context, e *data.Examples) (Perplexity, error) {
	began := time.Now()
	texts := make([][]float64, e.Len())
	err := p.rows(ctx, len(texts), e.Longest(), func(s *infer.Sequence, i int) (err error) {
		prompt, answer := e.Prompt(i), e.Answer(i)
		targets := append(slices.Repeat([]int32{data.NoLabel}, len(prompt)-1), answer...)
		s.Truncate(0)
		texts[i], err = p.predict(ctx, s, slices.Concat(prompt, answer[:len(answer)-1]), targets)
		return err
	})
	if err != nil {
		return Perplexity{}, inFile(ctx, e, err)
	}
	return perplexityOf(texts, began)
}

// predictRows bounds the logits that are there at once.
const predictRows = 64

// perplexityOf adds up the texts' log-probabilities in their order, so that sums are the same whatever was computed first.
func perplexityOf(texts [][]float64, began time.Time) (Perplexity, error) {
	var r Perplexity
	sum := 0.0
	for _, text := range texts {
		for _, v := range text {
			sum -= v
		}
		r.Tokens += len(text)
	}
	return r.of(sum, began)
}

// predict reads ids, and gives the log-probabilities of the targets that there are.
func (p Packed) predict(ctx context.Context, s *infer.Sequence, ids, targets []int32) ([]float64, error) {
	vocab := p.Model.Config.VocabSize
	room := make([]float32, min(predictRows, len(ids))*vocab)
	silent := 0
	for silent < len(targets) && targets[silent] == data.NoLabel {
		silent++
	}
	if err := s.Append(ctx, ids[:silent], nil); err != nil {
		return nil, err
	}
	var found []float64
	for at := silent; at < len(ids); at += predictRows {
		n := min(predictRows, len(ids)-at)
		if err := s.Append(ctx, ids[at:at+n], room[:n*vocab]); err != nil {
			return nil, err
		}
		for i, target := range targets[at : at+n] {
			if target != data.NoLabel {
				found = append(found, logProbability(room[i*vocab:][:vocab], target))
			}
		}
	}
	return found, nil
}

// Complete writes behind the prompts of all examples, up to as many tokens as the task keeps for a completion, greedily, and compares
// the texts with the references. It stops with the context's error when that ends.
func (p Packed) Complete(ctx context.Context, e *data.Examples) (Generations, error) {
	began := time.Now()
	if !e.Task.Generates() {
		return Generations{}, noText(e)
	}
	end, _ := e.End()
	most, longest := e.MaxCompletion(), 1
	for i := range e.Len() {
		longest = max(longest, len(e.Prompt(i))+most-1)
	}
	texts := make([][]int32, e.Len())
	err := p.rows(ctx, e.Len(), longest, func(s *infer.Sequence, i int) (err error) {
		texts[i], err = s.Generate(ctx, e.Prompt(i), infer.GenerateOptions{MaxTokens: most, End: []int32{end}}, nil)
		return err
	})
	if err != nil {
		return Generations{}, inFile(ctx, e, err)
	}
	return newGenerations(e, texts, p.Model.Tokenizer.Decode, began)
}

// inFile puts the file in front of what its texts are to blame for.
func inFile(ctx context.Context, e *data.Examples, err error) error {
	if ctx.Err() != nil {
		return err
	}
	return fmt.Errorf("%s: %w", e.File, err)
}

// logProbability is that of one token, by logits [vocabulary].
func logProbability(logits []float32, id int32) float64 {
	peak, sum := float64(slices.Max(logits)), 0.0
	for _, v := range logits {
		sum += math.Exp(float64(v) - peak)
	}
	return float64(logits[id]) - peak - math.Log(sum)
}
