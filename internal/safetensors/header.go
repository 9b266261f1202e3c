package safetensors

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/bitdistill/bitdistill/internal/tensorfile"
)

const (
	lengthBytes  = 8           // the header length in front of the header
	maxHeader    = 100_000_000 // bytes; the limit of the reference implementation
	metadataName = "__metadata__"

	// Bounds on the number of entries, since a map entry takes more memory than
	// the few bytes that ask for it. The largest models have some 100,000 tensors.
	maxTensors  = 1 << 20
	maxMetadata = 1 << 16
)

// header is a checked header: entries in order of data offset.
type header struct {
	entries  []Info
	metadata map[string]string
}

// parser walks the tokens of a header. It does not unmarshal into structs,
// since encoding/json keeps the last of duplicate keys and ignores case.
type parser struct {
	file   string
	dec    *json.Decoder
	tensor string // where the parser is, for errors
	field  string
}

// parseHeader checks raw, the header of a file whose data section has dataSize
// bytes.
func parseHeader(file string, raw []byte, dataSize int64) (*header, error) {
	p := &parser{file: file, field: "header"}
	if err := p.checkJSON(raw); err != nil {
		return nil, err
	}
	p.dec = json.NewDecoder(bytes.NewReader(raw))
	p.dec.UseNumber()
	h := &header{metadata: map[string]string{}}
	err := p.object(maxTensors, func(key string) error {
		if key == metadataName {
			return p.metadata(h.metadata)
		}
		info, err := p.entry(key)
		h.entries = append(h.entries, info)
		return err
	})
	if err != nil {
		return nil, err
	}
	return h, h.checkTiling(file, lengthBytes+int64(len(raw)), dataSize)
}

// checkJSON refuses what is not one JSON object in UTF-8, with its offset.
func (p *parser) checkJSON(raw []byte) error {
	if raw[0] != '{' {
		return p.at(lengthBytes, "begins with %q, want '{': not a safetensors file", raw[0])
	}
	if !utf8.Valid(raw) {
		return p.at(lengthBytes+firstInvalid(raw), "not valid UTF-8")
	}
	if json.Valid(raw) {
		return nil
	}
	var dropped json.RawMessage
	err := json.Unmarshal(raw, &dropped)
	offset := int64(len(raw))
	if syntax, ok := err.(*json.SyntaxError); ok {
		offset = syntax.Offset
	}
	e := p.at(lengthBytes+offset, "not valid JSON")
	e.Err = err
	return e
}

func firstInvalid(raw []byte) int64 {
	for i := 0; i < len(raw); {
		r, n := utf8.DecodeRune(raw[i:])
		if r == utf8.RuneError && n == 1 {
			return int64(i)
		}
		i += n
	}
	return int64(len(raw))
}

// object reads `{"key": ...}` and calls value with each key, which must be
// there once; more than limit keys are refused.
func (p *parser) object(limit int, value func(key string) error) error {
	token, err := p.token()
	if err != nil {
		return err
	}
	if token != json.Delim('{') {
		return p.errorf("is %s, want an object", describe(token))
	}
	seen := map[string]bool{}
	for p.dec.More() {
		token, err := p.token()
		if err != nil {
			return err
		}
		key := token.(string) // JSON is valid: keys are strings
		if seen[key] {
			return p.errorf("key %s is there twice", tensorfile.Quote(key))
		}
		if len(seen) == limit {
			return p.errorf("more than %d keys", limit)
		}
		seen[key] = true
		if err := value(key); err != nil {
			return err
		}
	}
	_, err = p.token()
	return err
}

func (p *parser) metadata(into map[string]string) error {
	defer p.enter("", metadataName)()
	return p.object(maxMetadata, func(key string) error {
		value, err := p.token()
		if err != nil {
			return err
		}
		text, ok := value.(string)
		if !ok {
			return p.errorf("value of %s is %s, want a string", tensorfile.Quote(key), describe(value))
		}
		into[key] = text
		return nil
	})
}

// entryFields are the keys of a tensor's entry, each needed once.
var entryFields = []string{"dtype", "shape", "data_offsets"}

// entry reads one tensor's description and checks it by itself.
func (p *parser) entry(name string) (Info, error) {
	defer p.enter(name, "entry")()
	info := Info{Name: name, begin: -1, headerOffset: p.offset()}
	if name == "" {
		return info, p.errorf("a tensor has an empty name")
	}
	var hasShape bool
	err := p.object(len(entryFields)+1, func(key string) (err error) {
		if !slices.Contains(entryFields, key) {
			return p.errorf("unknown field %s, want %s", tensorfile.Quote(key), strings.Join(entryFields, ", "))
		}
		defer p.enter(name, key)()
		switch key {
		case "dtype":
			info.DType, err = p.dtype()
		case "shape":
			hasShape = true
			info.Shape, err = p.shape()
		case "data_offsets":
			info.begin, info.end, err = p.dataOffsets()
		}
		return err
	})
	if err != nil {
		return info, err
	}
	for i, there := range []bool{info.DType != "", hasShape, info.begin >= 0} {
		if !there {
			p.field = entryFields[i]
			return info, p.errorf("missing")
		}
	}
	return info, p.checkSize(info)
}

func (p *parser) dtype() (DType, error) {
	token, err := p.token()
	if err != nil {
		return "", err
	}
	name, ok := token.(string)
	if !ok {
		return "", p.errorf("is %s, want a string", describe(token))
	}
	if DType(name).Size() == 0 {
		return "", p.errorf("%s is not known; known are %s", tensorfile.Quote(name), knownNames())
	}
	return DType(name), nil
}

