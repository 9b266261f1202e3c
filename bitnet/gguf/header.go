package gguf

import (
	"cmp"
	"fmt"
	"math"
	"math/bits"
	"slices"
	"unicode/utf8"

	"github.com/bitdistill/bitdistill/internal/tensorfile"
)

const (
	headerBytes  = 4 + 4 + 8 + 8         // magic, version, two counts
	minKV        = 8 + 1 + 4 + 1         // key of one byte, type, value
	minTensor    = 8 + 1 + 4 + 8 + 4 + 8 // name of one byte, rank, one dimension, type, offset
	maxFile      = 1 << 60
	maxKeys      = 1 << 16
	maxTensors   = 1 << 20 // the largest models have some 100,000
	maxKey       = 1<<16 - 1
	maxName      = 256 // the format says 64, some programs allow more
	maxString    = 64 << 20
	maxRank      = 4
	alignmentKey = "general.alignment"
	minAlignment = 8
	maxAlignment = 1 << 20
	stdAlignment = 32
	convertAgain = "convert the model again with a current program"
)

// header is a checked header: tensors in the order of the file.
type header struct {
	version   int
	alignment int
	metadata  Metadata
	tensors   []Info
	byName    index
}

// parseHeader checks everything that a file says about its tensors' data, up to
// reading it.
func parseHeader(r *reader) (*header, error) {
	h := &header{metadata: Metadata{file: r.file}}
	tensors, keys := r.start(h)
	h.metadata.entries = make([]KV, keys)
	for i := range h.metadata.entries {
		if h.metadata.entries[i] = r.kv(); r.err != nil {
			return nil, r.err
		}
	}
	r.key, r.field = "", "tensor count"
	if int64(tensors) > r.left()/minTensor {
		r.fail(8, "claims %d, the %d bytes after the metadata have no room for them; the file is truncated or damaged", tensors, r.left())
	}
	if r.err != nil {
		return nil, r.err
	}
	h.tensors = make([]Info, tensors)
	for i := range h.tensors {
		if h.tensors[i] = r.info(); r.err != nil {
			return nil, r.err
		}
	}
	if err := h.unique(r.file); err != nil {
		return nil, err
	}
	if err := h.findAlignment(); err != nil {
		return nil, err
	}
	return h, h.place(r.file, r.pos, r.size)
}

// start reads what every file begins with.
func (r *reader) start(h *header) (tensors, keys int) {
	r.field = "magic"
	if magic := string(r.next(4)); magic != "GGUF" {
		r.fail(0, "%s", strange(magic))
	}
	r.field = "version"
	version := r.uint32()
	switch h.version = int(version); {
	case version == 2 || version == 3:
	case version == 1:
		r.fail(4, "1 is not supported (2 and 3 are): %s", convertAgain)
	case version != 0 && bits.ReverseBytes32(version) <= 3:
		r.fail(4, "the file is big endian, which is not supported: convert it to little endian (gguf-convert-endian of the Python package gguf does)")
	default:
		r.fail(4, "%d is not known, want 2 or 3", version)
	}
	r.field = "tensor count"
	tensors = r.count(minTensor, maxTensors)
	r.field = "key count"
	keys = r.count(minKV, maxKeys)
	return tensors, keys
}

// strange says what a file that is not GGUF may be.
func strange(magic string) string {
	switch magic {
	case "FUGG":
		return "the file is big endian, which is not supported: convert it to little endian"
	case "lmgg", "fmgg", "tjgg", "algg":
		return "the file is of a format older than GGUF: " + convertAgain
	case "vers":
		return `begins with "vers", want "GGUF": it may be a Git LFS pointer; fetch the file itself`
	}
	return fmt.Sprintf(`begins with %q, want "GGUF": not a GGUF file`, magic)
}

// kv reads an entry of the metadata.
func (r *reader) kv() KV {
	at := r.pos
	r.key, r.field = "", "key"
	key := r.name(maxKey)
	r.key, r.field = key, "value type"
	kindAt := r.pos
	kind := r.uint32()
	if r.err != nil {
		return KV{}
	}
	r.field = "value"
	if kind == kindArray {
		return KV{key, r.array(), at}
	}
	if kind >= uint32(len(kinds)) {
		r.field = "value type"
		r.fail(kindAt, "%d is not known; the file is damaged or newer than version 3", kind)
		return KV{}
	}
	return KV{key, kinds[kind].one(r), at}
}

// array reads the element type, the count and the elements.
func (r *reader) array() any {
	r.field = "array type"
	at := r.pos
	kind := r.uint32()
	switch {
	case r.err != nil:
		return nil
	case kind == kindArray:
		r.fail(at, "is array: arrays of arrays are not supported")
		return nil
	case kind >= uint32(len(kinds)):
		r.fail(at, "%d is not known; the file is damaged or newer than version 3", kind)
		return nil
	}
	r.field = "array length"
	n := r.count(kinds[kind].size, math.MaxInt32)
	r.field = "array"
	return kinds[kind].many(r, n)
}

