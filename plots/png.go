package plots

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"math"
	"strconv"
	"strings"

	"github.com/srwiley/oksvg"
	"github.com/srwiley/rasterx"
	"golang.org/x/image/font/sfnt"
	"golang.org/x/image/math/fixed"
)

// pixelRatio is pixels of a PNG for one of CSS, for screens that have as many.
const pixelRatio = 2

// PNG draws the chart's SVG into pixels, two by two for each pixel of CSS, with embedded fonts.
func (c *Chart) PNG(theme Theme) ([]byte, error) {
	svg, err := c.SVG(theme)
	if err != nil {
		return nil, err
	}
	img, err := rasterize(svg, c.width, c.height)
	if err != nil {
		return nil, fmt.Errorf("chart %q: draw PNG: %w", c.title, err)
	}
	var b bytes.Buffer
	e := png.Encoder{CompressionLevel: png.BestCompression}
	if err := e.Encode(&b, fewColors(img)); err != nil {
		return nil, fmt.Errorf("chart %q: encode PNG: %w", c.title, err)
	}
	return b.Bytes(), nil
}

// canvas draws the SVG that echarts writes: groups with rectangular clips, paths, text, linear gradients.
type canvas struct {
	scanner   *scanner
	filler    *rasterx.Filler
	dasher    *rasterx.Dasher
	whole     rasterx.Matrix2D // pixels of CSS to those of the image
	clips     map[string]image.Rectangle
	gradients map[string]*rasterx.Gradient
}

// element is one of SVG. Groups keep their children, since a gradient or clip may be defined after its use.
type element struct {
	XMLName  xml.Name
	Attrs    []xml.Attr `xml:",any,attr"`
	Children []element  `xml:",any"`
	Text     string     `xml:",chardata"`
}

