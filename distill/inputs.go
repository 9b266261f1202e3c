package distill

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/bitdistill/bitdistill/bitnet/hf/files"
	"github.com/bitdistill/bitdistill/distill/data"
	"github.com/bitdistill/bitdistill/distill/embedded"
)

// inputs are hashes of what a training reads, by setting and name, such as "task.train: a.tsv". They tell a user which file is not
// what it was; whether a training may go on, trainState.Data decides.
type inputs map[string]string

// taskInputs are those of a training on the task.
func (s *sources) taskInputs(ctx context.Context, tok *files.Tokenizer) (inputs, error) {
	task, err := json.Marshal(s.task)
	if err != nil {
		return nil, err
	}
	train, err := taskFile(s.config.Task.Train, embedded.Train).SHA256(ctx)
	return inputs{
		"task.train: " + s.config.Task.Train: train,
		"task.name: " + s.config.Task.Name:   fmt.Sprintf("%x", sha256.Sum256(task)),
		s.tokenizerInput():                   tok.Hash(),
	}, ReadFault(ctx, err)
}

// corpusInputs are those of a training on the corpus.
func (s *sources) corpusInputs(parts []*data.Corpus, tok *files.Tokenizer) inputs {
	in := inputs{s.tokenizerInput(): tok.Hash()}
	for _, part := range parts {
		for name, sum := range part.Inputs() {
			in["corpus.files: "+name] += sum // parts of a mixture may share a file
		}
	}
	return in
}

func (s *sources) tokenizerInput() string { return "tokenizer of model: " + s.config.Model }

// changes lists what is not as it was; both are of one stage. Where a limit ends the reading of a corpus, another length of one file
// changes how much is read of those behind it: these are listed only where nothing else is.
func (now inputs) changes(before inputs) []string {
	var certain, possible []string
	names := maps.Clone(now)
	maps.Copy(names, before)
	for name := range names {
		is, found := now[name]
		was, known := before[name]
		switch {
		case !known:
			possible = append(possible, name+" (was not there)")
		case !found:
			possible = append(possible, name+" (is not there any more)")
		case is != was && strings.Contains(is+was, data.PartRead):
			possible = append(possible, name)
		case is != was:
			certain = append(certain, name)
		}
	}
	if len(certain) == 0 {
		certain = possible
	}
	slices.Sort(certain)
	return certain
}

// otherData is the error of a checkpoint that was made from something else.
func (t *trainer) otherData(saved trainState) error {
	if saved.Inputs == nil { // of an earlier version
		return wrongInput("%s: the checkpoint at step %d was made with other data, batches or seed; restore them, or start anew in another folder",
			t.checkpoints.dir, saved.Step)
	}
	changed := t.inputs.changes(saved.Inputs)
	if len(changed) == 0 {
		return wrongInput("%s: the checkpoint at step %d was made with the same files, but other settings (batch, seed, lengths, rows set aside); restore them, or start anew in another folder",
			t.checkpoints.dir, saved.Step)
	}
	return wrongInput("%s: since the checkpoint at step %d these have changed: %s; restore them, or start anew in another folder",
		t.checkpoints.dir, saved.Step, strings.Join(changed, ", "))
}
