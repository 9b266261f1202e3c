package packed_test

import (
	"fmt"

	"github.com/bitdistill/bitdistill/bitnet/packed"
)

// Two tokens times the transpose of a matrix of three rows.
func Example() {
	weights := []float32{
		0.5, -0.4, 0.1, 0,
		0, 0.6, 0, 0.3,
		-0.5, -0.5, 0.5, 0.5,
	}
	m, err := packed.Quantize(weights, 3, 4, packed.AbsMean)
	if err != nil {
		fmt.Println(err)
		return
	}
	tokens, err := packed.NewActivations(4, 2)
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := tokens.Quantize([]float32{1, 2, 3, 4, 0, -1, 0, 1}, 0); err != nil {
		fmt.Println(err)
		return
	}
	y := make([]float32, 2*3)
	if err := m.Mul(y, tokens, packed.Span{To: m.Panels()}, packed.Span{To: 2}); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(m.Codes(nil))
	fmt.Printf("%.2f\n", y)
	// Output:
	// [1 -1 0 0 0 1 0 1 -1 -1 1 1]
	// [-0.33 1.96 1.29 0.33 0.00 0.65]
}
