package backend

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
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

// MatmulGFLOPS is how fast the backend multiplies two matrices of 1024 x 1024 of the dtype (384 x 384 in pure Go without SIMD), with a
// float32 result: the fastest of some runs, 1e9 floating-point operations a second. Training on the backend can hardly be faster.
func MatmulGFLOPS(ctx context.Context, b compute.Backend, dtype dtypes.DType) (float64, error) {
	name := XLACPU // or another that is fast
	if Interprets(b) {
		name = Go
	}
	speed, err := measure(ctx, b, matmulSize(name), dtype)
	if err != nil {
		return 0, err
	}
	return speed.GFLOPS, nil
}

// measureMatmul multiplies two [size, size] float32 matrices on b.
func measureMatmul(ctx context.Context, b compute.Backend, size int) (*Speed, error) {
	return measure(ctx, b, size, dtypes.Float32)
}

// measure multiplies two [size, size] matrices of the dtype on b, checks the product, which is float32, and returns the speed of the
// fastest of 2 to 20 runs. It stops between runs when ctx is done.
func measure(ctx context.Context, b compute.Backend, size int, dtype dtypes.DType) (*Speed, error) {
	speed := &Speed{Size: size, DType: strings.ToLower(dtype.String())}
	err := guarded("matmul panicked", func() error {
		x, y := patterned(size, 7), patterned(size, 5)
		exec, err := graph.NewExec(b, func(x, y *graph.Node) *graph.Node {
			return graph.Dot(x, y).WithOutputDType(dtypes.Float32).Product()
		})
		if err != nil {
			return err
		}
		defer exec.Finalize()
		xt, yt := tensors.FromFlatDataAndDimensions(x, size, size), tensors.FromFlatDataAndDimensions(y, size, size)
		if dtype != dtypes.Float32 {
			if xt, yt, err = converted(b, dtype, xt, yt); err != nil {
				return err
			}
		}
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

// converted returns both matrices in another dtype.
func converted(b compute.Backend, dtype dtypes.DType, x, y *tensors.Tensor) (*tensors.Tensor, *tensors.Tensor, error) {
	outs, err := graph.CallOnceN(b, func(x, y *graph.Node) []*graph.Node {
		return []*graph.Node{graph.ConvertDType(x, dtype), graph.ConvertDType(y, dtype)}
	}, x, y)
	if err != nil {
		return nil, nil, err
	}
	return outs[0], outs[1], nil
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
