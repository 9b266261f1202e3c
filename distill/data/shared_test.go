package data

import (
	"path/filepath"
	"testing"

	"github.com/bitdistill/bitdistill/internal/golden"
)

// The real files load, with the numbers of rows and labels that their makers counted.
func TestRealTables(t *testing.T) {
	folder := filepath.Join(golden.Shared(t), "data")
	for _, c := range []struct {
		task, file string
		labels     []int // of each label; of a generation, all rows
	}{
		{"sst2", "sst2/train.tsv.gz", []int{29780, 37569}},
		{"sst2", "sst2/dev.tsv", []int{428, 444}},
		{"qnli", "qnli/train_10pct.tsv.gz", []int{5227, 5248}},
		{"qnli", "qnli/dev.tsv", []int{2702, 2761}},
		{"mnli", "mnli/train_9.9k.tsv.gz", []int{3213, 3326, 3349}},
		{"mnli", "mnli/dev_matched_6.2k.tsv", []int{2183, 1995, 2060}},
		{"mnli", "mnli/dev_mismatched_1k_tokenized.tsv", []int{346, 319, 335}},
		{"cnndm", "cnn_dailymail/train_100.jsonl.gz", []int{100}},
		{"cnndm", "cnn_dailymail/validation_1000.jsonl.gz", []int{1000}},
		{"cnndm", "cnn_dailymail/test_500.jsonl.gz", []int{500}},
	} {
		task, err := LookupTask(c.task)
		if err != nil {
			t.Fatal(err)
		}
		d, err := task.Read(OnDisk(filepath.Join(folder, c.file)))
		if err != nil {
			t.Error(err)
			continue
		}
		got := make([]int, len(c.labels))
		for _, r := range d.Rows {
			got[r.Label]++
			if r.chars() < 1 || task.Generates() != (len(r.Completion) > 1) {
				t.Errorf("%s:%d: %+v", c.file, r.Line, r)
			}
		}
		for i, want := range c.labels {
			if got[i] != want {
				t.Errorf("%s: %d rows of each label, want %d", c.file, got, c.labels)
				break
			}
		}
	}
}