func (p *parser) shape() ([]int, error) {
	dims, err := p.integers(maxRank, fmt.Sprintf("at most %d dimensions are supported", maxRank))
	if err != nil {
		return nil, err
	}
	shape := make([]int, len(dims))
	for i, n := range dims {
		if n > math.MaxInt {
			return nil, p.errorf("dimension %d is %d, too large for this machine", i, n)
		}
		shape[i] = int(n)
	}
	return shape, nil
}

func (p *parser) dataOffsets() (begin, end int64, err error) {
	const want = "want two offsets, [begin, end]"
	pair, err := p.integers(2, want)
	if err != nil {
		return 0, 0, err
	}
	if len(pair) != 2 {
		return 0, 0, p.errorf("%d numbers, %s", len(pair), want)
	}
	if pair[0] > pair[1] {
		return 0, 0, p.errorf("begin %d is after end %d", pair[0], pair[1])
	}
	return pair[0], pair[1], nil
}

// integers reads an array of at most limit non-negative integers.
func (p *parser) integers(limit int, tooMany string) ([]int64, error) {
	token, err := p.token()
	if err != nil {
		return nil, err
	}
	if token != json.Delim('[') {
		return nil, p.errorf("is %s, want an array of integers", describe(token))
	}
	values := make([]int64, 0, limit)
	for p.dec.More() {
		token, err := p.token()
		if err != nil {
			return nil, err
		}
		number, ok := token.(json.Number)
		if !ok {
			return nil, p.errorf("element %d is %s, want an integer", len(values), describe(token))
		}
		if strings.ContainsAny(number.String(), "-.eE") {
			return nil, p.errorf("element %d is %s, want a non-negative integer", len(values), short(number.String()))
		}
		n, err := strconv.ParseInt(number.String(), 10, 64)
		if err != nil {
			return nil, p.errorf("element %d is %s, too large", len(values), short(number.String()))
		}
		if len(values) == limit {
			return nil, p.errorf("too many numbers: %s", tooMany)
		}
		values = append(values, n)
	}
	_, err = p.token()
	return values, err
}

// checkSize compares the byte range with dtype and shape.
func (p *parser) checkSize(info Info) error {
	p.field = "shape"
	size, err := byteSize(info.DType, info.Shape)
	if err != nil {
		return p.errorf("%v", err)
	}
	p.field = "data_offsets"
	if info.end-info.begin != int64(size) {
		return p.errorf("[%d, %d] are %d bytes, %s %v needs %d",
			info.begin, info.end, info.end-info.begin, info.DType, info.Shape, size)
	}
	return nil
}

// checkTiling sorts the entries by offset and refuses holes, overlaps and data
// that ends before or after the file does. dataStart is the data section's
// offset in the file.
func (h *header) checkTiling(file string, dataStart, dataSize int64) error {
	slices.SortFunc(h.entries, func(a, b Info) int {
		switch {
		case a.begin != b.begin:
			return compare(a.begin, b.begin)
		case a.end != b.end: // empty tensors come before the one that begins there
			return compare(a.end, b.end)
		}
		return strings.Compare(a.Name, b.Name)
	})
	end, before := int64(0), "the start of the data"
	for i := range h.entries {
		e := &h.entries[i]
		fail := func(format string, args ...any) error {
			return &FormatError{File: file, Tensor: e.Name, Field: "data_offsets", Offset: e.headerOffset, Reason: fmt.Sprintf(format, args...)}
		}
		switch {
		case e.end > dataSize:
			return fail("[%d, %d] reach beyond the end of the file: its data section has %d bytes; the file may be truncated", e.begin, e.end, dataSize)
		case e.begin < end:
			return fail("[%d, %d] overlap %s, which ends at %d", e.begin, e.end, before, end)
		case e.begin > end:
			return fail("[%d, %d] leave a hole of %d bytes after %s", e.begin, e.end, e.begin-end, before)
		}
		end, before = e.end, "tensor "+tensorfile.Quote(e.Name)
	}
	if end != dataSize {
		return &FormatError{File: file, Field: "data", Offset: dataStart + end,
			Reason: fmt.Sprintf("%d bytes after the last tensor belong to none", dataSize-end)}
	}
	return nil
}

func compare(a, b int64) int {
	if a < b {
		return -1
	}
	return 1
}

// token returns the next token. The JSON was found valid before, so errors are
// not expected here.
func (p *parser) token() (json.Token, error) {
	token, err := p.dec.Token()
	if err != nil {
		e := p.errorf("not valid JSON")
		e.Err = err
		return nil, e
	}
	return token, nil
}

// enter sets the place that errors name; the returned function goes back.
func (p *parser) enter(tensor, field string) func() {
	oldTensor, oldField := p.tensor, p.field
	p.tensor, p.field = tensor, field
	return func() { p.tensor, p.field = oldTensor, oldField }
}

// offset is the file offset just after the last token.
func (p *parser) offset() int64 { return lengthBytes + p.dec.InputOffset() }

func (p *parser) errorf(format string, args ...any) *FormatError {
	return p.at(p.offset(), format, args...)
}

func (p *parser) at(offset int64, format string, args ...any) *FormatError {
	return &FormatError{File: p.file, Tensor: p.tensor, Field: p.field, Offset: offset, Reason: fmt.Sprintf(format, args...)}
}

// describe names a token's JSON type for an error.
func describe(token json.Token) string {
	switch t := token.(type) {
	case nil:
		return "null"
	case json.Delim:
		if t == '{' {
			return "an object"
		}
		return "an array"
	case string:
		return "the string " + tensorfile.Quote(t)
	case json.Number:
		return "the number " + short(t.String())
	default:
		return fmt.Sprint(t)
	}
}

func short(number string) string {
	if len(number) > 40 {
		return number[:40] + "..."
	}
	return number
}
