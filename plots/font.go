package plots

import (
	"regexp"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/sfnt"
	"golang.org/x/image/math/fixed"
)

// face is an embedded font. It has Latin, Greek and Cyrillic letters and mathematical signs; other letters become boxes, in a
// PNG only.
type face struct {
	font     *sfnt.Font
	mu       sync.Mutex
	buf      sfnt.Buffer
	advances map[rune]float64 // for a size of one pixel
}

var (
	regular = sync.OnceValue(func() *face { return parseFont(goregular.TTF) })
	bold    = sync.OnceValue(func() *face { return parseFont(gobold.TTF) })
)

// parseFont reads a font that is part of the program.
func parseFont(ttf []byte) *face {
	f, err := sfnt.Parse(ttf)
	if err != nil { // only a damaged program; text is then left out
		return &face{}
	}
	return &face{font: f, advances: map[rune]float64{}}
}

var fontSize = regexp.MustCompile(`([0-9.]+)px`)

// chooseFont reads a font of CSS, as in "bold 12px sans-serif": the face and the size in pixels.
func chooseFont(css string) (*face, float64) {
	size := 12.0
	if m := fontSize.FindStringSubmatch(css); m != nil {
		if s, err := strconv.ParseFloat(m[1], 64); err == nil {
			size = s
		}
	}
	if strings.Contains(css, "bold") {
		return bold(), size
	}
	return regular(), size
}

// textWidth is the width of a line of text in pixels.
func textWidth(text, css string) float64 {
	f, size := chooseFont(css)
	f.mu.Lock()
	defer f.mu.Unlock()
	width := 0.0
	for _, r := range text {
		width += f.advance(r)
	}
	return width * size
}

// advance is how far the next letter is, for a size of one pixel. One that the font lacks is as wide as high, as echarts expects of the
// Chinese letter from whose width it takes the height of lines.
func (f *face) advance(r rune) float64 {
	if a, ok := f.advances[r]; ok || f.font == nil {
		return a
	}
	units := f.font.UnitsPerEm()
	i, err := f.font.GlyphIndex(&f.buf, r)
	if err != nil || i == 0 {
		return 1
	}
	a, err := f.font.GlyphAdvance(&f.buf, i, fixed.I(int(units)), font.HintingNone)
	if err != nil {
		return 1
	}
	f.advances[r] = float64(a) / 64 / float64(units)
	return f.advances[r]
}

// glyphs gives the outlines of a text's letters, in 1/64 pixels from the letter's origin with y down, and how many pixels away the
// next one is. A letter that cannot be read has no outline.
func (f *face) glyphs(text string, size float64, each func(outline sfnt.Segments, advance float64)) {
	if f.font == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range text {
		var outline sfnt.Segments
		if i, err := f.font.GlyphIndex(&f.buf, r); err == nil {
			if s, err := f.font.LoadGlyph(&f.buf, i, fixed.Int26_6(size*64), nil); err == nil {
				outline = s
			}
		}
		each(outline, f.advance(r)*size)
	}
}
