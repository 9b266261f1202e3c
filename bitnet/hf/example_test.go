package hf_test

import (
	"fmt"
	"os"

	"github.com/bitdistill/bitdistill/bitnet/hf"
)

func ExampleLoad() {
	m, err := hf.Load("../../distill/embedded/model")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(m.Config.Family, m.Config.Parameters(), m.Tokenizer.Encode("Once upon a time"))

	dir, err := os.MkdirTemp("", "model")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	fmt.Println(m.Save(dir))
	// Output:
	// llama 260032 [403 407 261 378]
	// <nil>
}
