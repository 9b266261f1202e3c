package data_test

import (
	"context"
	"fmt"
	"strings"

	"github.com/bitdistill/bitdistill/distill/data"
)

// words has a token for each word: the number of its letters. A real program takes the tokenizer of its model.
type words struct{}

func (words) Encode(text string) (ids []int32) {
	for _, word := range strings.Fields(text) {
		ids = append(ids, int32(len(word)))
	}
	return ids
}
func (words) BOS() (int32, bool) { return 0, true }
func (words) EOS() (int32, bool) { return 0, false }
func (words) Pad() int32         { return 0 }

// A task file's rows become batches: prompt and right answer, padded on the right.
func Example() {
	task, err := data.LookupTask("sst2")
	if err != nil {
		fmt.Println(err)
		return
	}
	rows, err := task.Read(data.InMemory("reviews.tsv", []byte("sentence\tlabel\na joy\t1\n")))
	if err != nil {
		fmt.Println(err)
		return
	}
	examples, err := task.Tokenize(context.Background(), rows, words{}, data.TokenizeOptions{MaxLength: 8})
	if err != nil {
		fmt.Println(err)
		return
	}
	source, err := data.NewTraining(examples, data.TrainingOptions{Rows: 1, Seed: 1})
	if err != nil {
		fmt.Println(err)
		return
	}
	batch := source.Batch(0)
	positions, targets, _ := batch.Answers()
	fmt.Println(examples.Counts)
	fmt.Println("ids      ", batch.IDs)
	fmt.Println("mask     ", batch.Mask)
	fmt.Println("predict  ", targets, "at", positions)
	// Output:
	// 1 of 1 rows (0 too short, 0 too long and dropped), 0 cut to fit, 5 prompt tokens
	// ids       [0 1 3 2 3 4 0 0]
	// mask      [1 1 1 1 1 1 0 0]
	// predict   [4] at [4]
}

func ExampleParseTokens() {
	n, err := data.ParseTokens("1.5M")
	fmt.Println(n, err, data.FormatTokens(n))
	_, err = data.ParseTokens("lots")
	fmt.Println(err)
	// Output:
	// 1500000 <nil> 1.50M
	// token budget "lots": want a number such as 500K, 2M, 10B or 123
}
