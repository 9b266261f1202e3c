package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"runtime"
	"strings"

	"github.com/bitdistill/bitdistill/distill"
	"github.com/bitdistill/bitdistill/internal/system"
	"github.com/spf13/cobra"
)

// benchFlags are the flags of bench train.
type benchFlags struct {
	spec    distill.BenchSpec
	format  string
	compare bool
	python  string
	peers   []string
	child   bool // measured side by side with others: see child
}

func (c *cli) benchTrainCommand() *cobra.Command {
	f := &benchFlags{}
	cmd := &cobra.Command{
		Use:   "train",
		Short: "Measure how fast a model of a size trains",
		Long: `bench train measures steps of stage 2 or 3 as run makes them, on a model of a
published size with random weights, and random tokens without padding: in stage 2 every
token is to be predicted; in stage 3 the last two are the answer, and the student learns
from a teacher of the same size, by logits at the answer (or, with --every-position, at
all positions) and attention relations.

It reports, for each engine:
  tokens/s   mean and standard deviation over the repetitions, of --steps steps each
  rss_mb     most memory that was resident of the process, 1e6 bytes
  compile_s  seconds that the first step took longer than a later one
  mfu        floating-point operations of the model a second (6 a weight and token,
             attention and head; 2 in the teacher), over those of a product of two
             float32 matrices of 1024 x 1024, measured just before on the same engine
             (on several GPUs, on as many)
  outside    share of the time in which no compiled graph ran

--compare measures a PyTorch program of the same step beside it: eager in float32,
compiled, and under bfloat16 autocast. All run in processes of their own, at the same
time, but only one computes at any moment: they take turns after every repetition, so
that memory has to hold all of them. Ratios are of neighbouring repetitions.`,
		Example: `  bitdistill bench train --shape stories260k --batch 32 --length 64
  bitdistill bench train --shape smollm2-135m --stage 3 --backend xla:cpu --format json
  bitdistill bench train --shape qwen3-0.6b --layers 4 --set stage2.micro_batches=2
  bitdistill bench train --shape smollm2-135m --compare --torch ~/venv/bin/python --peers eager`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return c.benchTrain(cmd.Context(), f, cmd.InOrStdin()) },
	}
	f.register(cmd)
	return cmd
}

func (f *benchFlags) register(cmd *cobra.Command) {
	flags, s := cmd.Flags(), &f.spec
	flags.SortFlags = false
	flags.StringVar(&s.Shape, "shape", "stories260k", strings.Join(distill.BenchShapes(), ", "))
	flags.IntVar(&s.Layers, "layers", 0, "only so many blocks; 0 for all")
	flags.IntVar(&s.Stage, "stage", 2, "2 or 3")
	flags.IntVar(&s.Batch, "batch", 4, "sequences of a step")
	flags.IntVar(&s.Length, "length", 128, "tokens of a sequence")
	flags.BoolVar(&s.EveryPosition, "every-position", false, "stage 3 distils the logits of all positions")
	flags.StringVar(&s.Backend, "backend", "auto", "auto, go, xla:cpu or xla:cuda")
	flags.IntVar(&s.Devices, "devices", 1, "of the XLA backend, that the sequences are divided among")
	flags.IntVar(&s.Steps, "steps", 3, "steps of a repetition")
	flags.IntVar(&s.Repetitions, "repetitions", 3, "measured repetitions")
	flags.StringArrayVar(&s.Set, "set", nil, "one setting of stage2, stage3, loss or student, `key=value`, as in run; repeatable")
	flags.StringVar(&f.format, "format", "text", "text, md or json")
	flags.BoolVar(&f.compare, "compare", false, "measure PyTorch too")
	flags.StringVar(&f.python, "torch", "python3", "Python `PROGRAM` that has PyTorch, for --compare")
	flags.StringSliceVar(&f.peers, "peers", torchModes, "what --compare measures PyTorch in")
	flags.BoolVar(&f.child, "child", false, "")
	flags.MarkHidden("child")
}

