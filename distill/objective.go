package distill

import (
	"github.com/bitdistill/bitdistill/bitnet/arch"
	"github.com/bitdistill/bitdistill/bitnet/decoder"
	"github.com/bitdistill/bitdistill/distill/loss"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"
)

// logitsBytes is the most that the logits of a model take at once, in bytes: more positions are computed in parts.
const logitsBytes = 64 << 20

// objective is what a stage minimises.
type objective struct {
	// answers means that only the tokens of the answer count, and only their logits are computed; else every next
	// token counts, as in stage 2.
	answers bool
	teacher *arch.Config // nil without distillation
	loss    Loss         // weights and normalisations of distillation; Relations and Layer resolved
}

// terms are the parts of a loss, each averaged over the whole batch. LD and AD are 0 without distillation.
type terms struct {
	Total, CE, LD, AD float64
}

func (t *terms) add(o terms) {
	t.Total += o.Total
	t.CE += o.CE
	t.LD += o.LD
	t.AD += o.AD
}

// everyPosition reports whether logits of all positions are needed although only answers count in the cross entropy.
func (o objective) everyPosition() bool {
	return o.teacher != nil && o.loss.Positions == "all" && o.loss.Lambda > 0
}

// microBatch are the inputs of a gradient; see stepper.inputs.
type microBatch struct {
	ids, mask, positions, targets, counts *graph.Node
}

// graph builds the total, CE, LD and AD of a micro-batch, scalars. The student is computed as opts say besides what is wanted of it.
func (o objective) graph(scope *model.Scope, student arch.Config, b microBatch, opts decoder.Options) (total, ce, ld, ad *graph.Node) {
	g := b.ids.Graph()
	count := func(i int) *graph.Node { return graph.Reshape(graph.Slice(b.counts, graph.AxisElem(i))) }
	in := decoder.Inputs{IDs: b.ids, Mask: b.mask}
	wanted := decoder.Options{NoLogits: true}
	if o.answers && !o.everyPosition() {
		wanted.At = b.positions
	}
	targets := loss.Targets{IDs: b.targets, Keep: b.mask, Count: count(0), KeptCount: count(1)}
	if !o.everyPosition() {
		targets.Keep = graph.GreaterOrEqual(b.targets, graph.ScalarZero(g, dtypes.Int32))
	}
	vocabulary := loss.Vocabulary{Parts: logitsParts(student, b.targets.Shape().Size())}
	relations := o.teacher != nil && o.loss.Gamma > 0
	if relations {
		wanted.States = []int{o.loss.Layer}
	}

	var teacher decoder.Outputs
	var teacherHead *loss.Head
	if o.teacher != nil {
		scope := scope.At(teacherScope)
		teacher = decoder.Forward(scope, *o.teacher, in, wanted)
		teacherHead = &loss.Head{Hidden: teacher.Final, Weight: decoder.OutputMatrix(scope, *o.teacher, g)}
		vocabulary.Distil, vocabulary.Lambda = o.loss.Logits, o.loss.Lambda
	}
	opts.NoLogits, opts.At, opts.States = wanted.NoLogits, wanted.At, wanted.States
	own := decoder.Forward(scope, student, in, opts)
	head := loss.Head{Hidden: own.Final, Weight: decoder.OutputMatrix(scope, student, g)}
	total, ce, ld = vocabulary.Loss(head, teacherHead, targets)
	ad = graph.ScalarZero(g, dtypes.Float32)
	if relations {
		states := func(out decoder.Outputs) []loss.State { return []loss.State{loss.State(out.States[o.loss.Layer])} }
		ad = o.loss.Relations.Loss(states(own), states(teacher), b.mask, count(2))
		total = graph.Add(total, graph.MulScalar(ad, o.loss.Gamma))
	}
	return total, ce, ld, ad
}

// logitsParts is the number of parts in which the logits of n positions are computed.
func logitsParts(c arch.Config, n int) int {
	rows := max(1, logitsBytes/float/c.VocabSize)
	return max(1, (n+rows-1)/rows)
}
