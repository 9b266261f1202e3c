package data

// NoLabel marks a position that no loss counts.
const NoLabel = -100

// Batch is sequences padded on the right to one length. The four slices are [Rows, Length], row after row.
type Batch struct {
	Rows, Length int
	IDs          []int32 // token ids
	Mask         []int32 // 1 for a real token, 0 for padding
	Labels       []int32 // the id where it is to be predicted, else NoLabel; position t predicts Labels[t+1]
	Tokens       int     // real tokens
	Err          error   // reading the data failed: nothing else in the batch counts

	answerWidth int // least width of Answers, so that it is the same for all batches of a source
}

// newBatch is a batch of padding.
func newBatch(rows, length int, pad int32) *Batch {
	b := &Batch{Rows: rows, Length: length}
	b.IDs, b.Mask, b.Labels = make([]int32, rows*length), make([]int32, rows*length), make([]int32, rows*length)
	for i := range b.IDs {
		b.IDs[i], b.Labels[i] = pad, NoLabel
	}
	return b
}

// set writes a sequence into a row; the tokens of answer, behind those of prompt, are to be predicted.
func (b *Batch) set(row int, prompt, answer []int32) {
	at := row * b.Length
	n := copy(b.IDs[at:], prompt)
	copy(b.IDs[at+n:], answer)
	copy(b.Labels[at+n:], answer)
	n += len(answer)
	for i := range n {
		b.Mask[at+i] = 1
	}
	b.Tokens += n
}

// Counted is the number of labels that a loss counts: those that some position predicts. Accumulated gradients are
// weighted by it.
func (b *Batch) Counted() int {
	n := 0
	for i, l := range b.Labels {
		if l != NoLabel && i%b.Length > 0 { // nothing predicts the first token
			n++
		}
	}
	return n
}

// Answers lists, for each row, the positions whose logits predict a counted label and those labels, both
// [Rows, width] and in order. Rows with fewer are filled up with position 0 and target NoLabel. All batches of one
// task source have the same width, that of the longest answer.
func (b *Batch) Answers() (positions, targets []int32, width int) {
	found := make([][]int32, b.Rows)
	width = b.answerWidth
	for r := range found {
		for t := 0; t+1 < b.Length; t++ {
			if b.Labels[r*b.Length+t+1] != NoLabel {
				found[r] = append(found[r], int32(t))
			}
		}
		width = max(width, len(found[r]))
	}
	positions, targets = make([]int32, b.Rows*width), make([]int32, b.Rows*width)
	for r, ts := range found {
		for k := range width {
			targets[r*width+k] = NoLabel
			if k < len(ts) {
				positions[r*width+k] = ts[k]
				targets[r*width+k] = b.Labels[r*b.Length+int(ts[k])+1]
			}
		}
	}
	return positions, targets, width
}

// Targets lists, for every position, the counted label that its logits predict, or NoLabel: [Rows, Length].
func (b *Batch) Targets() []int32 {
	targets := make([]int32, len(b.Labels))
	for i := range targets {
		targets[i] = NoLabel
		if (i+1)%b.Length != 0 {
			targets[i] = b.Labels[i+1]
		}
	}
	return targets
}

// lengths are the few lengths that batches of sequences up to longest tokens are padded to: k/buckets of longest,
// rounded up to a multiple of 8, so that few shapes are compiled. None is over limit.
func lengths(longest, limit, buckets int) []int {
	var all []int
	for k := 1; k <= buckets; k++ {
		n := (longest*k + buckets - 1) / buckets
		n = min((n+7)/8*8, limit)
		if len(all) == 0 || n > all[len(all)-1] {
			all = append(all, n)
		}
	}
	return all
}

// padTo is the smallest length that holds n tokens.
func padTo(lengths []int, n int) int {
	for _, l := range lengths {
		if l >= n {
			return l
		}
	}
	return n
}
