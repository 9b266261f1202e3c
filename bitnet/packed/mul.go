package packed

import (
	"fmt"
	"unsafe"
)

// Span is the range of integers from From to, and without, To.
type Span struct{ From, To int }

func (s Span) within(n int) bool { return 0 <= s.From && s.From <= s.To && s.To <= n }

const (
	blockGroups = 64           // groups that are unpacked at once
	maxTile     = 6            // tokens that are multiplied at once
	tokenBlock  = 12 * maxTile // that share what is unpacked
)

// unpacked are the codes of up to 64 groups of a panel, a byte each: [4 parts of 16 rows][64 groups][64].
type unpacked [4 * blockGroups * groupBytes]byte

// scratch is room for unpacked codes on a stack, where nothing but a smaller alignment is promised than kernels are fast with.
type scratch [len(unpacked{}) + cacheLine - 1]byte

func (s *scratch) aligned() *unpacked {
	first := -uintptr(unsafe.Pointer(s)) % cacheLine
	return (*unpacked)(s[first : first+uintptr(len(unpacked{}))])
}

// Mul computes the rows of some panels for some tokens of y = x·Wᵀ: dst [tokens, out] holds all of y, of which it writes those values alone.
// Parts of a product may be computed by several goroutines at once; nothing is allocated.
//
// The sums s of products of codes are exact. With a token's scale p and a weight scale D, of the matrix or the row, y is s*(p*D), in
// the order in which bitnet.Linear computes it: equal codes and scales give equal bits. Under [Block] and [BlockPadded] the graph
// multiplies codes with scales before it adds up in float32; here y is the sum, over runs of columns within which no row's scale
// changes, of s*(p*D), where s is exact: nearer to the true sum, and equal to the graph's up to its rounding.
// (A width that is no multiple of 4 has no such runs and is computed column by column, slowly.)
func (m *Matrix) Mul(dst []float32, a *Activations, panels, tokens Span) error {
	if err := m.check(len(dst), a, panels, tokens); err != nil {
		return err
	}
	switch {
	case m.segment == 0:
		m.mulColumns(dst, a, panels, tokens)
	case tokens.To-tokens.From == 1:
		m.mulToken(dst, a, panels, tokens.From)
	default:
		m.mulTokens(dst, a, panels, tokens)
	}
	return nil
}

func (m *Matrix) check(size int, a *Activations, panels, tokens Span) error {
	if _, err := Kernel(); err != nil {
		return err
	}
	switch {
	case a.in != m.in:
		return fmt.Errorf("packed: activations [%d, %d] times the transpose of a matrix [%d, %d]", a.tokens, a.in, m.out, m.in)
	case !panels.within(m.Panels()):
		return fmt.Errorf("packed: panels %d to %d of %d", panels.From, panels.To, m.Panels())
	case !tokens.within(a.tokens):
		return fmt.Errorf("packed: tokens %d to %d of %d", tokens.From, tokens.To, a.tokens)
	case size < tokens.To*m.out:
		return fmt.Errorf("packed: %d values for the products of %d tokens with %d rows", size, tokens.To, m.out)
	}
	return nil
}

// MulInts is [Matrix.Mul] without scales: the sums of products of codes over whole rows.
func (m *Matrix) MulInts(dst []int32, a *Activations, panels, tokens Span) error {
	if err := m.check(len(dst), a, panels, tokens); err != nil {
		return err
	}
	var sums [tokenBlock][panelRows]int32
	var room scratch
	codes := room.aligned()
	for p := panels.From; p < panels.To; p++ {
		for t := tokens.From; t < tokens.To; t += tokenBlock {
			part := sums[:min(tokenBlock, tokens.To-t)]
			m.addUp(part, codes, m.groups(p, 0, m.in), a, t, 0)
			for i := range part {
				row := dst[(t+i)*m.out+p*panelRows:][:m.rows(p)]
				for r := range row {
					row[r] = part[i][r] - a.totals[t+i]
				}
			}
		}
	}
	return nil
}

// rows is the number of rows of a panel.
func (m *Matrix) rows(panel int) int { return min(panelRows, m.out-panel*panelRows) }