// get is an attribute, or the same property of the style.
func (e *element) get(name string) string {
	style := ""
	for _, a := range e.Attrs {
		switch a.Name.Local {
		case name:
			return a.Value
		case "style":
			style = a.Value
		}
	}
	for _, property := range strings.Split(style, ";") {
		if key, value, ok := strings.Cut(property, ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

func (e *element) number(name string, otherwise float64) float64 {
	v, err := strconv.ParseFloat(strings.TrimRight(e.get(name), "pxem"), 64)
	if err != nil {
		return otherwise
	}
	return v
}

func rasterize(svg []byte, width, height int) (img *image.RGBA, err error) {
	defer recovered(&err)
	var root element
	if err := xml.NewDecoder(bytes.NewReader(svg)).Decode(&root); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	w, h := width*pixelRatio, height*pixelRatio
	img = image.NewRGBA(image.Rect(0, 0, w, h))
	s := &scanner{dst: img}
	c := &canvas{
		scanner: s, filler: rasterx.NewFiller(w, h, s), dasher: rasterx.NewDasher(w, h, s),
		whole: rasterx.Identity.Scale(pixelRatio, pixelRatio),
		clips: map[string]image.Rectangle{}, gradients: map[string]*rasterx.Gradient{},
	}
	if err := c.define(&root); err != nil {
		return nil, err
	}
	return img, c.draw(&root, img.Bounds(), c.whole)
}

// define reads clips and gradients.
func (c *canvas) define(e *element) error {
	for i := range e.Children {
		child := &e.Children[i]
		name := child.get("id")
		switch child.XMLName.Local {
		case "clipPath":
			r, err := c.clip(child)
			if err != nil {
				return err
			}
			c.clips[name] = r
		case "linearGradient":
			g, err := gradient(child)
			if err != nil {
				return err
			}
			c.gradients[name] = g
		default:
			if err := c.define(child); err != nil {
				return err
			}
		}
	}
	return nil
}

// clip is the rectangle around a clip's paths, which are rectangles.
func (c *canvas) clip(e *element) (image.Rectangle, error) {
	all := image.Rectangle{}
	for i := range e.Children {
		path, err := parsePath(e.Children[i].get("d"))
		if err != nil {
			return all, err
		}
		m, err := transform(c.whole, e.Children[i].get("transform"))
		if err != nil {
			return all, err
		}
		var b bounds
		path.AddTo(&rasterx.MatrixAdder{Adder: &b, M: m})
		all = all.Union(b.rect())
	}
	return all, nil
}

func (c *canvas) draw(e *element, clip image.Rectangle, m rasterx.Matrix2D) error {
	m, err := transform(m, e.get("transform"))
	if err != nil {
		return err
	}
	if name, ok := reference(e.get("clip-path")); ok {
		clip = clip.Intersect(c.clips[name])
	}
	if clip.Empty() {
		return nil
	}
	c.scanner.SetClip(clip)
	switch e.XMLName.Local {
	case "path":
		path, err := parsePath(e.get("d"))
		if err != nil {
			return err
		}
		return c.shape(e, path, m)
	case "rect":
		var path rasterx.Path
		x, y := e.number("x", 0), e.number("y", 0)
		rasterx.AddRect(x, y, x+e.number("width", 0), y+e.number("height", 0), 0, &path)
		return c.shape(e, path, m)
	case "circle":
		var path rasterx.Path
		rasterx.AddCircle(e.number("cx", 0), e.number("cy", 0), e.number("r", 0), &path)
		return c.shape(e, path, m)
	case "polyline", "polygon":
		d := "M" + e.get("points")
		if e.XMLName.Local == "polygon" {
			d += "Z"
		}
		path, err := parsePath(d)
		if err != nil {
			return err
		}
		return c.shape(e, path, m)
	case "text":
		return c.shape(e, letters(e), m)
	case "defs", "style", "clipPath":
		return nil
	case "svg", "g":
		for i := range e.Children {
			if err := c.draw(&e.Children[i], clip, m); err != nil {
				return err
			}
		}
		return nil
	}
	return fmt.Errorf("echarts wrote an element <%s>, which is not known here", e.XMLName.Local)
}

// shape fills and strokes a path. A text's outline comes first, so that it does not thin the letters.
func (c *canvas) shape(e *element, path rasterx.Path, m rasterx.Matrix2D) error {
	if len(path) == 0 {
		return nil
	}
	steps := []func(*element, rasterx.Path, rasterx.Matrix2D) error{c.fill, c.stroke}
	if e.get("paint-order") == "stroke" {
		steps[0], steps[1] = steps[1], steps[0]
	}
	for _, step := range steps {
		if err := step(e, path, m); err != nil {
			return err
		}
	}
	return nil
}

func (c *canvas) fill(e *element, path rasterx.Path, m rasterx.Matrix2D) error {
	paint, err := c.paint(e, "fill", "black", path, m)
	if paint == nil || err != nil {
		return err
	}
	c.filler.Clear()
	c.filler.SetColor(paint)
	path.AddTo(&rasterx.MatrixAdder{Adder: c.filler, M: m})
	c.filler.Draw()
	c.filler.Clear()
	return nil
}

func (c *canvas) stroke(e *element, path rasterx.Path, m rasterx.Matrix2D) error {
	paint, err := c.paint(e, "stroke", "none", path, m)
	if paint == nil || err != nil {
		return err
	}
	scale := math.Sqrt(math.Abs(m.A*m.D - m.B*m.C))
	var dashes []float64
	if list := e.get("stroke-dasharray"); list != "" && list != "none" {
		for _, field := range strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' }) {
			var d float64
			if _, err := fmt.Sscanf(field, "%g", &d); err != nil {
				return fmt.Errorf("stroke-dasharray %q: %w", list, err)
			}
			dashes = append(dashes, d*scale)
		}
	}
	join := rasterx.Miter
	if j := e.get("stroke-linejoin"); j == "bevel" || j == "round" { // miters of a jagged curve would stand out
		join = rasterx.Bevel
	}
	c.dasher.Clear()
	c.dasher.SetStroke(fixed.Int26_6(e.number("stroke-width", 1)*scale*64), 4*64, rasterx.ButtCap, nil, rasterx.FlatGap, join, dashes, 0)
	c.dasher.SetColor(paint)
	path.AddTo(&rasterx.MatrixAdder{Adder: c.dasher, M: m})
	c.dasher.Draw()
	c.dasher.Clear()
	return nil
}

// paint is a colour or a gradient, with its opacity, or nil for none.
func (c *canvas) paint(e *element, what, otherwise string, path rasterx.Path, m rasterx.Matrix2D) (any, error) {
	value := e.get(what)
	if value == "" {
		value = otherwise
	}
	opacity := e.number(what+"-opacity", 1) * e.number("opacity", 1)
	if name, ok := reference(value); ok {
		g := c.gradients[name]
		if g == nil {
			return nil, fmt.Errorf("%s refers to %q, which is not there", what, name)
		}
		across := *g
		if g.Units == rasterx.ObjectBoundingBox { // within the path's box, which may be turned or mirrored
			var b bounds
			path.AddTo(&b)
			across.Units = rasterx.UserSpaceOnUse
			for i, size := range []fixed.Int26_6{b.box.Max.X - b.box.Min.X, b.box.Max.Y - b.box.Min.Y, b.box.Max.X - b.box.Min.X, b.box.Max.Y - b.box.Min.Y} {
				from := []fixed.Int26_6{b.box.Min.X, b.box.Min.Y}[i%2]
				across.Points[i] = (float64(from) + g.Points[i]*float64(size)) / 64
			}
		}
		return across.GetColorFunctionUS(opacity, m), nil
	}
	if value == "none" || value == "transparent" {
		return nil, nil
	}
	return parseColor(value, opacity)
}

// letters is the outline of a text where it stands.
func letters(e *element) rasterx.Path {
	css := e.get("font") + " " + e.get("font-weight") + " " + e.get("font-size")
	f, size := chooseFont(css)
	x, y := e.number("x", 0), e.number("y", 0)
	switch width := textWidth(e.Text, css); e.get("text-anchor") {
	case "middle":
		x -= width / 2
	case "end":
		x -= width
	}
	if dy := e.get("dy"); strings.HasSuffix(dy, "em") {
		y += e.number("dy", 0) * size
	}
	if e.get("dominant-baseline") == "text-before-edge" {
		y += 0.95 * size
	}
	var path rasterx.Path
	f.glyphs(e.Text, size, func(outline sfnt.Segments, advance float64) {
		addOutline(&path, outline, x, y)
		x += advance
	})
	return path
}

func addOutline(path *rasterx.Path, outline sfnt.Segments, x, y float64) {
	origin := rasterx.ToFixedP(x, y)
	for i, s := range outline {
		switch s.Op {
		case sfnt.SegmentOpMoveTo:
			if i > 0 {
				path.Stop(true)
			}
			path.Start(s.Args[0].Add(origin))
		case sfnt.SegmentOpLineTo:
			path.Line(s.Args[0].Add(origin))
		case sfnt.SegmentOpQuadTo:
			path.QuadBezier(s.Args[0].Add(origin), s.Args[1].Add(origin))
		case sfnt.SegmentOpCubeTo:
			path.CubeBezier(s.Args[0].Add(origin), s.Args[1].Add(origin), s.Args[2].Add(origin))
		}
	}
	if len(outline) > 0 {
		path.Stop(true)
	}
}

// parsePath reads SVG's path data.
func parsePath(d string) (rasterx.Path, error) {
	var p oksvg.PathCursor
	if err := p.CompilePath(d); err != nil {
		return nil, fmt.Errorf("path %.40q: %w", d, err)
	}
	return p.Path, nil
}

// parseColor reads a colour of CSS, also with an alpha.
func parseColor(s string, opacity float64) (color.Color, error) {
	var r, g, b, a float64
	if n, _ := fmt.Sscanf(strings.ReplaceAll(s, " ", ""), "rgba(%g,%g,%g,%g)", &r, &g, &b, &a); n == 4 {
		return color.NRGBA{uint8(r), uint8(g), uint8(b), uint8(a*opacity*255 + 0.5)}, nil
	}
	solid, err := oksvg.ParseSVGColor(s)
	if err != nil || solid == nil {
		return nil, fmt.Errorf("color %q: %w", s, err)
	}
	return rasterx.ApplyOpacity(solid, opacity), nil
}

func gradient(e *element) (*rasterx.Gradient, error) {
	g := &rasterx.Gradient{
		Points: [5]float64{e.number("x1", 0), e.number("y1", 0), e.number("x2", 1), e.number("y2", 0)},
		Matrix: rasterx.Identity,
		Units:  rasterx.ObjectBoundingBox,
	}
	if e.get("gradientUnits") == "userSpaceOnUse" {
		g.Units = rasterx.UserSpaceOnUse
	}
	for i := range e.Children {
		stop := &e.Children[i]
		color, err := parseColor(stop.get("stop-color"), 1)
		if err != nil {
			return nil, err
		}
		g.Stops = append(g.Stops, rasterx.GradStop{StopColor: color, Offset: percent(stop.get("offset")), Opacity: stop.number("stop-opacity", 1)})
	}
	return g, nil
}

func percent(s string) float64 {
	var v float64
	if n, _ := fmt.Sscanf(s, "%g", &v); n == 1 && strings.HasSuffix(s, "%") {
		v /= 100
	}
	return v
}

// reference is the name in url(#name).
func reference(s string) (string, bool) {
	s, ok := strings.CutPrefix(s, "url(#")
	return strings.TrimSuffix(s, ")"), ok
}

// transform applies a list of SVG's transforms.
func transform(m rasterx.Matrix2D, list string) (rasterx.Matrix2D, error) {
	for _, call := range strings.SplitAfter(list, ")") {
		name, args, ok := strings.Cut(strings.TrimSpace(call), "(")
		if !ok {
			continue
		}
		var v [6]float64
		n := 0
		for _, field := range strings.FieldsFunc(args, func(r rune) bool { return strings.ContainsRune(" ,)", r) }) {
			if n == len(v) {
				return m, fmt.Errorf("transform %q", list)
			}
			if _, err := fmt.Sscanf(field, "%g", &v[n]); err != nil {
				return m, fmt.Errorf("transform %q: %w", list, err)
			}
			n++
		}
		switch {
		case name == "translate":
			m = m.Translate(v[0], v[1])
		case name == "rotate" && n == 1:
			m = m.Rotate(v[0] * math.Pi / 180)
		case name == "scale" && n == 1:
			m = m.Scale(v[0], v[0])
		case name == "scale":
			m = m.Scale(v[0], v[1])
		case name == "matrix" && n == 6:
			m = m.Mult(rasterx.Matrix2D{A: v[0], B: v[1], C: v[2], D: v[3], E: v[4], F: v[5]})
		default:
			return m, fmt.Errorf("transform %q is not known here", list)
		}
	}
	return m, nil
}
