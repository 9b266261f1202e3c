package eval

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/bitdistill/bitdistill/bitnet/arch"
	"github.com/bitdistill/bitdistill/bitnet/decoder"
	"github.com/bitdistill/bitdistill/distill/data"
	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
)

// Perplexity is the result of predicting a text.
type Perplexity struct {
	Perplexity float64 `json:"perplexity"` // exp(NLL)
	NLL        float64 `json:"nll"`        // mean negative log-likelihood of a token, in nats
	Tokens     int     `json:"tokens"`     // predictions
	Seconds    float64 `json:"seconds"`    // wall time
}

// LanguageModel measures perplexity. It keeps its compiled graph: make one and use it for all evaluations of a model,
// whose weights may change in between.
type LanguageModel struct {
	backend  compute.Backend
	Progress func(done, total int) // batches; may be nil

	exec   *model.Exec
	config arch.Config
	rows   int
}

// batchLogits bounds the logits of a batch, float32: those of a real vocabulary outweigh all else of a forward pass.
const batchLogits = 64 << 20

// NewLanguageModel makes the evaluator of a model that computes rows windows at a time, or fewer where the logits of so
// many would take over 64 MiB. It holds several times that, since their softmax is of the same size.
func NewLanguageModel(backend compute.Backend, cfg arch.Config, store *model.Store, rows int) (*LanguageModel, error) {
	l := &LanguageModel{backend: backend, config: cfg, rows: rows}
	exec, err := model.NewExec(backend, store, l.graph)
	l.exec = exec
	return l, err
}

// graph takes ids, mask and targets [rows, length], int32, and returns the log-probability of each target [rows, length].
func (l *LanguageModel) graph(scope *model.Scope, in []*graph.Node) []*graph.Node {
	ids, mask, targets := in[0], in[1], in[2]
	out := decoder.Forward(scope, l.config, decoder.Inputs{IDs: ids, Mask: mask}, decoder.Options{})
	return []*graph.Node{chosen(graph.LogSoftmax(out.Logits, -1), targets)}
}

// Perplexity predicts every token of every window but its first. It stops with the context's error when that ends.
func (l *LanguageModel) Perplexity(ctx context.Context, c *data.Corpus) (Perplexity, error) {
	began := time.Now()
	if err := checkLength(l.config, c.Length); err != nil {
		return Perplexity{}, err
	}
	windows, err := data.NewWindows(c, max(1, min(l.rows, batchLogits/(4*c.Length*l.config.VocabSize))))
	if err != nil {
		return Perplexity{}, err
	}
	var sum float64
	r := Perplexity{}
	err = each(ctx, l.backend, windows.Len(), l.Progress, func(i int) (apply func(), err error) {
		b := windows.Batch(i)
		if b.Err != nil {
			return nil, b.Err
		}
		targets := b.Targets()
		outs, err := l.exec.Exec(
			tensors.FromFlatDataAndDimensions(b.IDs, b.Rows, b.Length),
			tensors.FromFlatDataAndDimensions(b.Mask, b.Rows, b.Length),
			tensors.FromFlatDataAndDimensions(targets, b.Rows, b.Length))
		if err != nil {
			return nil, err
		}
		return r.add(outs[0], targets, &sum)
	})
	if err != nil {
		return Perplexity{}, err
	}
	return r.of(sum, began)
}

// chosen takes log-probabilities [rows, length, vocabulary] and targets [rows, length], int32, and returns those of the targets
// [rows, length]; of targets that are negative, those of token 0.
func chosen(logProbs, targets *graph.Node) *graph.Node {
	dims := logProbs.Shape().Dimensions
	n := dims[0] * dims[1]
	place := graph.Concatenate([]*graph.Node{
		graph.Iota(logProbs.Graph(), shapes.Make(dtypes.Int32, n, 1), 0),
		graph.MaxScalar(graph.Reshape(targets, n, 1), 0),
	}, 1)
	return graph.Reshape(graph.Gather(graph.Reshape(logProbs, n, dims[2]), place), dims[0], dims[1])
}

// add gives what adds a batch's log-probabilities, one for each target, to sum, negative, and counts them.
func (r *Perplexity) add(logProbs *tensors.Tensor, targets []int32, sum *float64) (apply func(), err error) {
	values, err := tensors.CopyFlatData[float32](logProbs)
	return func() {
		for j, t := range targets {
			if t != data.NoLabel {
				*sum -= float64(values[j])
				r.Tokens++
			}
		}
	}, err
}

// of fills in what follows from the sum of the negative log-likelihoods of r.Tokens tokens.
func (r Perplexity) of(sum float64, began time.Time) (Perplexity, error) {
	if r.Tokens == 0 {
		return Perplexity{}, fmt.Errorf("perplexity: there is no token to predict")
	}
	r.NLL = sum / float64(r.Tokens)
	if math.IsNaN(r.NLL) {
		return Perplexity{}, fmt.Errorf("perplexity: the model's log-probabilities are not numbers; its weights have diverged")
	}
	r.Perplexity = math.Exp(r.NLL)
	r.Seconds = time.Since(began).Seconds()
	return r, nil
}
