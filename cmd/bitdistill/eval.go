package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/bitdistill/bitdistill/distill"
	"github.com/bitdistill/bitdistill/distill/data"
	"github.com/bitdistill/bitdistill/distill/eval"
	"github.com/spf13/cobra"
)

// defaultEvalRows is the batch size for a model that comes from no run.
const defaultEvalRows = 32

type evalFlags struct {
	judgeFlags
	task, samples    string
	maxLength, limit int
}

// defaultSamples is the value of --log-samples without a name.
const defaultSamples = "samples.jsonl"

// evalReport is what eval writes as JSON.
type evalReport struct {
	Task     string  `json:"task"`
	N        int     `json:"n"`        // examples
	Accuracy float64 `json:"accuracy"` // 0 to 1
	Stderr   float64 `json:"stderr"`   // standard error of the accuracy
	Seconds  float64 `json:"seconds"`  // of computing
	Engine   string  `json:"engine"`
	Backend  string  `json:"backend"`
	Limit    int     `json:"limit,omitempty"` // of the rows, where --limit left some out
	Model    string  `json:"model"`           // as it was named
	Data     string  `json:"data"`            // as it was named, or its run names it
}

// completionsReport is what eval writes as JSON of a task that generates text.
type completionsReport struct {
	Task string `json:"task"`
	N    int    `json:"n"` // examples
	eval.Perplexity
	distill.Overlap
	GenerationSeconds float64 `json:"generation_seconds"`
	Engine            string  `json:"engine"`
	Backend           string  `json:"backend"`
	Limit             int     `json:"limit,omitempty"` // of the rows, where --limit left some out
	Model             string  `json:"model"`           // as it was named
	Data              string  `json:"data"`            // as it was named, or its run names it
}

func (c *cli) evalCommand() *cobra.Command {
	f := &evalFlags{}
	cmd := &cobra.Command{
		Use:   "eval",
		Short: "Measure a model's accuracy on a task",
		Long: `eval classifies held-out data with a model and reports its accuracy with the standard
error. A label's score is the log-probability of its whole answer behind the prompt.
Of a task that generates text it reports the perplexity of the completions, each token
given those before it, and BLEU and ROUGE of what the model writes behind the prompts:
the most likely token each time, up to its end token or the task's max_completion. On a
CPU that is slow: a token costs a pass over all weights. Try --limit first. With
--log-samples FILE, texts are kept in FILE.part as they come, and the same command goes
on from there; FILE.part goes once FILE is written.

--json is one object that names what was measured: task, model, data (as they were given,
or as the run has them) and limit, if it left rows out; accuracy and stderr are of 1. Of
texts BLEU is of 100 and ROUGE of 1, as sacrebleu and rouge-score have them.

--engine packed measures in the engine that generate, classify and chat use, which opens
what export made too. It has the values of the pure-Go backend, bit for bit, unless the
model has Q8_0 or Q4_0 matrices, as the head that export writes is by default.

--model is the folder of a model, a run folder, which means its student, or the folder
of another stage in it. Task, data and length are those of its run where they are not
given, and a task that is called like the run's is the run's: with its answers.`,
		Example: `  bitdistill eval --model bitdistill-run
  bitdistill eval --model bitdistill-run/bitnet-sft --json
  bitdistill eval --model RUN/student --task sst2 --data dev.tsv --json
  bitdistill eval --model embedded-teacher --limit 1000
  bitdistill eval --model student.gguf --engine packed --data dev.tsv
  bitdistill eval --model RUN --task cnndm --data test.jsonl --limit 20 --log-samples written.jsonl`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 && f.samples == defaultSamples { // --log-samples FILE: pflag takes a value that may be left out behind = alone
				f.samples, args = args[0], nil
			}
			return noArguments(cmd, args)
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return c.eval(cmd.Context(), f) },
	}
	f.register(cmd)
	flags := cmd.Flags()
	flags.StringVar(&f.task, "task", "", "`NAME` of a built-in task, a task file, or embedded")
	flags.StringVar(&f.data, "data", "", "table `FILE`: .tsv, .csv, .jsonl or .parquet, also .gz or .zst; or embedded")
	flags.IntVar(&f.batchSize, "batch-size", 0, fmt.Sprintf("sequences computed at once (default: the run's, or %d)", defaultEvalRows))
	flags.IntVar(&f.maxLength, "max-length", 0, fmt.Sprintf("tokens of prompt and answer; longer prompts are cut (default: the run's, or %d)", distill.DefaultMaxLength))
	flags.IntVar(&f.limit, "limit", 0, "only the first `N` rows")
	flags.StringVar(&f.samples, "log-samples", "", "write a line of JSON for each row to `FILE`: prompt, target, and what the model makes of it")
	flags.Lookup("log-samples").NoOptDefVal = defaultSamples
	return cmd
}

