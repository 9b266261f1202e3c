package data

import (
	"cmp"
	"fmt"
	"slices"
)

// Evaluation is all examples once, in batches of like lengths, all with the same number of rows.
//
// Where every answer is one token ([Examples.SingleToken]), a row is a prompt with its right answer, and the logits
// at the position that Answers gives decide between the first tokens of Examples.Answers. Else there is a row for
// every example and label, the prompt with that label's answer, and the sums of log-probabilities decide.
type Evaluation struct {
	examples *Examples
	rows     int
	lengths  []int
	items    []evalItem
}

type evalItem struct{ example, choice int32 }

// EvalBatch is a batch of an evaluation. Rows that only fill up the last batch have Index -1 and no labels.
type EvalBatch struct {
	*Batch
	Index  []int32 // [Rows] the example of each row, or -1
	Choice []int32 // [Rows] the label whose answer the row holds
}

// NewEvaluation makes the batches of an evaluation; buckets is the number of lengths, 0 is 4.
func NewEvaluation(e *Examples, rows, buckets int) (*Evaluation, error) {
	o := TrainingOptions{Rows: rows, Buckets: buckets}
	if err := o.resolve(); err != nil {
		return nil, err
	}
	v := &Evaluation{examples: e, rows: min(rows, e.evalRows()), lengths: lengths(e.Longest(), e.limit, o.Buckets)}
	for i := range e.Len() {
		if e.SingleToken() || e.Task.Generates() {
			v.items = append(v.items, evalItem{int32(i), e.labels[i]})
			continue
		}
		for c := range e.Answers {
			v.items = append(v.items, evalItem{int32(i), int32(c)})
		}
	}
	slices.SortStableFunc(v.items, func(a, b evalItem) int { return cmp.Compare(v.length(a), v.length(b)) })
	return v, nil
}

// evalRows is the number of sequences that an evaluation scores.
func (e *Examples) evalRows() int {
	if e.SingleToken() || e.Task.Generates() {
		return e.Len()
	}
	return e.Len() * len(e.Answers)
}

func (v *Evaluation) length(i evalItem) int {
	return len(v.examples.Prompt(int(i.example))) + len(v.answer(i))
}

// answer is what stands behind the prompt in the row of an item.
func (v *Evaluation) answer(i evalItem) []int32 {
	if v.examples.Task.Generates() {
		return v.examples.Answer(int(i.example))
	}
	return v.examples.Answers[i.choice]
}

// Len is the number of batches.
func (v *Evaluation) Len() int { return (len(v.items) + v.rows - 1) / v.rows }

// Lengths are the lengths that batches come in, ascending.
func (v *Evaluation) Lengths() []int { return slices.Clone(v.lengths) }

// Batch is batch i of Len(), shortest rows first.
func (v *Evaluation) Batch(i int) *EvalBatch {
	items := v.items[i*v.rows : min((i+1)*v.rows, len(v.items))]
	b := &EvalBatch{
		Batch:  newBatch(v.rows, padTo(v.lengths, v.length(items[len(items)-1])), v.examples.pad),
		Index:  slices.Repeat([]int32{-1}, v.rows),
		Choice: make([]int32, v.rows),
	}
	b.answerWidth = v.examples.width
	for row, item := range items {
		b.Index[row], b.Choice[row] = item.example, item.choice
		b.set(row, v.examples.Prompt(int(item.example)), v.answer(item))
	}
	for row := len(items); row < v.rows; row++ {
		b.Mask[row*b.Length] = 1 // one token to attend to: a softmax over nothing is not a number
	}
	return b
}

// Windows is a corpus in order: consecutive windows, each once, for perplexity. The last batch is filled up with
// rows that have no labels. Where windows overlap, a token has a label in the first that holds it, so that each is predicted once.
type Windows struct {
	corpus *Corpus
	rows   int
}

// NewWindows makes batches of rows windows.
func NewWindows(c *Corpus, rows int) (*Windows, error) {
	if rows < 1 {
		return nil, fmt.Errorf("batch size: %d, want at least 1", rows)
	}
	return &Windows{corpus: c, rows: min(rows, c.Len())}, nil
}

// Len is the number of batches.
func (w *Windows) Len() int { return (w.corpus.Len() + w.rows - 1) / w.rows }

// Batch is windows [i*rows, (i+1)*rows), [rows, Corpus.Length].
func (w *Windows) Batch(i int) *Batch {
	first := i * w.rows
	b := newBatch(w.rows, w.corpus.Length, w.corpus.pad)
	for row := range w.rows {
		if first+row < w.corpus.Len() {
			ids, err := w.corpus.Window(first + row)
			if err != nil {
				b.Err = err
				return b
			}
			b.set(row, nil, ids)
			for i := range w.corpus.seen(first + row) {
				b.Labels[row*b.Length+i] = NoLabel
			}
		} else {
			b.Mask[row*b.Length] = 1
		}
		b.Labels[row*b.Length] = NoLabel // nothing predicts the first token
	}
	return b
}
