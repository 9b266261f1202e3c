package overlap_test

import (
	"fmt"

	"github.com/bitdistill/bitdistill/distill/eval/overlap"
)

func ExampleCorpusBLEU() {
	texts := []string{"The cat sat on a mat.", "It was raining all day long."}
	references := []string{"The cat sat on the mat.", "It rained all day long."}
	b, err := overlap.CorpusBLEU(texts, references)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%.1f, of words %.1f %%\n", b.Score, b.Precisions[0])
	// Output: 46.3, of words 78.6 %
}

func ExampleMeanROUGE() {
	texts := []string{"The cats sat on a mat.\nThe dog slept."}
	references := []string{"The dog was sleeping.\nA cat sat on the mat."}
	r, err := overlap.MeanROUGE(texts, references)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("1: %.3f 2: %.3f L: %.3f Lsum: %.3f\n", r.ROUGE1.F, r.ROUGE2.F, r.ROUGEL.F, r.ROUGELsum.F)
	// Output: 1: 0.842 2: 0.353 L: 0.526 Lsum: 0.737
}
