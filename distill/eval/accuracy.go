package eval

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/bitdistill/bitdistill/bitnet/arch"
	"github.com/bitdistill/bitdistill/bitnet/decoder"
	"github.com/bitdistill/bitdistill/distill/data"
	"github.com/bitdistill/bitdistill/internal/backend"
	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
)

// Accuracy is the result of classifying a set of examples.
type Accuracy struct {
	N        int     `json:"n"`        // examples
	Accuracy float64 `json:"accuracy"` // share that was right, 0 to 1
	Stderr   float64 `json:"stderr"`   // standard error of the share, sqrt(a(1-a)/n)
	Seconds  float64 `json:"seconds"`  // wall time

	Predictions []int       `json:"-"` // label index of each example, in the order of the examples
	Scores      [][]float64 `json:"-"` // log-probability of each label's answer, [examples][labels]
}

// Classifier scores labels by the log-probability of their answers' full token sequences behind the prompt, and takes the
// largest. It keeps its compiled graphs: make one and use it for all evaluations of a model, whose weights may change in
// between.
type Classifier struct {
	backend  compute.Backend
	Progress func(done, total int) // batches; may be nil

	exec     *model.Exec
	config   arch.Config
	rows     int
	building sync.Mutex // building a graph writes to the variables, and two lengths may come up at once
}

// NewClassifier makes a classifier of a model that computes rows sequences at a time.
func NewClassifier(backend compute.Backend, cfg arch.Config, store *model.Store, rows int) (*Classifier, error) {
	c := &Classifier{backend: backend, config: cfg, rows: rows}
	var err error
	c.exec, err = newExec(backend, store, c.graph)
	return c, err
}

// graph takes ids and mask [rows, length], positions [rows, width] and candidates [n], the ids to score, all int32. It
// returns the log-probabilities of the candidates at each position: [rows, width, n].
func (c *Classifier) graph(scope *model.Scope, in []*graph.Node) []*graph.Node {
	c.building.Lock()
	defer c.building.Unlock()
	ids, mask, positions, candidates := in[0], in[1], in[2], in[3]
	out := decoder.Forward(scope, c.config, decoder.Inputs{IDs: ids, Mask: mask}, decoder.Options{At: positions})
	logProbs := graph.LogSoftmax(out.Logits, -1)
	byToken := graph.TransposeAllAxes(logProbs, 2, 0, 1)
	chosen := graph.Gather(byToken, graph.InsertAxes(candidates, -1)) // [n, rows, width]
	return []*graph.Node{graph.TransposeAllAxes(chosen, 1, 2, 0)}
}

// Accuracy classifies all examples. It stops with the context's error when that ends.
func (c *Classifier) Accuracy(ctx context.Context, e *data.Examples) (Accuracy, error) {
	began := time.Now()
	if e.Len() == 0 {
		return Accuracy{}, fmt.Errorf("%s: no examples to evaluate on", e.File)
	}
	batches, err := data.NewEvaluation(e, c.rows, backend.PaddedLengths(c.backend))
	if err != nil {
		return Accuracy{}, err
	}
	if err := checkLength(c.config, slices.Max(batches.Lengths())); err != nil {
		return Accuracy{}, fmt.Errorf("%s: %w", e.File, err)
	}
	scores := make([][]float64, e.Len())
	for i := range scores {
		scores[i] = make([]float64, len(e.Answers))
	}
	err = each(ctx, c.backend, batches.Len(), c.Progress, func(i int) (apply func(), err error) {
		return c.score(batches.Batch(i), e, scores)
	})
	if err != nil {
		return Accuracy{}, err
	}
	return newAccuracy(e, scores, began)
}

// newAccuracy takes the label with the largest score of each example.
func newAccuracy(e *data.Examples, scores [][]float64, began time.Time) (Accuracy, error) {
	r := Accuracy{N: e.Len(), Predictions: make([]int, e.Len()), Scores: scores}
	right := 0
	for i, scores := range r.Scores {
		for label, s := range scores {
			if math.IsNaN(s) {
				return Accuracy{}, fmt.Errorf("%s:%d: the model's log-probability is not a number; its weights have diverged", e.File, e.Line(i))
			}
			if s > scores[r.Predictions[i]] {
				r.Predictions[i] = label
			}
		}
		if r.Predictions[i] == e.Label(i) {
			right++
		}
	}
	r.Accuracy = float64(right) / float64(r.N)
	r.Stderr = math.Sqrt(r.Accuracy * (1 - r.Accuracy) / float64(r.N))
	r.Seconds = time.Since(began).Seconds()
	return r, nil
}

// score computes the log-probabilities of a batch; apply adds them to the scores. With answers of one token each, all
// labels are read off one position; else each row holds one label's answer.
func (c *Classifier) score(b *data.EvalBatch, e *data.Examples, scores [][]float64) (apply func(), err error) {
	positions, targets, width := b.Answers()
	single := e.SingleToken()
	candidates := firstTokens(e.Answers)
	if !single {
		candidates = distinct(e.Answers)
	}
	out, err := run(c.exec, b, positions, width, tensors.FromFlatDataAndDimensions(candidates, len(candidates)))
	if err != nil {
		return nil, err
	}
	logProbs, err := tensors.CopyFlatData[float32](out) // [rows, width, candidates]
	if err != nil {
		return nil, err
	}
	column := map[int32]int{}
	for i, id := range candidates {
		column[id] = i
	}
	return func() {
		for row, example := range b.Index {
			if example < 0 {
				continue
			}
			at := row * width * len(candidates)
			if single {
				for label := range e.Answers {
					scores[example][label] = float64(logProbs[at+label])
				}
				continue
			}
			for k := range width {
				if target := targets[row*width+k]; target != data.NoLabel {
					scores[example][b.Choice[row]] += float64(logProbs[at+k*len(candidates)+column[target]])
				}
			}
		}
	}, nil
}

func firstTokens(answers [][]int32) []int32 {
	ids := make([]int32, len(answers))
	for i, a := range answers {
		ids[i] = a[0]
	}
	return ids
}

// distinct lists the tokens that occur, in ascending order.
func distinct(answers [][]int32) []int32 {
	ids := slices.Concat(answers...)
	slices.Sort(ids)
	return slices.Compact(ids)
}