// kind tells how values of one type of the metadata are read and written.
type kind struct {
	size      int64 // bytes of a value; the least that a string takes
	one       func(*reader) any
	many      func(r *reader, n int) any
	is        func(v any) (one, many bool)
	write     func(*encoder, any)
	writeMany func(*encoder, any) // their number, then each
}

const kindArray = 9

// kinds are the types of the metadata by number.
var kinds = [...]kind{
	0: kindOf(1, (*reader).uint8, (*encoder).uint8), 1: kindOf(1, (*reader).int8, (*encoder).int8),
	2: kindOf(2, (*reader).uint16, (*encoder).uint16), 3: kindOf(2, (*reader).int16, (*encoder).int16),
	4: kindOf(4, (*reader).uint32, (*encoder).uint32), 5: kindOf(4, (*reader).int32, (*encoder).int32),
	6: kindOf(4, (*reader).float32, (*encoder).float32), 7: kindOf(1, (*reader).bool, (*encoder).bool),
	8:  kindOf(8, (*reader).string, (*encoder).string),
	10: kindOf(8, (*reader).uint64, (*encoder).uint64), 11: kindOf(8, (*reader).int64, (*encoder).int64),
	12: kindOf(8, (*reader).float64, (*encoder).float64),
}

func kindOf[T any](size int64, read func(*reader) T, write func(*encoder, T)) kind {
	return kind{
		size: size,
		one:  func(r *reader) any { return read(r) },
		many: func(r *reader, n int) any { return list(r, n, read) },
		is: func(v any) (one, many bool) {
			_, one = v.(T)
			_, many = v.([]T)
			return one, many
		},
		write: func(e *encoder, v any) { write(e, v.(T)) },
		writeMany: func(e *encoder, v any) {
			values := v.([]T)
			e.uint64(uint64(len(values)))
			for _, one := range values {
				write(e, one)
			}
		},
	}
}

// kindOfValue is the number of a value's kind, or of that of a list's elements;
// -1 if it has none.
func kindOfValue(v any) (number int, list bool) {
	for i, k := range kinds {
		if i == kindArray {
			continue
		}
		if one, many := k.is(v); one || many {
			return i, many
		}
	}
	return -1, false
}

// name reads a key or the name of a tensor.
func (r *reader) name(most uint64) string {
	at := r.pos
	name := r.text(most)
	switch {
	case r.err != nil:
	case name == "":
		r.fail(at, "is empty")
	case !utf8.ValidString(name):
		r.fail(at, "%s is not valid UTF-8", tensorfile.Quote(name))
	}
	return name
}

// info reads the description of a tensor and checks it by itself. Offset still
// counts from the start of the data.
func (r *reader) info() Info {
	info := Info{at: r.pos}
	r.tensor, r.field = "", "name"
	info.Name = r.name(maxName)
	r.tensor = info.Name
	r.field = "dimension count"
	at := r.pos
	rank := r.uint32()
	if rank < 1 || rank > maxRank {
		r.fail(at, "is %d, want 1 to %d", rank, maxRank)
	}
	if r.err != nil {
		return info
	}
	info.Shape = make([]int, rank)
	elements := r.dims(info.Shape)
	r.field = "type"
	at = r.pos
	info.Type = Type(r.uint32())
	if r.err == nil && info.Type.BlockBytes() == 0 {
		r.fail(at, "%s (number %d) cannot be read: requantize the model to one of %s", info.Type, uint32(info.Type), names(floats))
	}
	if r.err != nil {
		return info
	}
	r.sizes(&info, elements)
	r.field = "offset"
	at = r.pos
	offset := r.uint64()
	if offset > uint64(r.size) {
		r.fail(at, "is %d, beyond the end of the file of %d bytes; the file is truncated or damaged", offset, r.size)
	}
	info.Offset = int64(offset)
	return info
}

var dimensionFields = [maxRank]string{"dimension 0", "dimension 1", "dimension 2", "dimension 3"}

// dims reads dimensions, the fastest first, into shape, the fastest last, and
// returns their product.
func (r *reader) dims(shape []int) (elements uint64) {
	elements = 1
	for i := range shape {
		r.field = dimensionFields[i]
		at := r.pos
		n := r.uint64()
		if n == 0 {
			r.fail(at, "is 0, want 1 or more")
		}
		high, product := bits.Mul64(elements, n)
		if high != 0 || product > math.MaxInt/8 {
			r.fail(at, "is %d: the number of elements overflows", n)
		}
		if r.err != nil {
			return 0
		}
		elements = product
		shape[len(shape)-1-i] = int(n)
	}
	return elements
}