func (c *cli) eval(ctx context.Context, f *evalFlags) error {
	if f.limit < 0 {
		return inputf("--limit: %d, want a positive number", f.limit)
	}
	if err := f.checkSamples(); err != nil {
		return err
	}
	m, err := c.openSubject(ctx, &f.judgeFlags)
	if err != nil {
		return err
	}
	defer m.Close()
	examples, err := f.examples(ctx, c.log, m)
	if err != nil {
		return err
	}
	if n := examples.Counts.Truncated + examples.Counts.Dropped; n > 0 {
		fmt.Fprintf(c.log, "%s: %v\n", examples.File, examples.Counts)
	}
	if examples.Task.Generates() {
		return c.evalCompletions(ctx, f, m, examples)
	}
	a, err := m.accuracy(ctx, examples)
	if err != nil {
		return err
	}
	if err := f.logLabels(m.Tokenizer, examples, a); err != nil {
		return err
	}
	if f.json {
		return c.writeJSON(evalReport{examples.Task.Name, a.N, a.Accuracy, a.Stderr, a.Seconds, f.engine, m.name(), f.limit, f.model, f.data}, "")
	}
	_, err = fmt.Fprintf(c.out, "%s: accuracy %.2f ± %.2f %% of %s, in %.1f s on %s\n",
		examples.Task.Name, 100*a.Accuracy, 100*a.Stderr, f.counted(a.N, "examples"), a.Seconds, f.where(m))
	return err
}

// where says what has computed.
func (f *judgeFlags) where(m *subject) string {
	if f.engine == enginePacked {
		return "the packed engine, kernel " + m.name()
	}
	return "backend " + m.name()
}

// evalCompletions measures the perplexity of the completions of a generation, and compares what the model writes with them. With
// --log-samples, texts of the graph, which are slow to come by, are kept as they come.
func (c *cli) evalCompletions(ctx context.Context, f *evalFlags, m *subject, examples *data.Examples) error {
	kept, err := c.keepTexts(f, m, examples)
	if err != nil {
		return err
	}
	p, written, err := judgeCompletions(ctx, m, examples, kept)
	if err != nil {
		return f.keptAdvice(ctx, err, kept, examples.Len())
	}
	if err := f.logTexts(m.Tokenizer, examples, written); err != nil {
		return f.keptAdvice(ctx, err, kept, examples.Len())
	}
	if kept != nil {
		if err := kept.Remove(); err != nil {
			return err
		}
	}
	return c.writeCompletions(f, examples, p, written, m)
}

// judgeCompletions computes what evalCompletions reports. kept may be nil.
func judgeCompletions(ctx context.Context, m *subject, e *data.Examples, kept *distill.KeptTexts) (p eval.Perplexity, written eval.Generations, err error) {
	measure := func() (eval.Perplexity, error) { return m.completions(ctx, e) }
	if kept == nil {
		p, err = measure()
	} else {
		p, err = kept.Perplexity(measure)
	}
	if err != nil {
		return p, written, err
	}
	written, err = m.write(ctx, e, kept)
	if kept != nil {
		written.Seconds += kept.Seconds()
	}
	return p, written, err
}

// writeCompletions reports on a generation.
func (c *cli) writeCompletions(f *evalFlags, e *data.Examples, p eval.Perplexity, written eval.Generations, m *subject) error {
	o := distill.NewOverlap(written)
	if f.json {
		return c.writeJSON(completionsReport{e.Task.Name, e.Len(), p, *o, written.Seconds, f.engine, m.name(), f.limit, f.model, f.data}, "")
	}
	var scores strings.Builder
	for i, score := range o.Cells() {
		fmt.Fprintf(&scores, "%s %s, ", distill.OverlapColumns[i], score)
	}
	_, err := fmt.Fprintf(c.out, "%s: perplexity %.3f of %d tokens in %s, in %.1f s on %s\n%s: %s%d of %d texts ended by the model, %d tokens in %.1f s\n",
		e.Task.Name, p.Perplexity, p.Tokens, f.counted(e.Len(), "completions"), p.Seconds, f.where(m),
		e.Task.Name, scores.String(), o.Ended, o.Generated, written.Tokens, written.Seconds)
	return err
}

// counted says how many were measured, and that they are not all.
func (f *evalFlags) counted(n int, what string) string {
	text := fmt.Sprintf("%d %s", n, what)
	if f.limit > 0 {
		text += fmt.Sprintf(" (--limit: the first %d rows)", f.limit)
	}
	return text
}

// examples reads the task's data. What the flags leave open comes from the model's run.
func (f *evalFlags) examples(ctx context.Context, log io.Writer, m *subject) (*data.Examples, error) {
	task, err := m.OpenTask(f.task)
	if err != nil {
		return nil, err
	}
	rows := defaultEvalRows
	if run := m.Run; run != nil {
		rows = run.EvalBatchSize
		f.data = cmp.Or(f.data, run.Task.Dev)
	}
	f.batchSize = cmp.Or(f.batchSize, rows)
	options, err := m.Tokenizing(ctx, m.Model, task, f.maxLength)
	if err != nil {
		return nil, err
	}
	if f.data == "" {
		return nil, inputf("--data: missing; name a table: TSV, CSV, JSONL or Parquet")
	}
	table, err := task.Read(distill.OpenHeldOut(f.data))
	if err != nil {
		return nil, wrongInput{err}
	}
	if note := table.BlankNote(); note != "" {
		fmt.Fprintf(log, "warning: %s: %s\n", table.File, note)
	}
	if f.limit >= len(table.Rows) {
		f.limit = 0 // leaves none out
	} else if f.limit > 0 {
		table.Rows = table.Rows[:f.limit]
	}
	examples, err := task.Tokenize(ctx, table, m.Tokenizer, options)
	return examples, distill.ReadFault(ctx, err)
}
