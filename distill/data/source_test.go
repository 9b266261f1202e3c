package data

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
)

// rowsOf turns a batch of byteTokenizer ids back into texts, checking what every batch must satisfy.
func rowsOf(t *testing.T, b *Batch) []string {
	t.Helper()
	if len(b.IDs) != b.Rows*b.Length || len(b.Mask) != len(b.IDs) || len(b.Labels) != len(b.IDs) {
		t.Fatalf("batch of %d×%d has %d ids, %d mask, %d labels", b.Rows, b.Length, len(b.IDs), len(b.Mask), len(b.Labels))
	}
	var texts []string
	tokens := 0
	for r := range b.Rows {
		ids, mask, labels := b.IDs[r*b.Length:][:b.Length], b.Mask[r*b.Length:][:b.Length], b.Labels[r*b.Length:][:b.Length]
		n := 0
		for n < b.Length && mask[n] == 1 {
			n++
		}
		tokens += n
		for i := range b.Length {
			if i >= n && (mask[i] != 0 || ids[i] != 7 || labels[i] != NoLabel) {
				t.Fatalf("row %d: position %d behind the text has mask %d, id %d, label %d", r, i, mask[i], ids[i], labels[i])
			}
			if labels[i] != NoLabel && labels[i] != ids[i] {
				t.Fatalf("row %d: label %d is not the id %d", r, labels[i], ids[i])
			}
		}
		texts = append(texts, decodeBytes(ids[:n]))
	}
	if tokens != b.Tokens {
		t.Fatalf("Tokens is %d, the mask has %d", b.Tokens, tokens)
	}
	return texts
}

// TestEveryRowOncePerEpoch cuts the served rows at multiples of n: each piece must hold every example once.
func TestEveryRowOncePerEpoch(t *testing.T) {
	for _, n := range []int{1, 3, 7, 64, 101, 500} {
		d := randomReviews(n, uint64(n))
		for i := range d.Rows {
			d.Rows[i].Values[0] += fmt.Sprintf(" #%d", i) // no two alike
		}
		e := tokenized(t, reviewTask, d, TokenizeOptions{MaxLength: 90})
		var want []string
		for _, r := range d.Rows {
			want = append(want, "^"+r.Values[0]+" It was"+reviewTask.Labels[r.Label].Answer)
		}
		slices.Sort(want)
		for _, rows := range []int{1, 2, 5, 16, 33} {
			for _, group := range []int{1, 3, 8} {
				source, err := NewTraining(e, TrainingOptions{Rows: rows, Group: group, Run: 1 + group/3, Seed: 5})
				if err != nil {
					t.Fatal(err)
				}
				const epochs = 4
				var stream []string
				for step := 0; len(stream) < epochs*n; step++ {
					// Within a batch the stream keeps its order, so its rows can be laid end to end.
					stream = append(stream, rowsOf(t, source.Batch(step))...)
				}
				for epoch := range epochs {
					got := slices.Sorted(slices.Values(stream[epoch*n : (epoch+1)*n]))
					if !slices.Equal(got, want) {
						t.Fatalf("n %d, rows %d, group %d: epoch %d is not every row once", n, rows, group, epoch)
					}
				}
				if n > 60 && slices.Equal(stream[:n], stream[n:2*n]) {
					t.Errorf("n %d, rows %d: two epochs have one order", n, rows)
				}
			}
		}
	}
}

// TestRunsAreOfLikeLengths: batches that are computed side by side should take the same time.
func TestRunsAreOfLikeLengths(t *testing.T) {
	e := tokenized(t, reviewTask, randomReviews(2048, 4), TokenizeOptions{MaxLength: 90})
	apart := func(run int) (sum int) {
		s, err := NewTraining(e, TrainingOptions{Rows: 8, Buckets: 8, Run: run, Seed: 1})
		if err != nil {
			t.Fatal(err)
		}
		for step := range 64 {
			sum += max(s.Batch(2*step).Length, s.Batch(2*step+1).Length) - min(s.Batch(2*step).Length, s.Batch(2*step+1).Length)
		}
		return sum
	}
	if one, two := apart(1), apart(2); 2*two > one {
		t.Errorf("lengths in pairs differ by %d tokens in all, unpaired by %d", two, one)
	}
}

