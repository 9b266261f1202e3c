package distill

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/bitdistill/bitdistill/distill/data"
	"github.com/bitdistill/bitdistill/distill/embedded"
)

// corpusParts are the splits of the corpus, disjoint windows of it.
type corpusParts struct {
	train             []*data.Corpus // one, or those of a mixture
	shares            []int          // of a mixture, see data.Shares; nil without
	selection, report *data.Corpus   // selection is nil if no windows are set aside
}

// source serves the windows that are trained on.
func (p *corpusParts) source(rows int, seed uint64) (data.Source, error) {
	if p.shares == nil {
		return data.NewPacked(p.train[0], rows, seed)
	}
	return data.NewMixture(p.train, p.shares, rows, seed)
}

// component is a corpus that keeps to itself: all that the config names, or one part of a mixture.
type component struct {
	name   string // the entries of corpus.files
	inputs []data.CorpusInput
}

// parseWeight takes a weight off an entry of corpus.files: "wiki/=3". A file whose whole name is that is a file.
func parseWeight(entry string) (name string, weight float64, weighted bool) {
	i := strings.LastIndexByte(entry, '=')
	if i < 0 {
		return entry, 0, false
	}
	weight, err := strconv.ParseFloat(entry[i+1:], 64)
	if err != nil {
		return entry, 0, false
	}
	if _, err := os.Stat(entry); err == nil {
		return entry, 0, false
	}
	return entry[:i], weight, true
}

// components opens what the entries of corpus.files name. Without weights they are one component.
func components(entries []string, tok data.Vocabulary) (all []component, shares []int, err error) {
	var weights []float64
	for _, entry := range entries {
		name, weight, weighted := parseWeight(entry)
		input, err := openInput(name, tok)
		if err != nil {
			return nil, nil, err
		}
		if weighted {
			weights = append(weights, weight)
		}
		all = append(all, component{entry, []data.CorpusInput{input}})
	}
	switch {
	case len(weights) == 0:
		return []component{joinComponents(all)}, nil, nil
	case len(weights) < len(entries):
		return nil, nil, wrongInput("corpus.files: %s: of a mixture every part has a weight, such as %s=1", strings.Join(entries, ", "), entries[0])
	}
	if shares, err = data.Shares(weights); err != nil {
		return nil, nil, wrongInput("corpus.files: %w", err)
	}
	return all, shares, nil
}

// joinComponents lays components end to end; files that follow one another are one input, so that a limit holds for all of
// them together.
func joinComponents(all []component) component {
	var c component
	var names []string
	for _, part := range all {
		names = append(names, part.name)
		in := part.inputs[0]
		if last := len(c.inputs) - 1; last >= 0 && in.Tokenized == nil && c.inputs[last].Tokenized == nil {
			c.inputs[last].Files = append(c.inputs[last].Files, in.Files...)
		} else {
			c.inputs = append(c.inputs, in)
		}
	}
	c.name = strings.Join(names, ", ")
	return c
}

// openInput finds the files of a name, or opens the tokenized corpus there.
func openInput(name string, tok data.Vocabulary) (data.CorpusInput, error) {
	switch {
	case name == Embedded:
		return data.CorpusInput{Files: []data.File{embedded.Corpus()}}, nil
	case data.IsTokenized(name):
		t, err := data.OpenTokenized(name, tok)
		if err != nil {
			return data.CorpusInput{}, inputError{fmt.Errorf("corpus: %w", err)}
		}
		return data.CorpusInput{Tokenized: t}, nil
	}
	files, err := OpenCorpus(name)
	return data.CorpusInput{Files: files}, err
}

func (c component) close() {
	for _, in := range c.inputs {
		if in.Tokenized != nil {
			in.Tokenized.Close()
		}
	}
}

// setAside spreads n windows over the parts of a mixture by their shares, at least one each; without shares, over one.
func setAside(n int, shares []int) []int {
	if shares == nil {
		return []int{n}
	}
	counts := make([]int, len(shares))
	if n == 0 {
		return counts
	}
	begin := 0
	for i, share := range shares { // differences of rounded sums come to n
		end := begin + share
		counts[i] = max(1, (n*end+500)/1000-(n*begin+500)/1000)
		begin = end
	}
	return counts
}