// benchRow is what is said of one engine.
type benchRow struct {
	Engine  string `json:"engine"`
	Test    string `json:"test"` // stage2 or stage3
	Shape   string `json:"shape"`
	Layers  int    `json:"layers"`
	Batch   int    `json:"batch"`
	Length  int    `json:"length"`
	Every   bool   `json:"every_position,omitempty"`
	Problem string `json:"problem,omitempty"` // why there are no figures

	TokensPerS     float64  `json:"tokens_per_s"`
	SD             float64  `json:"sd"`
	SecondsPerStep float64  `json:"seconds_per_step"`
	RSSMB          float64  `json:"rss_mb"`
	CompileS       float64  `json:"compile_s"`
	MFU            float64  `json:"mfu"`
	GFLOP          float64  `json:"gflop_per_step"`
	PeakF32        float64  `json:"matmul_gflops"`
	PeakBF16       float64  `json:"matmul_gflops_bfloat16,omitempty"`
	Compilations   int      `json:"compilations,omitempty"`
	Outside        *float64 `json:"outside,omitempty"`
	Ratio          float64  `json:"ratio,omitempty"` // of our speed to this one's
	RatioSD        float64  `json:"ratio_sd,omitempty"`
	RSSRatio       float64  `json:"rss_ratio,omitempty"` // of our memory to this one's

	result distill.BenchResult
}

// benchReport is what bench train writes as JSON.
type benchReport struct {
	CPU         string     `json:"cpu"`
	Threads     int        `json:"threads"`
	Steps       int        `json:"steps"` // of a repetition
	Repetitions int        `json:"repetitions"`
	Rows        []benchRow `json:"rows"`
}

func (c *cli) benchTrain(ctx context.Context, f *benchFlags, stdin io.Reader) error {
	if f.format != "text" && f.format != "md" && f.format != "json" {
		return inputf("--format: %q is not text, md or json", f.format)
	}
	program, err := f.spec.Program()
	if err != nil {
		return err
	}
	if f.child {
		return c.benchChild(ctx, f.spec, stdin)
	}
	report := benchReport{CPU: system.CPUModel(), Threads: runtime.GOMAXPROCS(0), Steps: f.spec.Steps, Repetitions: f.spec.Repetitions}
	if f.compare {
		err = c.compareTraining(ctx, f, program, &report)
	} else {
		var r distill.BenchResult
		if r, err = distill.BenchTraining(ctx, f.spec); err == nil {
			report.add(program, r)
		}
	}
	if err != nil {
		return err
	}
	return c.writeBench(f.format, report)
}

// benchChild measures for a parent that measures others in between: before each repetition it says that it is ready and waits for a
// line on stdin, and in the end it writes the result.
func (c *cli) benchChild(ctx context.Context, spec distill.BenchSpec, stdin io.Reader) error {
	lines := bufio.NewScanner(stdin)
	spec.Before = func(context.Context) error {
		if err := c.writeJSON(ready{true}, ""); err != nil {
			return err
		}
		if !lines.Scan() {
			return io.ErrUnexpectedEOF
		}
		return nil
	}
	r, err := distill.BenchTraining(ctx, spec)
	if err != nil {
		return err
	}
	return json.NewEncoder(c.out).Encode(r)
}

// add adds a row. The first one is ours, which the others are compared with.
func (b *benchReport) add(p *distill.BenchProgram, r distill.BenchResult) {
	row := newBenchRow(p, r.Engine)
	row.result = r
	row.TokensPerS, row.SD = p.TokensPerSecond(r)
	row.SecondsPerStep = float64(p.Batch*p.Length) / row.TokensPerS
	row.RSSMB = float64(r.PeakRSS) / 1e6
	row.CompileS = max(0, r.FirstStep-row.SecondsPerStep)
	row.GFLOP = p.Operations / 1e9
	row.PeakF32, row.PeakBF16 = r.GFLOPS, r.GFLOPSBF16
	row.MFU = row.GFLOP / row.SecondsPerStep / r.GFLOPS
	row.Compilations, row.Outside = r.Compilations, r.Outside
	if len(b.Rows) > 0 && b.Rows[0].Problem == "" {
		ours := b.Rows[0]
		row.Ratio, row.RatioSD = ours.result.Ratio(r)
		if row.RSSMB > 0 {
			row.RSSRatio = ours.RSSMB / row.RSSMB
		}
	}
	b.Rows = append(b.Rows, row)
}

func newBenchRow(p *distill.BenchProgram, engine string) benchRow {
	return benchRow{
		Engine: engine, Test: "stage" + string(rune('0'+p.Stage)), Shape: p.Shape, Layers: p.Student.Layers, Batch: p.Batch, Length: p.Length,
		Every: p.EveryPosition,
	}
}
