// Command seeds runs the main job with several seeds and says how much of the gap between BitNet-SFT and FP16-SFT
// distillation closes. Every seed is compared with itself: what the order of the data does to all three models alike
// falls out.
//
//	go run ./scripts/seeds -bitdistill ./bitdistill -out runs -seeds 1,2,3 -- --backend go
//
// What follows "--" goes to `bitdistill run`. It fails if the share closed is below -least. Runs that are in -out
// already are gone on with.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"math"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"

	"github.com/bitdistill/bitdistill/distill"
)

func main() {
	program := flag.String("bitdistill", "./bitdistill", "`path` of the program")
	seeds := flag.String("seeds", "1,2,3", "comma-separated")
	out := flag.String("out", "runs", "`folder` of the run folders")
	least := flag.Float64("least", 0.5, "share of the gap that has to be closed")
	flag.Parse()
	log.SetFlags(0)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()

	var all []gains
	for seed := range strings.SplitSeq(*seeds, ",") {
		dir := filepath.Join(*out, "seed-"+seed)
		results, err := run(ctx, *program, dir, append([]string{"--seed", seed}, flag.Args()...))
		if err != nil {
			log.Fatalf("seed %s: %v", seed, err)
		}
		g, err := compare(results)
		if err != nil {
			log.Fatalf("seed %s: %v", seed, err)
		}
		all = append(all, g)
		fmt.Printf("seed %s on %s: %v\n", seed, results.Environment.Backend, g)
	}
	share, err := report(os.Stdout, all)
	if err != nil {
		log.Fatal(err)
	}
	if !(share >= *least) {
		log.Fatalf("FAIL: %.2f of the gap is closed, want at least %.2f", share, *least)
	}
}

// run makes or finishes the run in dir and reads its results.
func run(ctx context.Context, program, dir string, args []string) (*distill.Results, error) {
	args = append([]string{"run", "--out", dir}, args...)
	if distill.HoldsRun(dir) {
		args = append(args, "--resume")
	}
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%v: %w", cmd.Args, err)
	}
	raw, err := os.ReadFile(filepath.Join(dir, "results.json"))
	if err != nil {
		return nil, err
	}
	results := &distill.Results{}
	return results, json.Unmarshal(raw, results)
}

// gains are what one seed gave, in points of accuracy.
type gains struct {
	full, direct, distilled float64
}

func (g gains) gap() float64    { return g.full - g.direct }
func (g gains) closed() float64 { return g.distilled - g.direct }

func (g gains) String() string {
	return fmt.Sprintf("FP16-SFT %.2f, BitNet-SFT %.2f, BitDistill %.2f: %+.2f of a gap of %.2f", g.full, g.direct, g.distilled, g.closed(), g.gap())
}

func compare(r *distill.Results) (gains, error) {
	accuracy := map[string]float64{}
	for _, row := range r.Rows {
		accuracy[row.Name] = 100 * row.Accuracy
	}
	if len(accuracy) != 3 {
		return gains{}, fmt.Errorf("results.json has %d rows, want 3", len(accuracy))
	}
	return gains{accuracy["FP16-SFT"], accuracy["BitNet-SFT"], accuracy["BitDistill"]}, nil
}

// report writes the means and returns the share closed: the mean of what each seed gained over the mean of their gaps, since a
// quotient for each seed would be noise where its gap is small.
func report(w io.Writer, all []gains) (share float64, err error) {
	var gap, closed, squares float64
	n := float64(len(all))
	for _, g := range all {
		gap += g.gap() / n
		closed += g.closed() / n
	}
	for _, g := range all {
		squares += (g.closed() - closed) * (g.closed() - closed)
	}
	fmt.Fprintf(w, "mean of %d seeds: %+.2f points of a gap of %.2f", len(all), closed, gap)
	if len(all) > 1 {
		fmt.Fprintf(w, " (standard error of the gain %.2f)", math.Sqrt(squares/(n-1)/n))
	}
	if gap <= 0 {
		fmt.Fprintln(w)
		return 0, fmt.Errorf("FAIL: BitNet-SFT is no worse than FP16-SFT, so there is no gap to close")
	}
	_, err = fmt.Fprintf(w, ": %.0f %% closed\n", 100*closed/gap)
	return closed / gap, err
}
