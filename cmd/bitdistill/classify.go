package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/bitdistill/bitdistill/distill"
	"github.com/bitdistill/bitdistill/distill/data"
	"github.com/bitdistill/bitdistill/distill/eval"
	"github.com/spf13/cobra"
)

// formatLines is the format of a text with one text a line.
const formatLines = "lines"

type classifyFlags struct {
	engineFlags
	task, data, format string
	maxLength, rows    int
	json               bool
}

// classification is a line of JSON for a row. Labels go by their values in the table.
type classification struct {
	Line   int                `json:"line"`
	Label  *string            `json:"label"`            // null for a blank row
	Score  float64            `json:"score"`            // its probability, the labels' together being 1
	Scores map[string]float64 `json:"scores"`           // log-probability of each label's answer behind the prompt
	Target string             `json:"target,omitempty"` // the table's label
}

func (c *cli) classifyCommand() *cobra.Command {
	f := &classifyFlags{}
	cmd := &cobra.Command{
		Use:   "classify [MODEL [TEXT]]",
		Short: "Choose a label for texts",
		Long: `classify chooses the label for a text whose answer the model thinks likeliest behind the
task's prompt, and writes a line with the label and its probability, a tab between them.
The task is that of the model's file or run, or that of --task.

Without TEXT it reads --data, or standard input, row by row, and writes a line for each
in the same order, however many there are. A table is read as eval reads it (TSV, CSV,
JSONL or Parquet, also .gz and .zst), and may lack the label's column; where it has labels,
the accuracy goes to standard error in the end. Other files, and standard input without
--format, have one text a line. For a blank row the line is empty.

--json writes an object for each row: line (in the data), label, score (the probability),
scores (log-probabilities of the labels' answers) and target, where there is one.`,
		Example: `  bitdistill classify --model student.gguf "a joy from start to finish"
  bitdistill classify --model student.gguf --data reviews.txt > labels.tsv
  bitdistill classify --model RUN --data dev.tsv --json
  zcat reviews.jsonl.gz | bitdistill classify student.gguf --format jsonl`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.classify(cmd.Context(), f, f.take(args), cmd.InOrStdin())
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	f.registerModel(cmd)
	flags.StringVar(&f.task, "task", "", "`NAME` of a built-in task, or a task file (default: the model's)")
	flags.StringVar(&f.data, "data", "", "`FILE` of a table or of lines of text, or embedded (default: standard input)")
	flags.StringVar(&f.format, "format", "", "of the data: lines, tsv, csv, jsonl or parquet (default: by the file's name, else lines)")
	flags.IntVar(&f.maxLength, "max-length", 0, fmt.Sprintf("tokens of prompt and answer; longer prompts are cut (default: the run's, or %d)", distill.DefaultMaxLength))
	flags.IntVar(&f.rows, "rows", 256, "read so many rows before their lines are written")
	f.registerEngine(cmd)
	jsonFlag(cmd, &f.json)
	return cmd
}

// classifier classifies rows in blocks.
type classifier struct {
	flags   *classifyFlags
	task    data.Task
	options data.TokenizeOptions
	engine  eval.Packed
	model   *distill.Packed
	out     *bufio.Writer
	update  func(done, total int) // may be nil

	name                             string // of the data
	rows                             []data.Row
	done, blank, cut, labelled, hits int
	tokens                           int
}

func (c *cli) classify(ctx context.Context, f *classifyFlags, words []string, stdin io.Reader) error {
	if err := f.check(words, stdin); err != nil {
		return err
	}
	m, err := f.open(ctx, c.log)
	if err != nil {
		return err
	}
	defer m.Close()
	task, err := m.OpenTask(f.task)
	if err != nil {
		return err
	}
	options, err := m.Tokenizing(ctx, m.Model.Model, task, f.maxLength)
	if err != nil {
		return err
	}
	if options.Overlong == data.Drop { // there is a line for each row
		options.Overlong = data.Truncate
	}
	update, hide := c.progress("classify")
	defer hide()
	k := &classifier{flags: f, task: task, options: options, engine: eval.Packed{Model: m.Model}, model: m, out: bufio.NewWriter(c.out), update: update}
	began := time.Now()
	if len(words) > 0 {
		return k.one(ctx, strings.Join(words, " "))
	}
	if err := k.all(ctx, stdin); err != nil {
		return err
	}
	hide()
	_, err = fmt.Fprintln(c.log, k.summary(time.Since(began)))
	return err
}

func isFile(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.Mode().IsRegular()
}

// check refuses what cannot be read.
func (f *classifyFlags) check(words []string, stdin io.Reader) error {
	formats := append([]string{"", formatLines}, data.TableFormats()...)
	switch {
	case !slices.Contains(formats, f.format):
		return inputf("--format: %q is not one of %s", f.format, strings.Join(formats[1:], ", "))
	case f.rows < 1:
		return inputf("--rows: %d, want at least 1", f.rows)
	case len(words) > 0 && f.data != "":
		return inputf("%q: the texts are those of --data already", words[0])
	case len(words) == 1 && isFile(words[0]):
		return inputf("%s: that is a file; --data %[1]s reads it", words[0])
	case len(words) > 0:
		return checkText("the text", strings.Join(words, " "))
	case f.data == "" && f.model != "" && isTerminal(stdin):
		return inputf("nothing to classify: name a text, a file with --data, or give texts on standard input")
	}
	return nil
}

// one classifies a text.
func (k *classifier) one(ctx context.Context, text string) error {
	if err := k.task.OneText(); err != nil {
		return wrongInput{err}
	}
	row := data.NewRow(1, text)
	if row.Values == nil {
		return inputf("the text is blank; there is nothing to classify")
	}
	k.name, k.rows = "the text", []data.Row{row}
	return k.flush(ctx)
}

// all classifies what a file holds, or standard input.
func (k *classifier) all(ctx context.Context, stdin io.Reader) error {
	file, lines := k.flags.file(stdin)
	k.name = file.Name
	each := k.task.Each
	if lines {
		each = k.task.EachLine
	}
	var failed error // of computing, which is not the input's fault
	err := each(file, func(r data.Row) error {
		if k.rows = append(k.rows, r); len(k.rows) < k.flags.rows {
			return nil
		}
		failed = k.flush(ctx)
		return failed
	})
	switch {
	case failed != nil:
		return failed
	case err != nil:
		if failed := k.flush(ctx); failed != nil { // rows in front of the one at fault
			return failed
		}
		return distill.ReadFault(ctx, err)
	}
	if err := k.flush(ctx); err != nil {
		return err
	}
	if k.done == 0 {
		return inputf("%s: is empty; there is nothing to classify", k.name)
	}
	return nil
}

// file is what to read, and whether it has a text a line.
func (f *classifyFlags) file(stdin io.Reader) (file data.File, lines bool) {
	switch f.data {
	case distill.Embedded:
		return distill.OpenHeldOut(f.data), false
	case "":
		file = data.File{Name: "standard input", Open: func() (io.ReadCloser, error) { return io.NopCloser(stdin), nil }, Bytes: -1}
		lines = f.format == ""
	default:
		file = data.OnDisk(f.data)
		lines = f.format == "" && !data.IsTable(f.data)
	}
	if f.format == formatLines {
		return file, true
	}
	file.Format = f.format
	return file, lines
}

// flush classifies the rows that have come, and writes their lines.
func (k *classifier) flush(ctx context.Context) error {
	var texts []data.Row
	for _, r := range k.rows {
		if r.Values != nil {
			texts = append(texts, r)
		}
	}
	var scores [][]float64
	if len(texts) > 0 {
		e, err := k.task.Tokenize(ctx, &data.Dataset{File: k.name, Rows: texts}, k.model.Tokenizer, k.options)
		if err != nil {
			return distill.ReadFault(ctx, err)
		}
		if scores, err = k.engine.Scores(ctx, e); err != nil {
			return err
		}
		k.cut += e.Counts.Truncated
		k.tokens += e.Counts.Tokens
	}
	next := 0
	for _, r := range k.rows {
		var s []float64
		if r.Values != nil {
			s, next = scores[next], next+1
		}
		if err := k.write(r, s); err != nil {
			return err
		}
	}
	k.rows = k.rows[:0]
	if k.update != nil {
		k.update(k.done, -1)
	}
	return k.out.Flush()
}

// write writes the line of a row; a blank one has no scores.
func (k *classifier) write(r data.Row, scores []float64) error {
	k.done++
	line := classification{Line: r.Line, Scores: map[string]float64{}}
	best := 0
	if scores == nil {
		k.blank++
	} else {
		total := 0.0
		for i, s := range scores {
			if math.IsNaN(s) {
				return fmt.Errorf("%s:%d: the model's log-probability is not a number; its weights have diverged", k.name, r.Line)
			}
			if s > scores[best] {
				best = i
			}
			line.Scores[k.task.Labels[i].Value] = s
		}
		for _, s := range scores {
			total += math.Exp(s - scores[best])
		}
		line.Label, line.Score = &k.task.Labels[best].Value, 1/total
	}
	if r.Label != data.Unlabelled {
		line.Target = k.task.Labels[r.Label].Value
		if k.labelled++; r.Label == best {
			k.hits++
		}
	}
	var err error
	switch {
	case k.flags.json:
		e := json.NewEncoder(k.out)
		e.SetEscapeHTML(false)
		err = e.Encode(line)
	case line.Label == nil:
		_, err = fmt.Fprintln(k.out)
	default:
		_, err = fmt.Fprintf(k.out, "%s\t%.4f\n", *line.Label, line.Score)
	}
	return err
}

// summary says what was done.
func (k *classifier) summary(took time.Duration) string {
	text := fmt.Sprintf("%s: %d texts", k.name, k.done-k.blank)
	if k.blank > 0 {
		text += fmt.Sprintf(" (and %d blank rows)", k.blank)
	}
	if k.cut > 0 {
		text += fmt.Sprintf(", %d cut to %d tokens", k.cut, k.options.MaxLength)
	}
	text += fmt.Sprintf(", in %.2f s: %.0f texts/s, %.0f tokens/s", took.Seconds(), float64(k.done-k.blank)/took.Seconds(), float64(k.tokens)/took.Seconds())
	if n := float64(k.labelled); n > 0 {
		a := float64(k.hits) / n
		text += fmt.Sprintf("; accuracy %.2f ± %.2f %% of %d", 100*a, 100*math.Sqrt(a*(1-a)/n), k.labelled)
	}
	return text
}
