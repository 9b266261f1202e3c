package infer

import (
	"fmt"

	"github.com/bitdistill/bitdistill/bitnet/arch"
	"github.com/bitdistill/bitdistill/bitnet/infer/vector"
)

// CacheType is how sequences store keys and values. All of them compute in float32.
type CacheType int

const (
	// CacheF32 loses nothing.
	CacheF32 CacheType = iota
	// CacheF16 rounds to float16: to 11 bits (an error of at most 2^-11 of a value), and within 65504.
	CacheF16
	// CacheInt8 rounds to 127ths of the largest magnitude in a head at a position, so that a value is off by at most a 254th of that.
	CacheInt8
)

var cacheNames = [...]string{CacheF32: "f32", CacheF16: "f16", CacheInt8: "int8"}

func (t CacheType) String() string {
	if t < 0 || int(t) >= len(cacheNames) {
		return fmt.Sprintf("CacheType(%d)", int(t))
	}
	return cacheNames[t]
}

// TokenBytes is what the keys and values of a token take in a model.
func (t CacheType) TokenBytes(c arch.Config) int64 {
	head := 4 * c.HeadDim
	switch t {
	case CacheF16:
		head = 2 * c.HeadDim
	case CacheInt8:
		head = c.HeadDim + 4 // and a scale
	}
	return int64(2 * c.Layers * c.KVHeads * head)
}

// UnmarshalText takes f32, f16 and int8.
func (t *CacheType) UnmarshalText(text []byte) error {
	for i, name := range cacheNames {
		if name == string(text) {
			*t = CacheType(i)
			return nil
		}
	}
	return fmt.Errorf("infer: there is no cache of type %q; want f32, f16 or int8", text)
}

// MarshalText gives f32, f16 or int8.
func (t CacheType) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// keyTile is how many positions attention takes at most at a time, near the first cache.
const keyTile = 64

// atOnce is how many it takes of a cache: half of a tile if that is converted, since both have to be near.
func (c *cache) atOnce() int {
	if c.keys.kind == CacheF32 {
		return keyTile
	}
	return keyTile / 2
}

// cache has the keys and values of a layer. Keys of eight positions are the columns of a block (see vector.Blocks), whose rows are a head's
// dimensions. Eight dimensions of values are those of another, whose rows are the positions of a tile. So sums side by side are of numbers
// side by side, and memory is read front to back: keys are [heads, positions/8, dim, 8], values [heads, positions/64, dim/8, 64, 8].
type cache struct {
	keys, values half
	room, dim    int // positions, a multiple of a tile, and dimensions of a head
}

// half is one half of a cache: numbers of one type, with a scale for each head and position if that is int8.
type half struct {
	kind    CacheType
	floats  []float32
	float16 []uint16
	int8    []int8
	scales  []float32 // [heads, room]
}

func newCache(kind CacheType, heads, capacity, dim int) cache {
	room := (capacity + keyTile - 1) / keyTile * keyTile
	return cache{newHalf(kind, heads, room, dim), newHalf(kind, heads, room, roundUp(dim)), room, dim}
}

func newHalf(kind CacheType, heads, room, dim int) half {
	h, n := half{kind: kind}, heads*room*dim
	switch kind {
	case CacheF16:
		h.float16 = make([]uint16, n)
	case CacheInt8:
		h.int8, h.scales = make([]int8, n), make([]float32, heads*room)
	default:
		h.floats = make([]float32, n)
	}
	return h
}

// roundUp is the next multiple of the columns of a block.
func roundUp(n int) int { return (n + vector.Lanes - 1) / vector.Lanes * vector.Lanes }

// put stores a head's key and value at a position.
func (c *cache) put(head, position int, key, value []float32, r *cacheRoom) {
	scale := head*c.room + position
	at := (head*c.room+position)*c.dim - position%vector.Lanes*(c.dim-1)
	c.keys.put(at, scale, 1, vector.Lanes, key, r)
	c.values.put(c.value(head, position), scale, vector.Lanes, keyTile*vector.Lanes, value, r)
}

// value is where the first dimensions of a value are. Others are a tile of such apart.
func (c *cache) value(head, position int) int {
	within := position % keyTile
	return (head*c.room+position-within)*roundUp(c.dim) + within*vector.Lanes
}

// cacheRoom is what put converts into, as long as a head.
type cacheRoom struct {
	float16 []uint16
	int8    []int8
}

// put stores x in pieces that are apart.
func (h *half) put(at, scale, piece, apart int, x []float32, r *cacheRoom) {
	switch h.kind {
	case CacheF16:
		vector.ToHalf(r.float16, x)
		spread(h.float16[at:], r.float16, piece, apart)
	case CacheInt8:
		h.scales[scale] = vector.ToInt8(r.int8, x)
		spread(h.int8[at:], r.int8, piece, apart)
	default:
		spread(h.floats[at:], x, piece, apart)
	}
}

func spread[T any](dst, x []T, piece, apart int) {
	if piece == 1 {
		for i, v := range x {
			dst[i*apart] = v
		}
		return
	}
	for i := 0; i < len(x); i += piece {
		copy(dst[i/piece*apart:], x[i:min(i+piece, len(x))])
	}
}

// keyBlocks are n positions from one on, a multiple of eight, as a matrix [dim, n]. They are in room if they are stored in another type.
func (c *cache) keyBlocks(head, from, n int, room []float32) vector.Blocks {
	b := vector.Blocks{Stride: c.dim * vector.Lanes, Rows: c.dim, Count: roundUp(n) / vector.Lanes}
	b.Values = c.keys.read((head*c.room+from)*c.dim, roundUp(n)*c.dim, room)
	return b
}

// valueBlocks are n positions of a tile from one on as a matrix [n, dim].
func (c *cache) valueBlocks(head, from, n int, room []float32) vector.Blocks {
	b := vector.Blocks{Stride: keyTile * vector.Lanes, Rows: n, Count: roundUp(c.dim) / vector.Lanes}
	at := c.value(head, from)
	if c.values.kind == CacheF32 {
		b.Values = c.values.floats[at:]
		return b
	}
	for i := range b.Count {
		c.values.read(at+i*b.Stride, n*vector.Lanes, room[i*n*vector.Lanes:])
	}
	b.Values, b.Stride = room, n*vector.Lanes
	return b
}

// read gives n numbers, in room if they are no float32.
func (h *half) read(at, n int, room []float32) []float32 {
	switch h.kind {
	case CacheF16:
		vector.FromHalf(room[:n], h.float16[at:][:n])
	case CacheInt8:
		vector.FromInt8(room[:n], h.int8[at:][:n])
	default:
		return h.floats[at:][:n]
	}
	return room[:n]
}

// unscaled multiplies what was computed for a head's positions from one on by their scales, if they have some.
func (c *cache) unscaled(h *half, x []float32, head, from int) {
	if h.scales != nil {
		vector.Multiply(x, h.scales[head*c.room+from:])
	}
}
