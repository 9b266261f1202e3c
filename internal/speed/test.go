package speed

import "fmt"

// Test is a pass that is timed: a prompt, tokens generated one after the other, or both.
type Test struct {
	Prompt    int `json:"prompt"`
	Generate  int `json:"generate"`
	Sequences int `json:"sequences"` // side by side; more than one only generate
}

// String is the name of the test, such as pp128, tg64, pp512+tg128 or tg64x8.
func (t Test) String() string {
	var s string
	switch {
	case t.Generate == 0:
		s = fmt.Sprintf("pp%d", t.Prompt)
	case t.Prompt == 0:
		s = fmt.Sprintf("tg%d", t.Generate)
	default:
		s = fmt.Sprintf("pp%d+tg%d", t.Prompt, t.Generate)
	}
	if t.Sequences > 1 {
		s += fmt.Sprintf("x%d", t.Sequences)
	}
	return s
}

// Tokens is how many tokens a test computes.
func (t Test) Tokens() int { return (t.Prompt + t.Generate) * t.Sequences }
