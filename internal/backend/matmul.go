package backend

import (
	"context"
	"fmt"
	"time"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

// Speed is how fast a backend multiplies two square matrices.
type Speed struct {
	Size    int     `json:"size"`    // rows = columns of both
	DType   string  `json:"dtype"`   // "float32"
	Runs    int     `json:"runs"`    // timed ones, after a warm-up that compiles
	Seconds float64 `json:"seconds"` // of the fastest run
	GFLOPS  float64 `json:"gflops"`  // 2·size³ floating-point operations / seconds / 1e9
}

// matmulTime is about how long the timed runs of one backend take together.
const matmulTime = 500 * time.Millisecond

// measureMatmul multiplies two [size, size] float32 matrices on b, checks the product and returns the speed of the fastest
// of 2 to 20 runs. It stops between runs when ctx is done.
func measureMatmul(ctx context.Context, b compute.Backend, size int) (*Speed, error) {
	speed := &Speed{Size: size, DType: "float32"}
	err := guarded("matmul panicked", func() error {
		x, y := patterned(size, 7), patterned(size, 5)
		exec, err := graph.NewExec(b, func(x, y *graph.Node) *graph.Node { return graph.Dot(x, y).Product() })
		if err != nil {
			return err
		}
		defer exec.Finalize()
		xt, yt := tensors.FromFlatDataAndDimensions(x, size, size), tensors.FromFlatDataAndDimensions(y, size, size)
		defer xt.FinalizeAll()
		defer yt.FinalizeAll()
		begin := time.Time{}
		for run := range 21 {
			if err := ctx.Err(); err != nil {
				return err
			}
			start := time.Now()
			out, err := exec.Call1(xt, yt)
			took := time.Since(start)
			if err != nil {
				return err
			}
			if run == 0 { // warm-up: compiles, and gives the product to check
				err = checkProduct(out, x, y, size)
				begin = time.Now()
			} else if speed.Runs++; speed.Runs == 1 || took.Seconds() < speed.Seconds {
				speed.Seconds = took.Seconds()
			}
			out.FinalizeAll()
			if err != nil {
				return err
			}
			if speed.Runs >= 2 && time.Since(begin) > matmulTime {
				break
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("matmul of %d x %d: %w", size, size, err)
	}
	speed.GFLOPS = 2 * float64(size) * float64(size) * float64(size) / speed.Seconds / 1e9
	return speed, nil
}

// patterned returns a [size, size] matrix of integers in -period/2..period/2: sums of their products are exact in
// float32, and in the shorter mantissas that GPUs multiply with.
func patterned(size, period int) []float32 {
	m := make([]float32, size*size)
	for i := range m {
		m[i] = float32((i/size*3+i)%period - period/2)
	}
	return m
}

// checkProduct compares entries along both diagonals with sums computed here.
func checkProduct(out *tensors.Tensor, x, y []float32, size int) error {
	product, err := tensors.CopyFlatData[float32](out)
	if err != nil {
		return err
	}
	for row := range size {
		for _, col := range []int{row, size - 1 - row} {
			var want float32
			for k := range size {
				want += x[row*size+k] * y[k*size+col]
			}
			if got := product[row*size+col]; got != want {
				return fmt.Errorf("wrong result: entry [%d, %d] is %g, not %g", row, col, got, want)
			}
		}
	}
	return nil
}
