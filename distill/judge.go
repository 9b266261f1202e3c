package distill

import (
	"context"
	"fmt"

	"github.com/bitdistill/bitdistill/bitnet/hf"
	"github.com/bitdistill/bitdistill/distill/data"
	"github.com/bitdistill/bitdistill/distill/eval"
)

// judge measures a model on the task: the accuracy of a classification, the perplexity of the completions of a generation.
type judge struct {
	classifier  *eval.Classifier
	completions *eval.Completions
}

// judge makes the judge of a model for the run's task. Its weights may change between judgements.
func (r *Run) judge(m *hf.Model) (j judge, err error) {
	if r.sources.task.Generates() {
		j.completions, err = eval.NewCompletions(r.choice.Backend, m.Config, m.Store, r.Config.EvalBatchSize)
	} else {
		j.classifier, err = eval.NewClassifier(r.choice.Backend, m.Config, m.Store, r.Config.EvalBatchSize)
	}
	return j, err
}

// row is what the judgement puts into the row of a model. progress may be nil.
func (j judge) row(ctx context.Context, e *data.Examples, progress func(done, total int)) (Row, error) {
	if j.completions != nil {
		j.completions.Progress = progress
		p, err := j.completions.Perplexity(ctx, e)
		return Row{Perplexity: p.Perplexity, N: e.Len()}, err
	}
	j.classifier.Progress = progress
	a, err := j.classifier.Accuracy(ctx, e)
	return Row{Accuracy: a.Accuracy, Stderr: a.Stderr, N: a.N}, err
}

// score is what the best checkpoint has most of: the accuracy, or the mean log-likelihood of a token.
func (j judge) score(ctx context.Context, e *data.Examples) (float64, error) {
	if j.completions != nil {
		p, err := j.completions.Perplexity(ctx, e)
		return -p.NLL, err
	}
	a, err := j.classifier.Accuracy(ctx, e)
	return a.Accuracy, err
}

// verdict is the row's result in words.
func (r Row) verdict() string {
	if r.Perplexity > 0 {
		text := fmt.Sprintf("perplexity %.3f of the completions", r.Perplexity)
		if o := r.Overlap; o != nil {
			text += fmt.Sprintf(", BLEU %.2f and ROUGE-L %.2f of %d texts", o.BLEU, 100*o.ROUGEL, o.Generated)
		}
		return text
	}
	return fmt.Sprintf("accuracy %.2f ± %.2f %%", 100*r.Accuracy, 100*r.Stderr)
}