// checkCorpus finds the corpus and reads as much of its files as has to be set aside.
func (s *sources) checkCorpus(ctx context.Context, tok data.Vocabulary) error {
	c := s.config.Corpus
	all, shares, err := components(c.Files, tok)
	if err != nil {
		return err
	}
	report, selection := setAside(c.ReportWindows, shares), setAside(c.SelectionWindows, shares)
	for i, part := range all {
		defer part.close()
		windows := report[i] + selection[i] + 1
		head, err := data.OpenCorpus(ctx, part.inputs, tok, data.CorpusOptions{Length: c.Length, Packing: c.Packing, MaxTokens: int64(windows) * int64(c.Length)})
		if err != nil {
			return wrongInput("corpus: %w", err)
		}
		if head.Len() < windows {
			return wrongInput("corpus: %s: %d windows of %d tokens in all, too few to set %d aside and train on the rest; give more text, or lower corpus.report_windows",
				part.name, head.Len(), c.Length, windows-1)
		}
	}
	return nil
}

// text opens the corpus, reads its files up to about what the training asks for, and sets windows aside from the end of
// each part.
func (s *sources) text(ctx context.Context, log *runLog) (*corpusParts, error) {
	if s.corpus != nil {
		return s.corpus, nil
	}
	tok, err := s.tokenizer()
	if err != nil {
		return nil, err
	}
	all, shares, err := components(s.config.Corpus.Files, tok)
	if err != nil {
		return nil, err
	}
	parts := &corpusParts{shares: shares}
	var reports, selections []*data.Corpus
	for i, part := range all {
		train, selection, report, err := s.readPart(ctx, log, part, i, shares, tok)
		if err != nil {
			return nil, err
		}
		parts.train, reports = append(parts.train, train), append(reports, report)
		if selection != nil {
			selections = append(selections, selection)
		}
	}
	parts.report = data.JoinCorpora(reports...)
	if len(selections) > 0 {
		parts.selection = data.JoinCorpora(selections...)
	}
	s.corpus = parts
	return parts, nil
}

// readPart reads component i and splits it.
func (s *sources) readPart(ctx context.Context, log *runLog, part component, i int, shares []int, tok data.Vocabulary) (train, selection, report *data.Corpus, err error) {
	c := s.config.Corpus
	for _, in := range part.inputs {
		if in.Tokenized == nil {
			continue
		}
		log.printf("corpus: comparing %s with its checksums, Tokens=%s", part.name, data.FormatTokens(int64(in.Tokenized.Info.Tokens)))
		if err := in.Tokenized.Check(ctx, nil); err != nil {
			return nil, nil, nil, readFault(ctx, err)
		}
	}
	forReport, forSelection := setAside(c.ReportWindows, shares)[i], setAside(c.SelectionWindows, shares)[i]
	limit := s.config.Stage2.corpusTokens(c.Length)
	if limit > 0 {
		if shares != nil {
			limit = data.Needed(shares[i], (limit+int64(c.Length)-1)/int64(c.Length)) * int64(c.Length)
		}
		limit += int64(c.Length) * int64(forReport+forSelection)
	}
	train, err = data.OpenCorpus(ctx, part.inputs, tok, data.CorpusOptions{Length: c.Length, Packing: c.Packing, MaxTokens: limit})
	if err != nil {
		return nil, nil, nil, readFault(ctx, err)
	}
	if shares == nil {
		log.printf("corpus: %v", train.Counts)
	} else {
		log.printf("corpus: %s, %.1f %% of the windows: %v", part.name, float64(shares[i])/10, train.Counts)
	}
	if train, report, err = train.Split(forReport); err != nil {
		return nil, nil, nil, wrongInput("corpus.report_windows: %s: %w", part.name, err)
	}
	if forSelection > 0 {
		if train, selection, err = train.Split(forSelection); err != nil {
			return nil, nil, nil, wrongInput("corpus.selection_windows: %s: %w", part.name, err)
		}
	}
	return train, selection, report, nil
}

// readFault marks an error of reading data as one of input, unless reading was interrupted.
func readFault(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return err
	}
	return inputError{err}
}
