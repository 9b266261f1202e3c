package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/bitdistill/bitdistill/bitnet/arch"
	"github.com/bitdistill/bitdistill/bitnet/gguf"
	"github.com/bitdistill/bitdistill/bitnet/infer"
	"github.com/bitdistill/bitdistill/distill"
	"github.com/bitdistill/bitdistill/internal/speed"
	"github.com/bitdistill/bitdistill/internal/system"
)

// inferFlags are the flags of bench.
type inferFlags struct {
	model, shape, head, format, llama string
	layers, threads, repetitions      int
	prompts, generate, sequences      []int
	both, peers                       []string
	cache                             infer.CacheType
	compare                           bool
	child                             bool // does a speed.Task
}

// llamaNames are the types that llama.cpp is measured in.
var llamaNames = []string{"tq2_0", "q2_0", "f16"}

var llamaTypes = map[string]gguf.Type{"tq2_0": gguf.TQ2_0, "q2_0": gguf.Q2_0, "f16": gguf.F16}

// inferBench is a measurement that runs. Whatever takes memory is done in processes of their own: the peak of one is to be its own.
type inferBench struct {
	*cli
	*inferFlags
	tests   []speed.Test
	dir     string      // of temporary files
	model   speed.Model // that of path
	path    string
	program string // this one
	threads int
	llama   speed.Llama
	engines []*engine
	rates   [2][]speed.Rates // with one thread and with all, of each measurement
	kernel  string
}

// engine is what is measured: this program, or llama.cpp in a type.
type engine struct {
	name    string
	measure func(context.Context, speed.Test) (sample, error)
	samples map[speed.Test][]sample
	problem error // why it is not measured any more
}

// sample is one measurement. What an engine does not say is 0.
type sample struct {
	seconds, limit, load, first float64 // limit: the least that is possible
	rss                         int64
}

func (c *cli) benchInfer(ctx context.Context, f *inferFlags, stdin io.Reader) error {
	if f.child {
		return c.doTask(ctx, stdin)
	}
	b := &inferBench{cli: c, inferFlags: f, threads: f.threads}
	config, err := b.check()
	if err != nil {
		return err
	}
	if b.program, err = os.Executable(); err != nil {
		return err
	}
	if b.dir, err = os.MkdirTemp("", "bitdistill-bench-"); err != nil {
		return err
	}
	defer os.RemoveAll(b.dir)
	if err := b.open(ctx, config); err != nil {
		return err
	}
	if err := b.addEngines(ctx); err != nil {
		return err
	}
	if err := b.run(ctx); err != nil {
		return err
	}
	return c.writeInfer(f.format, b.report())
}

// doTask is what a process of its own is for.
func (c *cli) doTask(ctx context.Context, stdin io.Reader) error {
	var task speed.Task
	if err := json.NewDecoder(stdin).Decode(&task); err != nil {
		return err
	}
	answer, err := speed.Do(ctx, task)
	if err != nil {
		return err
	}
	answer.RSS = system.PeakMemory()
	return c.writeJSON(answer, "")
}

// do has another process do a task.
func (b *inferBench) do(ctx context.Context, task speed.Task) (speed.Answer, error) {
	var answer speed.Answer
	content, err := json.Marshal(task)
	if err != nil {
		return answer, err
	}
	cmd := exec.CommandContext(ctx, b.program, "bench", "--child")
	var stderr bytes.Buffer
	cmd.Stdin, cmd.Stderr = bytes.NewReader(content), &stderr
	out, err := cmd.Output()
	if ctx.Err() != nil {
		return answer, ctx.Err()
	}
	if said := strings.TrimPrefix(strings.TrimSpace(stderr.String()), "bitdistill: "); err != nil && said != "" {
		err = errors.New(said)
	}
	if err != nil {
		return answer, err
	}
	return answer, json.Unmarshal(out, &answer)
}

// check makes tests of the flags, and the model of the shape if that is what is measured.
func (b *inferBench) check() (config arch.Config, err error) {
	switch {
	case b.format != "text" && b.format != "md" && b.format != "json":
		return config, inputf("--format: %q is not text, md or json", b.format)
	case (b.inferFlags.model == "") == (b.shape == ""):
		return config, inputf("want either --model or --shape, one of %s", strings.Join(distill.BenchShapes(), ", "))
	case b.layers != 0 && b.shape == "":
		return config, inputf("--layers: only of a --shape")
	case b.threads < 0 || b.threads > 1024:
		return config, inputf("--threads: %d, want 1 to 1024, or 0 for as many as there are processors", b.threads)
	case b.repetitions < 1:
		return config, inputf("--repetitions: %d, want a positive number", b.repetitions)
	}
	if _, known := embeddingTypes[b.head]; !known {
		return config, inputf("--head: %q is not one of %s", b.head, strings.Join(embeddingNames, ", "))
	}
	for _, peer := range b.peers {
		if _, known := llamaTypes[peer]; !known {
			return config, inputf("--peers: %q is not one of %s", peer, strings.Join(llamaNames, ", "))
		}
	}
	if b.threads == 0 {
		b.threads = runtime.GOMAXPROCS(0)
	}
	if b.tests, err = b.inferFlags.makeTests(); err != nil {
		return config, err
	}
	if b.compare {
		if b.llama, err = speed.FindLlama(b.inferFlags.llama); err != nil {
			return config, inputf("--compare: %w", err)
		}
	}
	if b.shape != "" {
		config, err = distill.BenchModel(b.shape, b.layers)
		config.Quantization = arch.Ternary(arch.SubLNOutput) // the student of the presets
	}
	return config, err
}

