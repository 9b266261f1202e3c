package plots_test

import (
	"fmt"
	"html/template"
	"math"
	"os"
	"path/filepath"
	"strings"

	"github.com/bitdistill/bitdistill/internal/atomicfile"
	"github.com/bitdistill/bitdistill/plots"
)

func ExampleLoss() {
	var step, loss []float64
	for i := range 200 {
		step = append(step, float64(10*i))
		loss = append(loss, 0.4+4*math.Exp(-float64(i)/40))
	}
	chart := plots.Loss("Stage 2", "nats per token", plots.Curve{Name: "CE", X: step, Y: loss})
	svg, err := chart.SVG(plots.Light)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(strings.HasPrefix(string(svg), "<svg"), strings.Contains(string(svg), "loss, nats per token"))
	// Output: true true
}

func ExampleNewTernary() {
	weights := []float32{-0.9, -0.3, -0.1, 0, 0.2, 0.3, 0.8, 1.4} // mean|w| = 0.5
	t, err := plots.NewTernary("q_proj", weights, 0.5)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("-1, 0, +1:", t.Codes)
	fmt.Println(plots.WeightHistogram(t).Title())
	// Output:
	// -1, 0, +1: [2 3 3]
	// Ternary weights: q_proj
}

func ExamplePage() {
	dir, err := os.MkdirTemp("", "plots")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	page := plots.Page{Title: "Run 7", Body: []template.HTML{"<h1>Run 7</h1>"}}
	err = page.Add(plots.Accuracy("SST-2", plots.Bar{Name: "FP16-SFT", Value: 0.91, Err: 0.01}, plots.Bar{Name: "BitDistill", Value: 0.9, Err: 0.01}))
	if err != nil {
		fmt.Println(err)
		return
	}
	page.Body = append(page.Body, plots.Table("Results", []string{"model", "accuracy"}, [][]string{{"BitDistill", "0.90 ± 0.01"}}))
	fmt.Println(atomicfile.WriteFile(filepath.Join(dir, "report.html"), page.Write))
	// Output: <nil>
}
