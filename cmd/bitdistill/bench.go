package main

import (
	"strings"

	"github.com/bitdistill/bitdistill/bitnet/infer"
	"github.com/bitdistill/bitdistill/distill"
	"github.com/bitdistill/bitdistill/internal/speed"
	"github.com/spf13/cobra"
)

func (c *cli) benchCommand() *cobra.Command {
	f := &inferFlags{}
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure speed and memory",
		Long: `bench measures how fast a ternary model runs on this machine's processor; bench train
measures training. The model is a file or folder, or one of a published size (--shape)
with random weights, which is written to a temporary file first.

Tests are prompts (pp128: 128 tokens at once), tokens generated one after the other
behind nothing (tg64), and, with --both 512+128, one behind the other; --sequences 8 adds
generation in eight sequences side by side (tg64x8). Each repetition of each test is a
process of its own, which opens the model, computes once to have it in memory, and then
is timed. Tokens are random; no text is drawn.

It reports, for each test:
  tokens/s       mean and standard deviation over the repetitions
  rss_mb         most memory that was resident of the process, 1e6 bytes
  load_ms        until the model is open
  first_token_ms from there on with the first prompt: until its logits are there
  limit          tokens/s that this machine allows: reading weights and cache from memory,
                 or multiplying, whichever takes longer, by probes that run just before
  share          of the limit that is reached, mean and standard deviation

--compare has llama-bench of llama.cpp measure a model of the same size in the types of
--peers: no SubLN, random weights, embedding and head in 8 bits (f16 with f16). Engines
take turns after every test. Ratios are of neighbouring measurements. scripts/peers.sh
builds the program.`,
		Example: `  bitdistill bench --shape qwen3-0.6b
  bitdistill bench --model student.gguf --prompt 128 --generate 64 --sequences 8
  bitdistill bench --shape qwen3-0.6b --head q4_0 --compare --llama ~/llama.cpp --format md
  bitdistill bench train --shape smollm2-135m --stage 3 --compare --torch ~/venv/bin/python`,
		Args: noSuchCommand,
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().NFlag() == 0 {
				return cmd.Help()
			}
			return c.benchInfer(cmd.Context(), f, cmd.InOrStdin())
		},
	}
	f.register(cmd)
	cmd.AddCommand(c.benchTrainCommand())
	return cmd
}

func (f *inferFlags) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&f.model, "model", "", "`FILE|FOLDER` of a model, or a run folder (its student)")
	flags.StringVar(&f.shape, "shape", "", "random weights in the size of "+strings.Join(distill.BenchShapes(), ", "))
	flags.IntVar(&f.layers, "layers", 0, "only so many blocks of the shape; 0 for all")
	flags.StringVar(&f.head, "head", "q8_0", "`TYPE` of the shape's embedding and head: "+strings.Join(embeddingNames, ", "))
	flags.IntSliceVar(&f.prompts, "prompt", []int{128, 512}, "tokens of the prompts to measure; 0 for none")
	flags.IntSliceVar(&f.generate, "generate", []int{64}, "tokens to generate; 0 for none")
	flags.StringSliceVar(&f.both, "both", nil, "prompts with generation behind, `PROMPT+TOKENS`")
	flags.IntSliceVar(&f.sequences, "sequences", nil, "generate in so many sequences side by side too")
	flags.IntVar(&f.threads, "threads", 0, "threads that compute; 0 for as many as there are processors")
	flags.TextVar(&f.cache, "cache", infer.CacheF32, "`TYPE` of keys and values: f32, f16 or int8")
	flags.IntVar(&f.repetitions, "repetitions", 3, "measured repetitions")
	flags.StringVar(&f.format, "format", "text", "text, md or json")
	flags.BoolVar(&f.compare, "compare", false, "measure llama.cpp too")
	flags.StringSliceVar(&f.peers, "peers", llamaNames, "what --compare measures llama.cpp in")
	flags.StringVar(&f.llama, "llama", "", "`FOLDER` with llama-bench, for --compare (default: $"+speed.EnvLlama+", or the path)")
	flags.BoolVar(&f.child, "child", false, "")
	flags.MarkHidden("child")
}
