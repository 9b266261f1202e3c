package distill

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/bitdistill/bitdistill/distill/data"
)

// corpusParts are the splits of the corpus, disjoint windows of it.
type corpusParts struct {
	train             []*data.Corpus // one, or those of a mixture
	shares            []int          // of a mixture, see data.Shares; nil without
	selection, report *data.Corpus   // selection is nil if no windows are set aside
	inputs            inputs
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
	name    string // the entries of corpus.files
	inputs  []data.CorpusInput
	release releases // to be called once no file is to be read any more
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

// corpusMark is the key of Config.Hub that says that the corpus is corpus.fallback.
const corpusMark = "corpus"

// fallbackMark is its value: in place of what.
func (c Corpus) fallbackMark() string { return "fallback for " + strings.Join(c.Files, ", ") }

// onFallback tells whether the fallback was taken in place of this very corpus.
func (s *sources) onFallback() bool {
	return s.config.Corpus.Fallback != "" && s.fetch.pins[corpusMark] == s.config.Corpus.fallbackMark()
}

// entries are the names that the corpus goes by.
func (s *sources) entries() []string {
	if s.onFallback() {
		return []string{s.config.Corpus.Fallback}
	}
	return s.config.Corpus.Files
}

// orFallback reads the corpus, and where the hub cannot be reached, reads the fallback if the user has named one.
func (s *sources) orFallback(read func() error) error {
	err := read()
	switch {
	case !errors.Is(err, ErrUnreachable) || s.onFallback():
		return err
	case s.begun:
		return fmt.Errorf("%w; stage 2 has begun with this corpus and goes on once it can be had", err)
	case s.config.Corpus.Fallback == "":
		return fmt.Errorf("%w; to go on without the hub, name a local corpus with --fallback-corpus (corpus.fallback)", err)
	}
	s.fetch.printf("corpus: the hub cannot be reached: %v", err)
	s.fetch.printf("corpus: the fallback %s is taken in its place", s.config.Corpus.Fallback)
	s.fetch.pins[corpusMark] = s.config.Corpus.fallbackMark()
	return read()
}

// components opens what the entries name. Without weights they are one component.
func (s *sources) components(ctx context.Context, tok data.Vocabulary) (all []component, shares []int, err error) {
	entries := s.entries()
	defer func() {
		if err != nil {
			closeAll(all)
			all = nil
		}
	}()
	var weights []float64
	without := "" // an entry that has no weight
	for _, entry := range entries {
		name, weight, weighted := parseWeight(entry)
		input, release, err := s.openInput(ctx, name, tok)
		if err != nil {
			return all, nil, err
		}
		if weighted {
			weights = append(weights, weight)
		} else {
			without = entry
		}
		all = append(all, component{entry, []data.CorpusInput{input}, releases{release}})
	}
	switch {
	case len(weights) == 0:
		return []component{joinComponents(all)}, nil, nil
	case len(weights) < len(entries):
		return all, nil, wrongInput("corpus.files: of a mixture every part has a weight; write %s=1", without)
	}
	if shares, err = data.Shares(weights); err != nil {
		return all, nil, wrongInput("corpus.files: %w", err)
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
		c.release = append(c.release, part.release...)
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

// openInput finds the files of a name, or opens the tokenized corpus there. Files of the hub stay in the cache: a run that goes on
// reads them again.
func (s *sources) openInput(ctx context.Context, name string, tok data.Vocabulary) (data.CorpusInput, func(read bool), error) {
	if data.IsTokenized(name) {
		t, err := data.OpenTokenized(name, tok)
		if err != nil {
			return data.CorpusInput{}, nil, inputError{fmt.Errorf("corpus: %w", err)}
		}
		return data.CorpusInput{Tokenized: t}, func(bool) {}, nil
	}
	files, release, err := s.fetch.files(ctx, name, true)
	return data.CorpusInput{Files: files}, release, err
}

// closeAll closes what nothing is to be read of any more.
func closeAll(all []component) {
	for _, c := range all {
		c.release.call(false)
		for _, in := range c.inputs {
			if in.Tokenized != nil {
				in.Tokenized.Close()
			}
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

// checkCorpus finds the corpus and reads as much of its files as has to be set aside. A fallback has to be there too.
func (s *sources) checkCorpus(ctx context.Context, tok data.Vocabulary) error {
	if fallback := s.config.Corpus.Fallback; fallback != "" {
		input, release, err := s.openInput(ctx, fallback, tok)
		if err != nil {
			return wrongInput("corpus.fallback: %w", err)
		}
		closeAll([]component{{fallback, []data.CorpusInput{input}, releases{release}}})
	}
	return s.orFallback(func() error { return s.checkParts(ctx, tok) })
}

func (s *sources) checkParts(ctx context.Context, tok data.Vocabulary) error {
	c := s.config.Corpus
	all, shares, err := s.components(ctx, tok)
	if err != nil {
		return err
	}
	defer closeAll(all)
	report, selection := setAside(c.ReportWindows, shares), setAside(c.SelectionWindows, shares)
	for i, part := range all {
		windows := report[i] + selection[i] + 1
		head, err := data.OpenCorpus(ctx, part.inputs, tok, data.CorpusOptions{Length: c.Length, Packing: c.Packing, MaxTokens: int64(windows) * int64(c.Length)})
		if err != nil {
			return ReadFault(ctx, fmt.Errorf("corpus: %w", err))
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
	tok, err := s.tokenizer(ctx)
	if err != nil {
		return nil, err
	}
	err = s.orFallback(func() error {
		s.corpus, err = s.readParts(ctx, log, tok)
		return err
	})
	if err == nil {
		s.corpus.inputs = s.corpusInputs(s.corpus.train, tok)
	}
	return s.corpus, err
}

func (s *sources) readParts(ctx context.Context, log *runLog, tok data.Vocabulary) (*corpusParts, error) {
	all, shares, err := s.components(ctx, tok)
	if err != nil {
		return nil, err
	}
	parts := &corpusParts{shares: shares}
	var reports, selections []*data.Corpus
	for i, part := range all {
		train, selection, report, err := s.readPart(ctx, log, part, i, shares, tok)
		if err != nil {
			closeAll(all)
			return nil, err
		}
		part.release.call(true)
		parts.train, reports = append(parts.train, train), append(reports, report)
		if selection != nil {
			selections = append(selections, selection)
		}
	}
	parts.report = data.JoinCorpora(reports...)
	if len(selections) > 0 {
		parts.selection = data.JoinCorpora(selections...)
	}
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
			return nil, nil, nil, ReadFault(ctx, err)
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
		return nil, nil, nil, ReadFault(ctx, err)
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

// ReadFault makes an error of reading data wrap [ErrInput], unless there is none, reading was interrupted, or the hub is at fault.
func ReadFault(ctx context.Context, err error) error {
	if err == nil || ctx.Err() != nil || errors.Is(err, ErrUnreachable) {
		return err
	}
	return inputError{err}
}