// groups are those of a panel that have columns from to to; from is a multiple of 4.
func (m *Matrix) groups(panel, from, to int) []byte {
	all := m.panels[panel*groups(m.in)*groupBytes:][:groups(m.in)*groupBytes]
	return all[from/4*groupBytes : groups(to)*groupBytes]
}

// scalesOf are those of a panel's rows in a segment of columns.
func (m *Matrix) scalesOf(panel, segment int) *[panelRows]float32 {
	if m.scaling == AbsMean {
		return (*[panelRows]float32)(m.rowScales)
	}
	return (*[panelRows]float32)(m.rowScales[(panel*(m.in/m.segment)+segment)*panelRows:])
}

// mulToken is Mul for one token.
func (m *Matrix) mulToken(dst []float32, a *Activations, panels Span, token int) {
	var sums [panelRows]int32
	codes := a.codes[token*a.stride:]
	for p := panels.From; p < panels.To; p++ {
		for from, s := 0, 0; from < m.in; from, s = from+m.segment, s+1 {
			active.gemv(&sums, m.groups(p, from, from+m.segment), codes[from:])
			m.finish(dst, &sums, a, p, s, token)
		}
	}
}

// mulTokens is Mul for several tokens.
func (m *Matrix) mulTokens(dst []float32, a *Activations, panels, tokens Span) {
	var sums [tokenBlock][panelRows]int32
	var room scratch
	codes := room.aligned()
	for p := panels.From; p < panels.To; p++ {
		for t := tokens.From; t < tokens.To; t += tokenBlock {
			part := sums[:min(tokenBlock, tokens.To-t)]
			for from, s := 0, 0; from < m.in; from, s = from+m.segment, s+1 {
				m.addUp(part, codes, m.groups(p, from, from+m.segment), a, t, from)
				for i := range part {
					m.finish(dst, &part[i], a, p, s, t+i)
				}
			}
		}
	}
}

// addUp puts the products of a panel's groups, the first of which has column from, with tokens from token on into sums.
func (m *Matrix) addUp(sums [][panelRows]int32, codes *unpacked, panel []byte, a *Activations, token, from int) {
	if !active.tiles() {
		for i := range sums {
			active.gemv(&sums[i], panel, a.codes[(token+i)*a.stride+from:])
		}
		return
	}
	clear(sums)
	for len(panel) > 0 {
		block := panel[:min(len(panel), blockGroups*groupBytes)]
		n := len(block) / groupBytes
		active.unpack(codes, block)
		for t := 0; t < len(sums); t += maxTile {
			active.tile(sums[t:min(t+maxTile, len(sums))], codes, n, a.codes[(token+t)*a.stride+from:], a.stride)
		}
		panel = panel[len(block):]
		from += 4 * n
	}
}

// finish scales a token's sums over a segment of columns into its place in dst.
func (m *Matrix) finish(dst []float32, sums *[panelRows]int32, a *Activations, panel, segment, token int) {
	offset := a.totals[token]
	if m.scaling.blocks() {
		offset = a.segmentSums(token)[segment]
	}
	scales, factor, add := m.scalesOf(panel, segment), a.scales[token], segment > 0
	to := dst[token*m.out+panel*panelRows:]
	if m.rows(panel) == panelRows {
		active.scale((*[panelRows]float32)(to), scales, sums, offset, factor, add)
		return
	}
	var whole [panelRows]float32
	to = to[:m.rows(panel)]
	copy(whole[:], to)
	active.scale(&whole, scales, sums, offset, factor, add)
	copy(to, whole[:])
}

// mulColumns is Mul where the scale of a row may change at any column.
func (m *Matrix) mulColumns(dst []float32, a *Activations, panels, tokens Span) {
	for row := panels.From * panelRows; row < min(panels.To*panelRows, m.out); row++ {
		at, shift := place(row, m.in)
		for t := tokens.From; t < tokens.To; t++ {
			codes := a.Codes(t)
			var y float32
			var sum int32
			for k, c := range codes {
				sum += int32(c) * (int32(m.panels[at+k/4*groupBytes+k%4]>>shift&3) - 1)
				if i := row*m.in + k; k == m.in-1 || (i+1)%BlockSize == 0 {
					y += float32(float32(sum) * float32(a.scales[t]*m.scales[i/BlockSize]))
					sum = 0
				}
			}
			dst[t*m.out+row] = y
		}
	}
}
