package packed

import (
	"encoding/binary"
	"fmt"
)

const (
	panelRows  = 64
	groupBytes = 64 // of a panel, for four columns
	zeroCodes  = 0b01010101
)

// Matrix is a ternary matrix [out, in] in panels (see the package comment) with its scales. It does not change, so that any number
// of goroutines may use it.
type Matrix struct {
	out, in int
	scaling Scaling
	scales  []float32
	panels  []byte

	// segment is how many columns are summed up before scales come in: all, or as many as no row's scale changes within. It is 0 where
	// that may happen within a group.
	segment   int
	rowScales []float32 // [panels][segments][64], or [64] for AbsMean: scales where kernels read them
}

// PanelBytes is the size of the panels of a matrix [out, in]. It is 2 bits a weight where out is a multiple of 64 and in one of 4.
func PanelBytes(out, in int) (int, error) {
	if err := checkShape(out, in); err != nil {
		return 0, err
	}
	return (out + panelRows - 1) / panelRows * groups(in) * groupBytes, nil
}

// groups is the number of groups of four that n columns have.
func groups(n int) int { return (n + 3) / 4 }

// FromPanels makes a matrix [out, in] of panels that are there already, of a memory-mapped file say, and neither copies nor reads
// them: [Matrix.Check] does that. They must not change, nor go away before the matrix. Scales are as many as [Scaling.Count] says, and finite.
func FromPanels(panels []byte, out, in int, scaling Scaling, scales []float32) (*Matrix, error) {
	want, err := scaling.Count(out, in)
	if err != nil {
		return nil, err
	}
	if len(scales) != want {
		return nil, fmt.Errorf("packed: %d scales for a matrix [%d, %d], %s wants %d", len(scales), out, in, scaling, want)
	}
	if err := checkScales(scales); err != nil {
		return nil, err
	}
	if size, _ := PanelBytes(out, in); len(panels) != size {
		return nil, fmt.Errorf("packed: %d bytes of panels for a matrix [%d, %d], want %d", len(panels), out, in, size)
	}
	m := &Matrix{out: out, in: in, scaling: scaling, scales: scales, panels: panels, segment: in}
	if scaling.blocks() {
		m.segment = segment(in)
	}
	m.rowScales = m.spreadScales()
	return m, nil
}

// FromCodes makes a matrix [out, in] of its codes, -1, 0 and 1 in row-major order, and of scales as [FromPanels] takes them.
func FromCodes(codes []int8, out, in int, scaling Scaling, scales []float32) (*Matrix, error) {
	size, err := PanelBytes(out, in)
	if err != nil {
		return nil, err
	}
	if len(codes) != out*in {
		return nil, fmt.Errorf("packed: %d codes for a matrix [%d, %d], want %d", len(codes), out, in, out*in)
	}
	for i, c := range codes {
		if c < -1 || c > 1 {
			return nil, fmt.Errorf("packed: code %d, of row %d and column %d, is %d; want -1, 0 or 1", i, i/in, i%in, c)
		}
	}
	panels := make([]byte, size)
	for i := range panels {
		panels[i] = zeroCodes
	}
	for row := range out {
		at, shift := place(row, in)
		for k, c := range codes[row*in : (row+1)*in] {
			panels[at+k/4*groupBytes+k%4] ^= (uint8(c+1) ^ 1) << shift
		}
	}
	return FromPanels(panels, out, in, scaling, scales)
}

// place is where a row's first code lies in the panels of a matrix of that width.
func place(row, in int) (at int, shift uint) {
	panel, row := row/panelRows, row%panelRows
	return panel*groups(in)*groupBytes + 4*(row%16), 2 * uint(row/16)
}

// segment is the largest number of columns within which no row of a matrix of that width changes its run of BlockSize values, or 0 where
// groups of four columns are not parts of it. It divides BlockSize.
func segment(in int) int {
	n := in & -in // the largest power of two in it
	if n < 4 {
		return 0
	}
	return min(n, BlockSize)
}

// spreadScales lays the scales out as kernels multiply with them.
func (m *Matrix) spreadScales() []float32 {
	if m.scaling == AbsMean {
		return repeat(m.scales[0])
	}
	if m.segment == 0 {
		return nil
	}
	segments := m.in / m.segment
	spread := make([]float32, m.Panels()*segments*panelRows)
	for row := range m.out {
		for s := range segments {
			scale := row
			if m.scaling.blocks() {
				scale = (row*m.in + s*m.segment) / BlockSize
			}
			spread[(row/panelRows*segments+s)*panelRows+row%panelRows] = m.scales[scale]
		}
	}
	return spread
}

func repeat(scale float32) []float32 {
	all := make([]float32, panelRows)
	for i := range all {
		all[i] = scale
	}
	return all
}

// Check reads all panels and returns an error if one has a code that is none.
func (m *Matrix) Check() error {
	for i := 0; i < len(m.panels); i += 8 {
		codes := binary.LittleEndian.Uint64(m.panels[i:])
		if codes&(codes>>1)&0x5555555555555555 != 0 {
			return fmt.Errorf("packed: the panels' bytes %d to %d have the code 3, which is none", i, i+7)
		}
	}
	return nil
}

// Dims is the shape [out, in].
func (m *Matrix) Dims() (out, in int) { return m.out, m.in }

// Panels is the number of panels of 64 rows, the last of which may be filled up.
func (m *Matrix) Panels() int { return (m.out + panelRows - 1) / panelRows }

// Scaling is how the codes are scaled.
func (m *Matrix) Scaling() Scaling { return m.scaling }

// Scales are the scales, not to be changed.
func (m *Matrix) Scales() []float32 { return m.scales }

// Bytes are the panels, not to be changed: what [FromPanels] takes.
func (m *Matrix) Bytes() []byte { return m.panels }

// BitsPerWeight is the size of panels and scales in bits, by weights.
func (m *Matrix) BitsPerWeight() float64 {
	return 8 * float64(len(m.panels)+4*len(m.scales)) / (float64(m.out) * float64(m.in))
}

// Codes appends the codes, -1, 0 and 1 in row-major order, to dst.
func (m *Matrix) Codes(dst []int8) []int8 {
	for row := range m.out {
		at, shift := place(row, m.in)
		for k := range m.in {
			dst = append(dst, int8(m.panels[at+k/4*groupBytes+k%4]>>shift&3)-1)
		}
	}
	return dst
}
