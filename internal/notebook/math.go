package notebook

import (
	"bytes"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/parser"
	mdtext "github.com/yuin/goldmark/text"
	"github.com/yuin/goldmark/util"
)

// formulas makes Markdown leave TeX alone: $...$ and $$...$$ become code of the class "math", the latter also "display", with the
// TeX in it as it was written, without the dollars. As code, no part of it can be an element of the page.
type formulas struct{}

// fence stands around formulas with lines of their own.
const fence = "$$"

func (formulas) Extend(m goldmark.Markdown) {
	m.Parser().AddOptions(
		parser.WithInlineParsers(util.Prioritized(formulaParser{}, 150)), // after code, before links
		parser.WithBlockParsers(util.Prioritized(displayParser{}, 50)),   // before all: "=" and "-" may begin lines of TeX
	)
}

// formulaParser finds formulas in text. Where a single dollar is followed by a space, or the next one comes after a space or before
// a digit, it is money.
type formulaParser struct{}

func (formulaParser) Trigger() []byte { return []byte{'$'} }

func (formulaParser) Parse(_ ast.Node, block mdtext.Reader, _ parser.Context) ast.Node {
	mark, class := "$", "math"
	line, _ := block.PeekLine()
	if bytes.HasPrefix(line, []byte(fence)) {
		mark, class = fence, "math display"
	} else if len(line) < 2 || util.IsSpace(line[1]) || block.PrecendingCharacter() == '$' {
		return nil
	}
	number, position := block.Position()
	block.Advance(len(mark))
	node := ast.NewCodeSpan()
	node.SetAttributeString("class", []byte(class))
	for {
		line, segment := block.PeekLine()
		if line == nil {
			break
		}
		end := closing(line, mark)
		if end < 0 {
			appendRaw(node, segment)
			block.AdvanceLine()
			continue
		}
		after := end + len(mark)
		if mark == "$" && (end == 0 || util.IsSpace(line[end-1]) || after < len(line) && util.IsNumeric(line[after])) {
			break
		}
		appendRaw(node, segment.WithStop(segment.Start+end))
		if node.FirstChild() == nil || node.IsBlank(block.Source()) {
			break
		}
		block.Advance(after)
		trim(node, block.Source())
		return node
	}
	block.SetPosition(number, position)
	return nil
}

// closing is where a mark begins that no backslash stands before, or -1.
func closing(line []byte, mark string) int {
	for i := 0; i < len(line); i++ {
		switch {
		case line[i] == '\\':
			i++
		case bytes.HasPrefix(line[i:], []byte(mark)):
			return i
		}
	}
	return -1
}

func appendRaw(node ast.Node, s mdtext.Segment) {
	if !s.IsEmpty() {
		node.AppendChild(node, ast.NewRawTextSegment(s))
	}
}

// trim drops space around the TeX.
func trim(node ast.Node, source []byte) {
	first := node.FirstChild().(*ast.Text)
	first.Segment = first.Segment.TrimLeftSpace(source)
	last := node.LastChild().(*ast.Text)
	last.Segment = last.Segment.TrimRightSpace(source)
}

// displayParser keeps the lines together of a displayed formula that begins and ends lines, for formulaParser to find.
type displayParser struct{}

func (displayParser) Trigger() []byte { return []byte{'$'} }

func (displayParser) Open(_ ast.Node, reader mdtext.Reader, pc parser.Context) (ast.Node, parser.State) {
	line, segment := reader.PeekLine()
	at := pc.BlockOffset()
	if at < 0 || !bytes.HasPrefix(line[at:], []byte(fence)) || !displayed(reader.Source()[segment.Start-segment.Padding+at:]) {
		return nil, parser.NoChildren
	}
	node := ast.NewTextBlock()
	node.Lines().Append(segment.TrimLeftSpace(reader.Source()))
	reader.AdvanceToEOL()
	return node, parser.NoChildren
}

// displayed reports whether source begins with a formula that ends a line. A blank line ends it too soon.
func displayed(source []byte) bool {
	first := true
	for line := range bytes.Lines(source[len(fence):]) {
		if util.IsBlank(line) && !first {
			return false
		}
		first = false
		if end := closing(line, fence); end >= 0 {
			return util.IsBlank(line[end+len(fence):])
		}
	}
	return false
}

func (displayParser) Continue(node ast.Node, reader mdtext.Reader, _ parser.Context) parser.State {
	before := node.Lines().At(node.Lines().Len() - 1)
	last := before.Value(reader.Source())
	if node.Lines().Len() == 1 {
		last = last[len(fence):]
	}
	line, segment := reader.PeekLine()
	if closing(last, fence) >= 0 || util.IsBlank(line) {
		return parser.Close
	}
	node.Lines().Append(segment.TrimLeftSpace(reader.Source()))
	reader.AdvanceToEOL()
	return parser.Continue | parser.NoChildren
}

func (displayParser) Close(ast.Node, mdtext.Reader, parser.Context) {}
func (displayParser) CanInterruptParagraph() bool                   { return true }
func (displayParser) CanAcceptIndentedLine() bool                   { return false }
