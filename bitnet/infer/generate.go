package infer

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// GenerateOptions say how a text goes on. Of the tokens that TopK leaves, TopP takes the likeliest.
type GenerateOptions struct {
	MaxTokens   int      // to write, at least 1
	Temperature float64  // logits are divided by it; 0 always takes the likeliest token
	TopK        int      // only so many of the likeliest tokens are drawn; 0 for all
	TopP        float64  // only the likeliest tokens are drawn that have this probability together; 0 and 1 for all
	Seed        uint64   // of what is drawn: the same one gives the same text
	End         []int32  // tokens that end a text, which are not part of it
	Stop        []string // strings that end a text; they are part of it. They need a tokenizer
}

// Generate continues a prompt with up to MaxTokens tokens, and returns those. each takes every token as soon as it is there, and ends
// the text with the error that it returns; it may be nil. With an error there are the tokens written so far. A prompt that is empty, or
// too long for the model with as many tokens behind it, is refused.
func (m *Model) Generate(ctx context.Context, prompt []int32, o GenerateOptions, each func(id int32) error) ([]int32, error) {
	s, err := m.NewSequence(max(1, len(prompt)+o.MaxTokens-1))
	if err != nil {
		return nil, err
	}
	return s.Generate(ctx, prompt, o, each)
}

// Generate is [Model.Generate] in a sequence that is there already: of a prompt it computes what the sequence does not begin with, such as
// the last question of a conversation.
func (s *Sequence) Generate(ctx context.Context, prompt []int32, o GenerateOptions, each func(id int32) error) ([]int32, error) {
	if o.MaxTokens < 1 {
		return nil, fmt.Errorf("infer: %d tokens to generate, want at least 1", o.MaxTokens)
	}
	if err := s.fits(len(prompt) + o.MaxTokens - 1); err != nil {
		return nil, err
	}
	if len(o.Stop) > 0 && s.model.Tokenizer == nil {
		return nil, fmt.Errorf("infer: strings to stop at, but the model has no tokenizer")
	}
	draw, err := newSampler(o, s.model.Config.VocabSize)
	if err != nil {
		return nil, err
	}
	logits, err := s.Read(ctx, prompt)
	if err != nil {
		return nil, err
	}
	ids := make([]int32, 0, o.MaxTokens)
	for {
		id, ok := draw.next(logits)
		if !ok {
			return ids, fmt.Errorf("infer: logits behind token %d are no finite numbers; the model's weights are damaged or have diverged", s.Len()-1)
		}
		if slices.Contains(o.End, id) {
			return ids, nil
		}
		ids = append(ids, id)
		if each != nil {
			if err := each(id); err != nil {
				return ids, err
			}
		}
		if len(ids) == o.MaxTokens || s.stops(ids, o.Stop) {
			return ids, nil
		}
		if err := s.Append(ctx, ids[len(ids)-1:], logits); err != nil {
			return ids, err
		}
	}
}

// stops reports whether the text has one of the strings.
func (s *Sequence) stops(ids []int32, stop []string) bool {
	if len(stop) == 0 {
		return false
	}
	text := s.model.Tokenizer.Decode(ids)
	return slices.ContainsFunc(stop, func(end string) bool { return end != "" && strings.Contains(text, end) })
}
