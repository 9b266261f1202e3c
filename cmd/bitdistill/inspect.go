package main

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/bitdistill/bitdistill/distill"
	"github.com/spf13/cobra"
)

type inspectFlags struct {
	engineFlags
	context   int
	run, json bool
}

func (c *cli) inspectCommand() *cobra.Command {
	f := &inspectFlags{}
	cmd := &cobra.Command{
		Use:   "inspect [MODEL]",
		Short: "List what a model holds, and the memory it takes",
		Long: `inspect reads all of a model and lists its tensors: shape, type in the file, bits a value
in the file and in the packed engine, and of ternary linears the shares of -1, 0 and 1 and
the scales. A folder's ternary linears are quantized as the engine does it. Totals by kind
follow, the memory that the engine takes with keys and values of --context tokens, and
what the model says of itself: task, tokenizer, chat template, provenance.

--run opens the model in the engine, reads that many tokens and says what is resident then
(Linux). --json is one object with all of it, provenance and settings included.`,
		Example: `  bitdistill inspect student.gguf
  bitdistill inspect --model RUN --run --context 256
  bitdistill inspect --model smollm2.gguf --json`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := noArguments(cmd, f.take(args)); err != nil {
				return wrongInput{err}
			}
			return c.inspect(cmd.Context(), f)
		},
	}
	cmd.Flags().SortFlags = false
	f.registerModel(cmd)
	cmd.Flags().IntVar(&f.context, "context", 0, fmt.Sprintf("tokens that memory is reckoned for (default: what the model was made for, at most %d)", distill.DefaultMaxLength))
	cmd.Flags().BoolVar(&f.run, "run", false, "measure resident memory too")
	f.registerEngine(cmd)
	jsonFlag(cmd, &f.json)
	return cmd
}

func (c *cli) inspect(ctx context.Context, f *inspectFlags) error {
	o, err := f.options()
	switch {
	case err != nil:
		return err
	case f.model == "":
		return inputf("--model: missing; name a file that bitdistill export made, a run folder or a model's folder")
	}
	i, err := distill.Inspect(ctx, f.model, f.context, o.Cache, c.log)
	if err != nil {
		return err
	}
	if f.run {
		if err := i.Measure(ctx, c.log, o); err != nil {
			return err
		}
	}
	if f.json {
		return c.writeJSON(i, "  ")
	}
	_, err = fmt.Fprint(c.out, describeModel(i))
	return err
}

// describeModel is an inspection as text.
func describeModel(i *distill.Inspection) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s, %s, %d layers of %d, vocabulary %d, %d positions; linears %s, SubLN %s; %s\n\n",
		i.Model, i.Format, i.Family, i.Layers, i.Hidden, i.Vocabulary, i.Positions, i.Weights, i.SubLN, size(i.FileBytes))
	var table strings.Builder
	t := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "tensor\tshape\ttype\tvalues\tbits\tin memory\t-1 %\t0 %\t1 %\tscale")
	for _, s := range i.Tensors {
		describeTensor(t, s)
	}
	for _, s := range i.Totals {
		describeTensor(t, s)
	}
	t.Flush() // to a strings.Builder
	for line := range strings.Lines(table.String()) {
		fmt.Fprintln(&b, strings.TrimRight(line, " \n"))
	}
	m := i.Memory
	fmt.Fprintf(&b, "\nmemory: weights %s, keys and values of %d tokens %s: %s expected", size(m.Weights), m.Context, size(m.Cache), size(m.Expected))
	if r := m.Resident; r != nil {
		fmt.Fprintf(&b, "; resident %s behind a pass, %s of it before the model was opened", size(r.After), size(r.Before))
	}
	said := map[bool]string{true: "yes", false: "no"}
	fmt.Fprintf(&b, "\ntokenizer: %s\nchat template: %s\ntask: %s\nprovenance: %s\n", said[i.Tokenizer], orNone(i.Chat), orNone(i.Task), orNone(describeProvenance(i)))
	return b.String()
}

func describeTensor(t *tabwriter.Writer, s distill.TensorStats) {
	shape := strings.ReplaceAll(strings.Trim(fmt.Sprint(s.Shape), "[]"), " ", "×")
	fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%.2f\t%.2f\t", s.Name, shape, s.Type, s.Values, s.Bits, s.MemoryBits)
	if c := s.Codes; c != nil {
		fmt.Fprintf(t, "%.1f\t%.1f\t%.1f\t", 100*c.Minus, 100*c.Zero, 100*c.Plus)
	} else {
		fmt.Fprint(t, "\t\t\t")
	}
	if v := s.Scale; v != nil && v.N == 1 {
		fmt.Fprintf(t, "%.4g", v.Mean)
	} else if v != nil {
		fmt.Fprintf(t, "%.4g, %.4g to %.4g (%d)", v.Mean, v.Min, v.Max, v.N)
	}
	fmt.Fprintln(t)
}

// describeProvenance is the part of it that fits into a line.
func describeProvenance(i *distill.Inspection) string {
	p, err := i.Origin()
	if err != nil || p == nil {
		return ""
	}
	text := "from " + p.Base
	if r := p.Results; r != nil {
		text += fmt.Sprintf(", %s", r.Name)
		if r.Accuracy > 0 {
			text += fmt.Sprintf(", accuracy %.2f %% of %d", 100*r.Accuracy, r.N)
		}
	}
	return text
}

func orNone(text string) string {
	if text == "" {
		return "none"
	}
	return text
}
