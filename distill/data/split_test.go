package data

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// within is the naive meaning of "contained as a run of whole words", for rows of one column.
func within(a, b Row) bool {
	return spaced(a) != "  " && strings.Contains(spaced(b), spaced(a))
}

// spaced is a row's words with a space around each, kept since the brute force asks millions of times.
func spaced(r Row) string {
	text, ok := known[r.Values[0]]
	if !ok {
		text = " " + strings.Join(strings.Fields(strings.ToLower(r.Values[0])), " ") + " "
		known[r.Values[0]] = text
	}
	return text
}

var known = map[string]string{}

func overlap(row Row, rows []Row) bool {
	return slices.ContainsFunc(rows, func(r Row) bool { return within(row, r) || within(r, row) })
}

// phrases is rows that are parts of one another, as SST-2's are, of few words, so that chance adds more.
func phrases(n int, seed uint64) *Dataset {
	d := randomReviews(n/4, seed)
	for _, row := range d.Rows {
		words := strings.Fields(row.Values[0])
		for k := range 3 {
			from := (k * 7) % len(words)
			part := strings.Join(words[from:min(len(words), from+2+k)], " ")
			if k == 1 {
				part = strings.ToUpper(part) + " "
			}
			d.Rows = append(d.Rows, Row{Line: len(d.Rows) + 2, Values: []string{part}})
		}
	}
	d.Rows = append(d.Rows, Row{Line: len(d.Rows) + 2, Values: []string{" "}})
	return d
}

func TestDisjointAgainstBruteForce(t *testing.T) {
	train, held := phrases(3000, 1), phrases(120, 2)
	left, removed := Disjoint(train, held)
	var want []Row
	for _, row := range train.Rows {
		if !overlap(row, held.Rows) {
			want = append(want, row)
		}
	}
	if fmt.Sprint(left.Rows) != fmt.Sprint(want) || removed != len(train.Rows)-len(want) {
		t.Fatalf("%d rows left and %d removed, brute force leaves %d", len(left.Rows), removed, len(want))
	}
	if removed == 0 || len(want) == 0 {
		t.Fatalf("the test shows nothing: %d removed, %d left", removed, len(want))
	}
	// A held-out row that is one word in the middle, with nothing on the way to it in the automaton.
	one := &Dataset{Rows: []Row{{Values: []string{"a b c d"}}, {Values: []string{"c"}}, {Values: []string{"b c"}}, {Values: []string{"cc"}}}}
	left, _ = Disjoint(one, &Dataset{Rows: []Row{{Values: []string{"x c y"}}}})
	if fmt.Sprint(left.Rows) != fmt.Sprint([]Row{one.Rows[0], one.Rows[2], one.Rows[3]}) {
		t.Errorf("left %v", left.Rows)
	}
}

func TestSplitAgainstBruteForce(t *testing.T) {
	d := phrases(2000, 3)
	var whole []Row // rows that are not part of another, the first of equal ones
	for i, row := range d.Rows {
		part := strings.TrimSpace(row.Values[0]) == ""
		for j, other := range d.Rows {
			part = part || i != j && within(row, other) && (!within(other, row) || j < i)
		}
		if !part {
			whole = append(whole, row)
		}
	}
	if got := newTexts(d).uncontained(); len(got) != len(whole) {
		t.Fatalf("%d rows stand alone, brute force finds %d", len(got), len(whole))
	}
	for _, n := range []int{1, 20, 100} {
		train, held, counts, err := Split(d, n, 4)
		if err != nil {
			t.Fatal(err)
		}
		if len(held.Rows) != n || counts.HeldOut != n || counts.Train != len(train.Rows) || counts.Train+n+counts.Removed != len(d.Rows) {
			t.Fatalf("%d held out, %d left, counts %+v of %d", len(held.Rows), len(train.Rows), counts, len(d.Rows))
		}
		isWhole := map[int]bool{}
		for _, row := range whole {
			isWhole[row.Line] = true
		}
		for _, row := range held.Rows {
			if !isWhole[row.Line] {
				t.Fatalf("held-out row %q is part of another row", row.Values[0])
			}
		}
		var want []Row
		for _, row := range d.Rows {
			if !overlap(row, held.Rows) {
				want = append(want, row)
			}
		}
		if fmt.Sprint(train.Rows) != fmt.Sprint(want) {
			t.Fatalf("n %d: %d rows left, brute force leaves %d", n, len(train.Rows), len(want))
		}
		again, _, _, _ := Split(d, n, 4)
		other, _, _, _ := Split(d, n, 5)
		if fmt.Sprint(again.Rows) != fmt.Sprint(train.Rows) || n < 100 && fmt.Sprint(other.Rows) == fmt.Sprint(train.Rows) {
			t.Errorf("n %d: the seed does not decide the split", n)
		}
	}
	_, _, _, err := Split(d, len(whole)+1, 0)
	wantError(t, err, d.File, fmt.Sprint(len(whole)), fmt.Sprint(len(d.Rows)))
	_, _, _, err = Split(d, 0, 0)
	wantError(t, err, "at least 1")
	d.Rows = d.Rows[:len(d.Rows)-1] // the row without words, which overlaps with none
	_, _, _, err = Split(d, len(whole), 0)
	wantError(t, err, "none is left")
}

func TestSplitOfSeveralColumns(t *testing.T) {
	pair := func(a, b string) Row { return Row{Values: []string{a, b}} }
	d := &Dataset{File: "p.tsv", Rows: []Row{pair("a b", "c d"), pair("b", "c"), pair("b c", "d"), pair("a b", "x")}}
	left, removed := Disjoint(d, &Dataset{Rows: d.Rows[:1]})
	// Only "b | c" is a run of words of "a b | c d"; the others have the border elsewhere or other words behind it.
	if removed != 2 || fmt.Sprint(left.Rows) != fmt.Sprint(d.Rows[2:]) {
		t.Errorf("removed %d, left %v", removed, left.Rows)
	}
}

func BenchmarkSplit(b *testing.B) {
	for _, n := range []int{10_000, 40_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			d := phrases(n, 1)
			for b.Loop() {
				Split(d, 50, 1)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/row")
		})
	}
}

func TestRepeated(t *testing.T) {
	of := func(texts ...string) *Dataset {
		d := &Dataset{Columns: []string{"text"}}
		for _, text := range texts {
			d.Rows = append(d.Rows, Row{Values: []string{text}})
		}
		return d
	}
	train := of("a good film", "bad", "", "long and dull ")
	if n := Repeated(train, of("A  Good film", "a good", "bad", "", "good film a", "dull")); n != 2 {
		t.Errorf("%d rows, want 2", n)
	}
}
