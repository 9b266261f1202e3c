package plots

import (
	"cmp"
	"image"
	"image/color"
	"image/draw"
	"maps"
	"math"
	"slices"

	"github.com/srwiley/rasterx"
	"golang.org/x/image/math/fixed"
	"golang.org/x/image/vector"
)

// scanner fills what rasterx's filler and stroker make of a path. rasterx's own one goes over the whole image for every path,
// which takes minutes for a heat map; this one goes over the path's box.
type scanner struct {
	dst   *image.RGBA
	clip  image.Rectangle
	paint image.Image
	path  []segment
	box   bounds
	r     vector.Rasterizer
}

// segment is a straight line to a point, or the start of a contour there.
type segment struct {
	to    fixed.Point26_6
	start bool
}

var _ rasterx.Scanner = (*scanner)(nil)

func (s *scanner) Start(a fixed.Point26_6) {
	s.path = append(s.path, segment{a, true})
	s.box.add(a)
}

func (s *scanner) Line(b fixed.Point26_6) {
	s.path = append(s.path, segment{b, false})
	s.box.add(b)
}

// Draw fills the path where the clip allows.
func (s *scanner) Draw() {
	box := s.box.rect().Intersect(s.clip)
	if len(s.path) == 0 || box.Empty() {
		return
	}
	s.r.Reset(box.Dx(), box.Dy())
	for _, seg := range s.path { // contours are not closed here: a stroke's come in pieces that make whole ones together
		x, y := float32(seg.to.X)/64-float32(box.Min.X), float32(seg.to.Y)/64-float32(box.Min.Y)
		if seg.start {
			s.r.MoveTo(x, y)
		} else {
			s.r.LineTo(x, y)
		}
	}
	s.r.DrawOp = draw.Over
	s.r.Draw(s.dst, box, s.paint, box.Min)
}

func (s *scanner) Clear() { s.path, s.box = s.path[:0], bounds{} }

// SetColor takes a color.Color or a rasterx.ColorFunc.
func (s *scanner) SetColor(c any) {
	switch c := c.(type) {
	case color.Color:
		s.paint = image.NewUniform(c)
	case rasterx.ColorFunc:
		s.paint = shade{s.dst.Bounds(), c}
	}
}

func (s *scanner) SetClip(r image.Rectangle)          { s.clip = r }
func (s *scanner) GetPathExtent() fixed.Rectangle26_6 { return s.box.box }
func (s *scanner) SetBounds(int, int)                 {}
func (s *scanner) SetWinding(useNonZero bool)         {}

// shade is a gradient as an image.
type shade struct {
	bounds image.Rectangle
	color  rasterx.ColorFunc
}

func (s shade) ColorModel() color.Model { return color.NRGBAModel }
func (s shade) Bounds() image.Rectangle { return s.bounds }
func (s shade) At(x, y int) color.Color { return s.color(x, y) }

// bounds is the box around the points that are added. It is a rasterx.Adder.
type bounds struct {
	box   fixed.Rectangle26_6
	begun bool
}

func (b *bounds) add(points ...fixed.Point26_6) {
	for _, p := range points {
		if !b.begun {
			b.box, b.begun = fixed.Rectangle26_6{Min: p, Max: p}, true
		}
		b.box.Min.X, b.box.Min.Y = min(b.box.Min.X, p.X), min(b.box.Min.Y, p.Y)
		b.box.Max.X, b.box.Max.Y = max(b.box.Max.X, p.X), max(b.box.Max.Y, p.Y)
	}
}

func (b *bounds) Start(a fixed.Point26_6)            { b.add(a) }
func (b *bounds) Line(a fixed.Point26_6)             { b.add(a) }
func (b *bounds) QuadBezier(a, c fixed.Point26_6)    { b.add(a, c) }
func (b *bounds) CubeBezier(a, c, d fixed.Point26_6) { b.add(a, c, d) }
func (b *bounds) Stop(bool)                          {}

// rect is the box in whole pixels.
func (b *bounds) rect() image.Rectangle {
	return image.Rect(b.box.Min.X.Floor(), b.box.Min.Y.Floor(), b.box.Max.X.Ceil(), b.box.Max.Y.Ceil())
}

// fewColors makes the picture one of 256 colours: half of them the most frequent ones, half those that differ most from the chosen
// ones; the others become the nearest. Of a chart that changes only shades at the edges of lines, and the file is half as large.
func fewColors(img *image.RGBA) *image.Paletted {
	count := map[color.RGBA]int{}
	for i := 0; i < len(img.Pix); i += 4 {
		count[color.RGBA{img.Pix[i], img.Pix[i+1], img.Pix[i+2], img.Pix[i+3]}]++
	}
	all := slices.SortedFunc(maps.Keys(count), func(a, b color.RGBA) int {
		return cmp.Or(cmp.Compare(count[b], count[a]), cmp.Compare(bits(a), bits(b)))
	})
	chosen := choose(all, 128, 256)
	index := map[color.RGBA]uint8{}
	for _, c := range all {
		index[c] = uint8(chosen.Index(c))
	}
	out := image.NewPaletted(img.Rect, chosen)
	for i := range out.Pix {
		p := img.Pix[4*i:]
		out.Pix[i] = index[color.RGBA{p[0], p[1], p[2], p[3]}]
	}
	return out
}

// choose takes the first colours, and then, up to most, the one that is farthest from those taken.
func choose(all []color.RGBA, first, most int) color.Palette {
	var chosen color.Palette
	far := make([]int, len(all)) // squared distance to the nearest chosen one
	for i := range far {
		far[i] = math.MaxInt
	}
	for len(chosen) < min(most, len(all)) {
		next := len(chosen)
		if next >= first {
			for i, d := range far {
				if d > far[next] {
					next = i
				}
			}
		}
		chosen = append(chosen, all[next])
		for i, c := range all {
			far[i] = min(far[i], distance(c, all[next]))
		}
	}
	return chosen
}

func distance(a, b color.RGBA) int {
	r, g, bl := int(a.R)-int(b.R), int(a.G)-int(b.G), int(a.B)-int(b.B)
	return r*r + g*g + bl*bl
}

func bits(c color.RGBA) uint32 {
	return uint32(c.R)<<24 | uint32(c.G)<<16 | uint32(c.B)<<8 | uint32(c.A)
}