func TestBatchIsAFunctionOfTheStep(t *testing.T) {
	e := tokenized(t, reviewTask, randomReviews(83, 2), TokenizeOptions{MaxLength: 70})
	c, err := ReadCorpus(t.Context(), []File{InMemory("a.txt", []byte(strings.Repeat("some text. ", 200)))}, byteTokenizer{}, CorpusOptions{Length: 16})
	if err != nil {
		t.Fatal(err)
	}
	for name, fresh := range map[string]func(seed uint64) Source{
		"training": func(seed uint64) Source {
			s, err := NewTraining(e, TrainingOptions{Rows: 6, Seed: seed})
			if err != nil {
				t.Fatal(err)
			}
			return s
		},
		"packed": func(seed uint64) Source {
			s, err := NewPacked(c, 6, seed)
			if err != nil {
				t.Fatal(err)
			}
			return s
		},
	} {
		const steps = 100
		var want []string
		for step, s := 0, fresh(9); step < steps; step++ {
			want = append(want, fmt.Sprint(*s.Batch(step)))
		}
		shared := fresh(9)
		var wg sync.WaitGroup
		for worker := range 2 {
			wg.Go(func() {
				for _, step := range rand.New(rand.NewPCG(uint64(worker), 0)).Perm(steps) {
					if fmt.Sprint(*shared.Batch(step)) != want[step] {
						t.Errorf("%s: step %d depends on what was asked before", name, step)
					}
				}
			})
		}
		wg.Wait()
		if fmt.Sprint(*fresh(9).Batch(57)) != want[57] {
			t.Errorf("%s: a new source begins elsewhere", name)
		}
		other := fresh(10)
		if fmt.Sprint(*other.Batch(0)) == want[0] || other.Fingerprint() == shared.Fingerprint() {
			t.Errorf("%s: the seed decides nothing", name)
		}
		if shared.Fingerprint() != fresh(9).Fingerprint() {
			t.Errorf("%s: the fingerprint changes", name)
		}
	}
}

func TestBucketedLengths(t *testing.T) {
	e := tokenized(t, reviewTask, randomReviews(700, 6), TokenizeOptions{MaxLength: 61})
	padding := func(group int) float64 {
		source, err := NewTraining(e, TrainingOptions{Rows: 8, Buckets: 3, Group: group})
		if err != nil {
			t.Fatal(err)
		}
		allowed := source.Lengths()
		if want := []int{24, 40, 61}; !slices.Equal(allowed, want) {
			t.Fatalf("longest %d: lengths %v, want %v", e.Longest(), allowed, want)
		}
		all, real := 0, 0
		for step := range 88 {
			b := source.Batch(step)
			longest := 0
			for _, text := range rowsOf(t, b) {
				longest = max(longest, len(text))
			}
			i := slices.Index(allowed, b.Length)
			if i < 0 || longest > b.Length || i > 0 && longest <= allowed[i-1] {
				t.Fatalf("step %d: longest row %d in a batch of length %d, allowed %v", step, longest, b.Length, allowed)
			}
			all += b.Rows * b.Length
			real += b.Tokens
		}
		return 1 - float64(real)/float64(all)
	}
	if sorted, unsorted := padding(8), padding(1); sorted > unsorted*0.8 {
		t.Errorf("sorting by length leaves %.0f%% padding of %.0f%%", 100*sorted, 100*unsorted)
	}
	for _, c := range []struct {
		longest, limit, buckets int
		want                    []int
	}{
		{64, 64, 4, []int{16, 32, 48, 64}}, {13, 64, 4, []int{8, 16}}, {5, 6, 4, []int{6}}, {64, 128, 1, []int{64}}, {63, 63, 2, []int{32, 63}},
	} {
		if got := lengths(c.longest, c.limit, c.buckets); !slices.Equal(got, c.want) {
			t.Errorf("lengths(%d, %d, %d) = %v, want %v", c.longest, c.limit, c.buckets, got, c.want)
		}
	}
}

func TestAnswers(t *testing.T) {
	e := tokenized(t, reviewTask, randomReviews(40, 8), TokenizeOptions{MaxLength: 90})
	source, err := NewTraining(e, TrainingOptions{Rows: 4})
	if err != nil {
		t.Fatal(err)
	}
	for step := range 10 {
		b := source.Batch(step)
		positions, targets, width := b.Answers()
		if width != len(" good") || len(positions) != 4*width || len(targets) != 4*width {
			t.Fatalf("width %d, %d positions, %d targets", width, len(positions), len(targets))
		}
		counted := 0
		for r, text := range rowsOf(t, b) {
			prompt, answer, _ := strings.Cut(text, " It was")
			var got []int32
			for k := range width {
				position, target := int(positions[r*width+k]), targets[r*width+k]
				if target == NoLabel {
					if position != 0 {
						t.Errorf("filler at position %d", position)
					}
					continue
				}
				if want := len(prompt) + len(" It was") - 1 + k; position != want {
					t.Errorf("%q: answer token %d is predicted at %d, want %d", text, k, position, want)
				}
				got = append(got, target)
			}
			counted += len(got)
			if decodeBytes(got) != answer {
				t.Errorf("%q: targets %q", text, decodeBytes(got))
			}
		}
		if b.Counted() != counted {
			t.Errorf("Counted %d, want %d", b.Counted(), counted)
		}
	}
	if p, targets, width := newBatch(2, 3, 0).Answers(); width != 0 || len(p) != 0 || len(targets) != 0 {
		t.Errorf("a batch without labels has width %d", width)
	}
}