// makeTests makes tests of the flags.
func (f *inferFlags) makeTests() ([]speed.Test, error) {
	var all []speed.Test
	add := func(flag string, prompt, generate, sequences int) error {
		if prompt < 0 || generate < 0 || prompt > 1<<20 || generate > 1<<20 {
			return inputf("--%s: want numbers of tokens from 0 to %d", flag, 1<<20)
		}
		if prompt+generate > 0 {
			all = append(all, speed.Test{Prompt: prompt, Generate: generate, Sequences: sequences})
		}
		return nil
	}
	for _, n := range f.prompts {
		if err := add("prompt", n, 0, 1); err != nil {
			return nil, err
		}
	}
	for _, n := range f.generate {
		if err := add("generate", 0, n, 1); err != nil {
			return nil, err
		}
	}
	for _, text := range f.both {
		var prompt, generate int
		if n, err := fmt.Sscanf(text, "%d+%d", &prompt, &generate); err != nil || n != 2 || text != fmt.Sprintf("%d+%d", prompt, generate) {
			return nil, inputf("--both: %q, want two numbers of tokens such as 512+128", text)
		}
		if err := add("both", prompt, generate, 1); err != nil {
			return nil, err
		}
	}
	for _, sequences := range f.sequences {
		if sequences < 2 || sequences > 1024 {
			return nil, inputf("--sequences: %d, want 2 to 1024; one alone is measured anyway", sequences)
		}
		for _, n := range f.generate {
			if err := add("generate", 0, n, sequences); err != nil {
				return nil, err
			}
		}
	}
	if len(all) == 0 {
		return nil, inputf("nothing to measure: --prompt and --generate are 0")
	}
	return all, nil
}

// open writes the shape's model, if there is a shape, and sees what the model is.
func (b *inferBench) open(ctx context.Context, config arch.Config) error {
	b.path = b.inferFlags.model
	if b.shape != "" {
		b.path = filepath.Join(b.dir, "model.gguf")
		if err := b.write(ctx, b.path, speed.File{Config: config, Type: embeddingTypes[b.head]}); err != nil {
			return err
		}
	} else if _, err := os.Stat(b.path); err != nil {
		return inputf("--model: %w", err)
	} else if student := filepath.Join(b.path, distill.StudentDir); distill.HoldsRun(student) {
		b.path = student
	}
	answer, err := b.do(ctx, speed.Task{Describe: b.path})
	if err != nil {
		return err
	}
	b.model = *answer.Model
	b.model.Cache = b.cache
	for _, t := range b.tests {
		if n, most := t.Prompt+t.Generate, b.model.Config.MaxPositions; n > most {
			return inputf("%s: %d tokens, the model was made for %d (max_position_embeddings)", t, n, most)
		}
	}
	return nil
}

// write writes a model with random weights.
func (b *inferBench) write(ctx context.Context, path string, file speed.File) error {
	file.Path = path
	b.progressf("writing %s", filepath.Base(path))
	_, err := b.do(ctx, speed.Task{Write: &file})
	return err
}

// addEngines makes what is measured. A peer whose file cannot be written has a problem.
func (b *inferBench) addEngines(ctx context.Context) error {
	b.engines = []*engine{{name: "bitdistill", measure: b.measureOurs}}
	if b.compare {
		for _, peer := range b.peers {
			path := filepath.Join(b.dir, "llama-"+peer+".gguf")
			e := &engine{name: "llama.cpp " + strings.ToUpper(peer), measure: func(ctx context.Context, t speed.Test) (sample, error) {
				r, err := b.llama.Measure(ctx, speed.Run{Model: path, Threads: b.threads, Test: t})
				return sample{seconds: r.Pass, rss: r.RSS}, err
			}}
			e.problem = b.write(ctx, path, speed.File{Config: b.model.Config, Llama: true, Type: llamaTypes[peer]})
			b.engines = append(b.engines, e)
		}
	}
	for _, e := range b.engines {
		e.samples = map[speed.Test][]sample{}
	}
	return ctx.Err()
}

// measures reports whether an engine knows a test: llama-bench has no sequences side by side.
func (b *inferBench) measures(e *engine, t speed.Test) bool {
	return e == b.engines[0] || t.Sequences == 1
}

// run measures: the machine, then each engine, for each test and repetition.
func (b *inferBench) run(ctx context.Context) error {
	for i := range b.repetitions {
		for _, t := range b.tests {
			for _, e := range b.engines {
				if e.problem != nil || !b.measures(e, t) {
					continue
				}
				b.progressf("repetition %d of %d: %s, %s", i+1, b.repetitions, t, e.name)
				s, err := e.measure(ctx, t)
				if ctx.Err() != nil {
					return ctx.Err()
				}
				if err != nil {
					e.problem = err
				}
				if err != nil && e == b.engines[0] {
					return err // there is nothing to compare with
				}
				e.samples[t] = append(e.samples[t], s)
			}
		}
	}
	return nil
}

// measureOurs probes the machine and measures this program's engine.
func (b *inferBench) measureOurs(ctx context.Context, t speed.Test) (sample, error) {
	threads := slices.Compact([]int{1, b.threads})
	answer, err := b.do(ctx, speed.Task{Probe: threads})
	if err != nil {
		return sample{}, err
	}
	for i, r := range answer.Rates {
		b.rates[i] = append(b.rates[i], r)
	}
	least := b.model.Seconds(t, answer.Rates[len(threads)-1])
	if answer, err = b.do(ctx, speed.Task{Run: &speed.Run{Model: b.path, Threads: b.threads, Cache: b.cache, Test: t}}); err != nil {
		return sample{}, err
	}
	b.kernel = answer.Times.Kernel
	return sample{answer.Times.Pass, least, answer.Times.Load, answer.Times.First, answer.RSS}, nil
}
