package eval_test

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/bitdistill/bitdistill/bitnet/hf"
	"github.com/bitdistill/bitdistill/distill/data"
	"github.com/bitdistill/bitdistill/distill/embedded"
	"github.com/bitdistill/bitdistill/distill/eval"
	"github.com/gomlx/compute/gobackend"
)

// open loads a model that comes with the module; any other Hugging Face folder will do.
func open(unpack func(dir string) error) *hf.Model {
	dir, err := os.MkdirTemp("", "example-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := unpack(dir); err != nil {
		log.Fatal(err)
	}
	m, err := hf.Load(dir)
	if err != nil {
		log.Fatal(err)
	}
	return m
}

func ExampleClassifier() {
	backend, err := gobackend.New("ops_sequential")
	if err != nil {
		log.Fatal(err)
	}
	m, task := open(embedded.Teacher), embedded.Task()
	rows, err := task.Read(data.InMemory("reviews.tsv", []byte("sentence\tlabel\na beautiful and wonderful film\t1\na dull , stupid and boring mess\t0\n")))
	if err != nil {
		log.Fatal(err)
	}
	examples, err := task.Tokenize(context.Background(), rows, m.Tokenizer, data.TokenizeOptions{MaxLength: 64})
	if err != nil {
		log.Fatal(err)
	}
	classifier, err := eval.NewClassifier(backend, m.Config, m.Store, 16)
	if err != nil {
		log.Fatal(err)
	}
	a, err := classifier.Accuracy(context.Background(), examples)
	if err != nil {
		log.Fatal(err)
	}
	for i, label := range a.Predictions {
		fmt.Printf("line %d:%s\n", examples.Line(i), task.Labels[label].Answer)
	}
	fmt.Printf("accuracy %.2f of %d\n", a.Accuracy, a.N)
	// Output:
	// line 2: happy
	// line 3: little
	// accuracy 1.00 of 2
}

func ExampleLanguageModel() {
	backend, err := gobackend.New("ops_sequential")
	if err != nil {
		log.Fatal(err)
	}
	m := open(embedded.Model)
	text := data.InMemory("story.txt", []byte("Once upon a time, there was a little girl named Lily. She loved to play outside in the park."))
	corpus, err := data.ReadCorpus(context.Background(), []data.File{text}, m.Tokenizer, data.CorpusOptions{Length: 16})
	if err != nil {
		log.Fatal(err)
	}
	judge, err := eval.NewLanguageModel(backend, m.Config, m.Store, 8)
	if err != nil {
		log.Fatal(err)
	}
	p, err := judge.Perplexity(context.Background(), corpus)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(p.Tokens, "tokens predicted, better than chance:", p.Perplexity < float64(m.Config.VocabSize))
	// Output: 30 tokens predicted, better than chance: true
}