// oneToken has one token per answer.
type oneToken struct{ byteTokenizer }

func (o oneToken) Encode(text string) []int32 {
	prompt, answer, _ := strings.Cut(text, " It was")
	ids := o.byteTokenizer.Encode(prompt + " It was")
	if answer != "" {
		ids = append(ids, 10+int32(answer[1]))
	}
	return ids
}

func TestEvaluationHasEveryRowOnce(t *testing.T) {
	for _, n := range []int{1, 7, 50, 129} {
		d := randomReviews(n, uint64(n))
		for _, tok := range []Tokenizer{byteTokenizer{}, oneToken{}} {
			e, err := reviewTask.Tokenize(t.Context(), d, tok, TokenizeOptions{MaxLength: 70})
			if err != nil {
				t.Fatal(err)
			}
			for _, rows := range []int{1, 8, 32} {
				v, err := NewEvaluation(e, rows, 4)
				if err != nil {
					t.Fatal(err)
				}
				seen := map[[2]int32]int{}
				for i := range v.Len() {
					b := v.Batch(i)
					if b.Rows != v.Batch(0).Rows || !slices.Contains(v.Lengths(), b.Length) {
						t.Fatalf("batch %d is %d×%d", i, b.Rows, b.Length)
					}
					positions, targets, width := b.Answers()
					for r := range b.Rows {
						index := b.Index[r]
						if index < 0 {
							if b.Mask[r*b.Length] != 1 || slices.Max(b.Labels[r*b.Length:][:b.Length]) != NoLabel {
								t.Fatal("a filler row has labels or nothing to attend to")
							}
							continue
						}
						seen[[2]int32{index, b.Choice[r]}]++
						prompt, answer := e.Prompt(int(index)), e.Answers[b.Choice[r]]
						if !slices.Equal(b.IDs[r*b.Length:][:len(prompt)+len(answer)], slices.Concat(prompt, answer)) {
							t.Fatalf("batch %d row %d does not hold example %d with answer %d", i, r, index, b.Choice[r])
						}
						if positions[r*width] != int32(len(prompt)-1) || targets[r*width] != answer[0] {
							t.Fatalf("batch %d row %d: the first answer token is predicted at %d", i, r, positions[r*width])
						}
					}
				}
				for i := range n {
					for c := range e.Answers {
						want := 1
						if e.SingleToken() && c != e.Label(i) {
							want = 0
						}
						if got := seen[[2]int32{int32(i), int32(c)}]; got != want {
							t.Fatalf("n %d rows %d: example %d with answer %d occurs %d times, want %d", n, rows, i, c, got, want)
						}
					}
				}
			}
		}
	}
}

func TestSourcesRefuse(t *testing.T) {
	e := tokenized(t, reviewTask, randomReviews(5, 1), TokenizeOptions{MaxLength: 70})
	_, err := NewTraining(e, TrainingOptions{Rows: 0, Buckets: -1, Group: -2, Run: -3})
	wantError(t, err, "batch size: 0", "buckets: -1", "group: -2", "run: -3")
	_, err = NewEvaluation(e, 0, 0)
	wantError(t, err, "batch size: 0")
	_, err = NewPacked(&Corpus{}, 0, 0)
	wantError(t, err, "batch size: 0")
	_, err = NewWindows(&Corpus{}, -1)
	wantError(t, err, "batch size: -1")
}

func BenchmarkTrainingBatch(b *testing.B) {
	e, err := reviewTask.Tokenize(b.Context(), randomReviews(60000, 1), byteTokenizer{}, TokenizeOptions{MaxLength: 64})
	if err != nil {
		b.Fatal(err)
	}
	source, _ := NewTraining(e, TrainingOptions{Rows: 32})
	for step := 0; b.Loop(); step++ {
		source.Batch(step)
	}
}
