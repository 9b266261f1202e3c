package loss_test

import (
	"fmt"
	"log"

	"github.com/bitdistill/bitdistill/distill/loss"
	"github.com/gomlx/compute/gobackend"
	"github.com/gomlx/gomlx/core/graph"
)

// The second of two positions is not counted, so the mean is over one.
func ExampleCrossEntropy() {
	backend, err := gobackend.New("ops_sequential")
	if err != nil {
		log.Fatal(err)
	}
	exec, err := graph.NewExec(backend, loss.CrossEntropy)
	if err != nil {
		log.Fatal(err)
	}
	logits := [][][]float32{{{0, 0, 0, 0}, {5, 0, 0, 0}}}
	targets := [][]int32{{2, loss.Ignored}}
	ce, err := exec.Call1(logits, targets, float32(1))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%.4f\n", ce.Value())
	// Output: 1.3863
}
