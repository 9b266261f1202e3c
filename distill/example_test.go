package distill_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"

	"github.com/bitdistill/bitdistill/bitnet"
	"github.com/bitdistill/bitdistill/bitnet/arch"
	"github.com/bitdistill/bitdistill/distill"
)

// All stages on the model in the binary, with a table and a text of one's own. Two steps a training teach it nothing; leave
// them to the preset for that.
func Example() {
	dir, err := os.MkdirTemp("", "example-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	train, dev, text := filepath.Join(dir, "train.tsv"), filepath.Join(dir, "dev.tsv"), filepath.Join(dir, "stories.txt")
	for path, content := range map[string]string{
		train: "sentence\tlabel\n" + strings.Repeat("the day was long and the dog was sad\t0\nthe sun was out and we liked the park\t1\n", 8),
		dev:   "sentence\tlabel\n" + strings.Repeat("the dog was old and slow\t0\nthe cat was kind and warm\t1\n", 8),
		text:  strings.Repeat("Once upon a time there was a little dog. ", 40),
	} {
		if err := os.WriteFile(path, []byte(content), 0o666); err != nil {
			log.Fatal(err)
		}
	}

	cfg, err := distill.Preset("embedded")
	if err != nil {
		log.Fatal(err)
	}
	cfg.Task.Train, cfg.Task.Dev, cfg.Corpus.Files = train, dev, []string{text}
	err = cfg.Set("backend=go", "corpus.length=32", "corpus.report_windows=2", "fine_tune.steps=2", "bitnet_sft.steps=2", "stage2.steps=2",
		"stage3.steps=2", "stage2.batch_size=4", "stage3.batch_size=4", "fine_tune.batch_size=4", "bitnet_sft.batch_size=4")
	if err != nil {
		log.Fatal(err)
	}
	run, err := distill.Open(context.Background(), cfg, distill.Options{Out: filepath.Join(dir, "run")})
	if err != nil {
		log.Fatal(err)
	}
	defer run.Close()
	results, err := run.Do(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	for _, row := range results.Rows {
		fmt.Printf("%s: %d examples, linears of %d bytes\n", row.Name, row.N, row.LinearBytes)
	}
	// Output:
	// FP16-SFT: 16 examples, linears of 453120 bytes
	// BitNet-SFT: 16 examples, linears of 56780 bytes
	// BitDistill: 16 examples, linears of 56780 bytes
}

// Validate reports all faults at once, by the names that fields have in a config file.
func ExampleConfig_Validate() {
	cfg, err := distill.Preset("embedded")
	if err != nil {
		log.Fatal(err)
	}
	if err := cfg.Set("stage2.tokens=2M", "loss.positions=some", "stage3.micro_batches=5"); err != nil {
		log.Fatal(err)
	}
	fmt.Println(cfg.Validate())
	// Output:
	// stage3.micro_batches: 5 does not divide batch_size 32
	// loss.positions: "some" is not one of answer, all
}

// Stage 1 on its own: the weights stay, SubLN is added and the linears compute in ternary.
func ExampleConvert() {
	m, err := distill.OpenModel(context.Background(), distill.Embedded, nil)
	if err != nil {
		log.Fatal(err)
	}
	student, err := distill.Convert(m.Model, bitnet.Ternary(bitnet.SubLNOutput))
	if err != nil {
		log.Fatal(err)
	}
	c := student.Config
	fmt.Println(c.Parameters(arch.Linear), "of", c.Parameters(), "weights are ternary,", c.Parameters(arch.SubLNorm), "were added")
	// Output: 226560 of 261212 weights are ternary, 1180 were added
}
