package rows

import (
	"fmt"
	"math"
)

const blockSize = 32

// Codes are tokens as matrices of blocks multiply them: for each 32 values integers of 16 bits and a scale, the largest magnitude over 32767.
type Codes struct {
	width, tokens int
	blocks        []codeBlock // [tokens][width/32]
}

// codeBlock is laid out as kernels read it.
type codeBlock struct {
	scale float32
	codes [blockSize]int16 // those at even places, then those at odd ones
}

// NewCodes has room for tokens of a width, a multiple of 32.
func NewCodes(width, tokens int) (*Codes, error) {
	if width < 1 || width%blockSize != 0 || tokens < 1 {
		return nil, fmt.Errorf("rows: %d tokens of %d values: want at least one, of a multiple of %d values", tokens, width, blockSize)
	}
	return &Codes{width, tokens, make([]codeBlock, tokens*width/blockSize)}, nil
}

// Set rounds the values of a token to codes, ties to even. Where a block has a value that is not finite, products become NaN.
func (c *Codes) Set(token int, x []float32) error {
	if token < 0 || token >= c.tokens || len(x) != c.width {
		return fmt.Errorf("rows: %d values for token %d, there is room for %d tokens of %d", len(x), token, c.tokens, c.width)
	}
	blocks := c.token(token)
	for i := range c.width / blockSize {
		blocks[i].set((*[blockSize]float32)(x[i*blockSize:]))
	}
	return nil
}

func (c *Codes) token(i int) []codeBlock { return c.blocks[i*c.width/blockSize:] }

const most = math.MaxInt16

func (b *codeBlock) set(x *[blockSize]float32) {
	peak := uint32(0) // bits order magnitudes, and put what is no number above all
	for _, v := range x {
		peak = max(peak, math.Float32bits(v)&^(1<<31))
	}
	largest := math.Float32frombits(peak)
	inverse := most / largest
	if inverse-inverse != 0 { // infinite: all values are zeros or next to that
		*b = codeBlock{}
		if largest-largest != 0 {
			b.scale = float32(math.NaN())
		}
		return
	}
	b.scale = largest / most
	if inverse == 0 { // of an infinity
		*b = codeBlock{scale: float32(math.NaN())}
		return
	}
	for i := range b.codes {
		v := x[i%16*2+i/16]
		// Integers of this size are the last bits of a sum with 1.5·2^23, which rounds.
		b.codes[i] = int16(math.Float32bits(float32(v*inverse) + 0x1.8p23))
	}
}
