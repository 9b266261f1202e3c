package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/bitdistill/bitdistill/bitnet/gguf"
	"github.com/bitdistill/bitdistill/distill"
	"github.com/spf13/cobra"
)

// exportFormat is the one value that --to has.
const exportFormat = "gguf"

// embeddingNames are what --embeddings takes.
var embeddingNames = []string{"f32", "f16", "q8_0", "q4_0"}

var embeddingTypes = map[string]gguf.Type{"f32": gguf.F32, "f16": gguf.F16, "q8_0": gguf.Q8_0, "q4_0": gguf.Q4_0}

type exportFlags struct {
	model, to, out, embeddings, task string
	force, json                      bool
}

func (c *cli) exportCommand() *cobra.Command {
	f := &exportFlags{}
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Write a ternary model as one file",
		Long: `export writes a ternary model as one file: its linears in two bits a weight with their
exact scales, embedding and head in the type of --embeddings, everything else as it is;
tokenizer and chat template, the task with its prompt and the words of its labels, and
what the model was made from, with which settings and what result.

The file is a GGUF container of the architecture "bitdistill", this project's own; other
programs can list it, but not run it. The same model gives the same bytes. The settings
name files as they were given to the run.

--model is a run folder, which means its student, or the folder of a ternary model. A
model in full precision is refused: its weights make no sense in two bits.

--json is one object: path, tensors, bytes, linear_bits (bits a weight of the linears,
scales included), embeddings, task and seconds.`,
		Example: `  bitdistill export --model bitdistill-run --to gguf --out student.gguf
  bitdistill export --model RUN/bitnet-sft --to gguf --out sft.gguf --embeddings f16 --json`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return c.export(cmd.Context(), f) },
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&f.model, "model", "", "`FOLDER` of a ternary model, or a run folder (its student)")
	flags.StringVar(&f.to, "to", "", "`FORMAT`: "+exportFormat)
	flags.StringVar(&f.out, "out", "", "`FILE` to write")
	flags.StringVar(&f.embeddings, "embeddings", "q8_0", "`TYPE` of embedding and head: "+strings.Join(embeddingNames, ", "))
	flags.StringVar(&f.task, "task", "", "`NAME` of a built-in task, or a task file (default: the run's)")
	flags.BoolVar(&f.force, "force", false, "replace a file that is there")
	jsonFlag(cmd, &f.json)
	return cmd
}

func (c *cli) export(ctx context.Context, f *exportFlags) error {
	embeddings, known := embeddingTypes[f.embeddings]
	switch {
	case f.model == "":
		return inputf("--model: missing; name a run folder or the folder of a ternary model")
	case f.to == "":
		return inputf("--to: missing; %s is there", exportFormat)
	case f.to != exportFormat:
		return inputf("--to: %q is not known; %s is", f.to, exportFormat)
	case f.out == "":
		return inputf("--out: missing; name the file to write")
	case !known:
		return inputf("--embeddings: %q is not one of %s", f.embeddings, strings.Join(embeddingNames, ", "))
	}
	written, err := distill.Export(ctx, f.model, f.out, distill.ExportOptions{Embeddings: embeddings, Task: f.task, Force: f.force})
	if err != nil {
		return err
	}
	if f.json {
		return c.writeJSON(written, "")
	}
	_, err = fmt.Fprintln(c.out, written)
	return err
}