// sizes sets the bytes of a tensor and compares them with those of the file.
func (r *reader) sizes(info *Info, elements uint64) {
	block, bytes := uint64(info.Type.BlockSize()), uint64(info.Type.BlockBytes())
	row := info.Shape[len(info.Shape)-1]
	firstDim := info.at + 8 + int64(len(info.Name)) + 4
	r.field = dimensionFields[0]
	if uint64(row)%block != 0 {
		r.fail(firstDim, "is %d, not a multiple of the %d values in a block of %s", row, block, info.Type)
		return
	}
	high, size := bits.Mul64(elements/block, bytes)
	if high != 0 || size > uint64(r.size) {
		r.field = "dimensions"
		r.fail(firstDim, "%v of %s need %d bytes, the file has %d; it is truncated or damaged", info.Dims(), info.Type, size, r.size)
		return
	}
	info.Bytes = int64(size)
}

// unique makes the index of keys and that of tensors, whose names must differ.
func (h *header) unique(file string) error {
	var twice int32
	entries := h.metadata.entries
	h.metadata.byKey, twice = newIndex(len(entries), func(i int32) string { return entries[i].Key })
	if twice >= 0 {
		e := entries[twice]
		return &FormatError{File: file, Key: e.Key, Field: "key", Offset: e.at, Reason: "is there twice"}
	}
	h.byName, twice = newIndex(len(h.tensors), func(i int32) string { return h.tensors[i].Name })
	if twice >= 0 {
		t := h.tensors[twice]
		return &FormatError{File: file, Tensor: t.Name, Field: "name", Offset: t.at, Reason: "is there twice"}
	}
	return nil
}

func (h *header) findAlignment() error {
	h.alignment = stdAlignment
	if !h.metadata.Has(alignmentKey) {
		return nil
	}
	n, err := Get[uint32](&h.metadata, alignmentKey)
	if err != nil {
		return err
	}
	if n < minAlignment || n > maxAlignment || n&(n-1) != 0 {
		return &FormatError{File: h.metadata.file, Key: alignmentKey, Field: "value", Offset: h.metadata.find(alignmentKey).valueAt(),
			Reason: fmt.Sprintf("is %d, want a power of two from %d to %d", n, minAlignment, maxAlignment)}
	}
	h.alignment = int(n)
	return nil
}

// place turns offsets into those of the file, whose header ends at end, and
// checks that the tensors follow each other with nothing but padding between.
func (h *header) place(file string, end, size int64) error {
	align := int64(h.alignment)
	padded := func(n int64) int64 { return (n + align - 1) &^ (align - 1) }
	start := padded(end)
	order := make([]int32, len(h.tensors))
	for i := range order {
		order[i] = int32(i)
		h.tensors[i].Offset += start
	}
	slices.SortFunc(order, func(a, b int32) int {
		return cmp.Or(cmp.Compare(h.tensors[a].Offset, h.tensors[b].Offset), cmp.Compare(a, b))
	})
	var before *Info
	for _, i := range order {
		t := &h.tensors[i]
		fail := func(format string, args ...any) error {
			return &FormatError{File: file, Tensor: t.Name, Field: "offset", Offset: t.offsetAt(), Reason: fmt.Sprintf(format, args...) + forkHint(before, t)}
		}
		relative := t.Offset - start
		switch want := padded(end); {
		case relative%align != 0:
			return fail("%d is not a multiple of the alignment %d", relative, align)
		case t.Offset < want:
			return fail("%d overlaps tensor %s, whose %d bytes begin at %d", relative, tensorfile.Quote(before.Name), before.Bytes, before.Offset-start)
		case t.Offset > want:
			return fail("%d leaves a hole of %d bytes before it", relative, t.Offset-want)
		case t.Bytes > size-t.Offset:
			return fail("%d and %d bytes reach beyond the end of the file, whose data has %d; it is truncated or damaged", relative, t.Bytes, max(size-start, 0))
		}
		end, before = t.Offset+t.Bytes, t
	}
	if size > padded(end) {
		return &FormatError{File: file, Field: "data", Offset: end, Reason: fmt.Sprintf("%d bytes after the last tensor belong to none", size-end)}
	}
	return nil
}

// forkHint tells of the type whose number stands for blocks of two sizes, if
// one of the two tensors between which the fault is has it.
func forkHint(a, b *Info) string {
	if b.Type == Q2_0 || a != nil && a.Type == Q2_0 {
		return "; Q2_0 is read in blocks of 64, and some programs write blocks of 128 under its number: make the file with mainline llama.cpp"
	}
	return ""
}
