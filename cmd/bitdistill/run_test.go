package main

import (
	"bytes"
	"context"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/bitdistill/bitdistill/distill"
)

// Stage by stage, each going on from what the folder holds, gives what all at once gives, bit for bit.
func TestStageByStage(t *testing.T) {
	out := filepath.Join(t.TempDir(), "run")
	args := ownData(t, out)
	for i, stage := range distill.Stages() {
		again := []string{"run", "--out", out, "--stage", stage}
		if i == 0 {
			again = append(slices.Clone(args), "--stage", stage)
		}
		r := call(t, again...)
		r.want(t, exitDone)
		if stage == distill.StageEval {
			checkTable(t, r.out)
			continue
		}
		if r.out != "" {
			t.Errorf("stage %s wrote to stdout: %s", stage, r.out)
		}
		call(t, "run", "--out", out, "--stage", stage).want(t, exitInput, "--stage "+stage, "done already")
	}
	call(t, args...).want(t, exitInput, out, "--resume")
	call(t, append(slices.Clone(args), "--resume", "--seed", "7", "--set", "stage3.steps=9")...).want(t, exitInput, "--resume", "seed: 1 in the run, 7 given", "stage3.steps: 2 in the run, 9 given")

	whole := filepath.Join(t.TempDir(), "run")
	i := slices.Index(args, "--out")
	args[i+1] = whole
	r := call(t, append(slices.Clone(args), "--json")...)
	r.want(t, exitDone)
	var results distill.Results
	r.decode(t, &results)
	if len(results.Rows) != 3 || results.Stage2 == nil || results.Rows[2].Name != "BitDistill" || results.Rows[0].N != 12 {
		t.Errorf("results: %s", r.out)
	}
	checkSame(t, filepath.Join(out, "student", "model.safetensors"), filepath.Join(whole, "student", "model.safetensors"))

	r = call(t, append(slices.Clone(args), "--resume", "--json")...) // all of it is there: evaluated again
	r.want(t, exitDone, "already there")
	var repeated distill.Results
	r.decode(t, &repeated)
	if repeated.Rows[2].Accuracy != results.Rows[2].Accuracy {
		t.Errorf("accuracy %v, then %v", results.Rows[2].Accuracy, repeated.Rows[2].Accuracy)
	}
	checkEval(t, whole, results)
}

func checkTable(t *testing.T, table string) {
	t.Helper()
	for _, word := range []string{"accuracy", "FP16-SFT", "BitNet-SFT", "BitDistill", "tokens/s", "perplexity", "12 held-out"} {
		if !strings.Contains(table, word) {
			t.Errorf("the table does not contain %q:\n%s", word, table)
		}
	}
}

// checkEval compares the command with the run's own evaluation: on the run, and on the folders of its models.
func checkEval(t *testing.T, run string, results distill.Results) {
	t.Helper()
	named := call(t, "eval", "--model", run, "--backend", "go", "--json", "--task", "sst2") // the run's task goes by that name
	var report evalReport
	named.decode(t, &report)
	if report.Accuracy != results.Rows[2].Accuracy {
		t.Errorf("--task sst2: %s, but the run says %v", named.out, results.Rows[2])
	}
	for folder, row := range map[string]int{run: 2, filepath.Join(run, "student"): 2, filepath.Join(run, "bitnet-sft"): 1, filepath.Join(run, "teacher"): 0} {
		r := call(t, "eval", "--model", folder, "--backend", "go", "--json")
		r.want(t, exitDone)
		var report evalReport
		r.decode(t, &report)
		if report.Accuracy != results.Rows[row].Accuracy || report.N != 12 || report.Model != folder || report.Data != results.Config.Task.Dev {
			t.Errorf("%s: %s, but the run says %v", folder, r.out, results.Rows[row])
		}
	}
}

func checkSame(t *testing.T, a, b string) {
	t.Helper()
	x, errX := os.ReadFile(a)
	y, errY := os.ReadFile(b)
	if errX != nil || errY != nil || !bytes.Equal(x, y) {
		t.Errorf("%s and %s differ (%v, %v)", a, b, errX, errY)
	}
}

// interrupter is a log that ends a context once it has seen a line.
type interrupter struct {
	mu   sync.Mutex
	text strings.Builder
	line string
	stop context.CancelFunc
}

func (i *interrupter) Write(p []byte) (int, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.text.Write(p)
	if strings.Contains(i.text.String(), i.line) {
		i.stop()
	}
	return len(p), nil
}

func (i *interrupter) String() string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.text.String()
}

// An interrupted run says how to go on, and going on gives the weights of a run that was let alone.
func TestInterrupt(t *testing.T) {
	whole, out := filepath.Join(t.TempDir(), "whole"), filepath.Join(t.TempDir(), "run")
	args := ownData(t, whole)
	call(t, append(slices.Clone(args), "--stage", "1")...).want(t, exitDone)
	call(t, "run", "--stage", "2", "--out", whole).want(t, exitDone)

	args[slices.Index(args, "--out")+1] = out
	call(t, append(slices.Clone(args), "--stage", "1")...).want(t, exitDone)
	ctx, stop := context.WithCancel(context.Background())
	log := &interrupter{line: "Stage-2 Step 1:", stop: stop}
	r := callWith(t, ctx, log, "run", "--stage", "2", "--out", out)
	r.want(t, exitInterrupted, "Stage-2: interrupted at step 1 of 3", "bitdistill run --stage 2 --out "+out)
	r = call(t, "run", "--stage", "2", "--out", out)
	r.want(t, exitDone, "step 1", "Stage-2 Step 3: Loss=")
	checkSame(t, filepath.Join(out, "stage2", "model.safetensors"), filepath.Join(whole, "stage2", "model.safetensors"))

	for _, command := range []string{"run --out " + filepath.Join(t.TempDir(), "x"), "eval --model embedded", "perplexity --model embedded --data embedded", "doctor"} {
		callWith(t, ctx, &bytes.Buffer{}, append(strings.Fields(command), "--backend=go")[:len(strings.Fields(command))]...).want(t, exitInterrupted)
	}
}

// A run that was killed before it had begun, with a file half-written, begins with --resume.
func TestResumeNothing(t *testing.T) {
	out := t.TempDir()
	for _, name := range []string{".lock", ".config.json.tmp-0123456789abcdef"} {
		check(t, os.WriteFile(filepath.Join(out, name), nil, 0o666))
	}
	call(t, append(ownData(t, out), "--resume", "--stage", "1")...).want(t, exitDone, "begins now")
	entries, err := os.ReadDir(out)
	check(t, err)
	for _, e := range entries {
		if strings.Contains(e.Name(), "tmp") {
			t.Errorf("%s is left", e.Name())
		}
	}
}

// A run that ended before its first step has left its settings alone: the next one takes its place, and says what is different. One that has
// left more is kept.
func TestRunAfterEarlyFault(t *testing.T) {
	out := filepath.Join(t.TempDir(), "run")
	args := append(ownData(t, out), "--set", "checkpoint_every=0")
	call(t, append(args, "--set", "stage2.batch_size=50000000")...).want(t, exitInput, "needs about", "lower batch_size")
	if !exists(filepath.Join(out, "config.json")) {
		t.Fatal("the run has left nothing; the test shows nothing")
	}
	call(t, append(args, "--dry-run")...).want(t, exitDone)
	ctx, stop := context.WithCancel(context.Background())
	r := callWith(t, ctx, &interrupter{line: "Teacher Step 1", stop: stop}, append(args, "--seed", "5", "--teacher", "")...)
	r.want(t, exitInterrupted, out+": a run there ended before its first step; this one takes its place", "stage2.batch_size: 50000000 there, 4 now", "seed: 1 there, 5 now")
	stored, err := distill.StoredConfig(out)
	check(t, err)
	if stored.Stage2.BatchSize != 4 || stored.Seed != 5 {
		t.Errorf("stored: %+v", stored)
	}
	call(t, args...).want(t, exitInput, "holds a run already", "--resume")
}

// A later stage may have other settings: they are kept, and stages that are done are as they were.
func TestReconfigure(t *testing.T) {
	out := filepath.Join(t.TempDir(), "run")
	call(t, append(ownData(t, out), "--stage", "1")...).want(t, exitDone)
	call(t, "run", "--stage", "2", "--out", out, "--set", "stage2.steps=1").want(t, exitDone, "Stage-2 Step 1")
	stored, err := distill.StoredConfig(out)
	check(t, err)
	if stored.Stage2.Steps != 1 || stored.Stage3.Steps != 2 || stored.Model != distill.Embedded {
		t.Errorf("stored: %+v", stored)
	}
	call(t, "run", "--stage", "3", "--out", out, "--preset", "balanced", "--dry-run",
		"--set", "corpus.length=16", "--set", "corpus.report_windows=2", "--set", "corpus.selection_windows=2", "--set", "task.selection_rows=4").want(t, exitDone,
		"warning: 12 of the 12 rows", "have the text of a row")
	call(t, "run", "--stage", "3", "--out", out).want(t, exitInput, "teacher", "run stage teacher first")
	call(t, "run", "--stage", "3", "--out", out, "--set", "stage3.batch_size=0").want(t, exitInput, "stage3.batch_size")
}

// The flags for memory and precision reach the trainings they act on. A run that is gone on with may take less memory, and keeps the rest.
func TestMemoryFlags(t *testing.T) {
	out := filepath.Join(t.TempDir(), "run")
	var plan distill.Plan
	r := call(t, "run", "--dry-run", "--out", out, "--remat", "--precision", "bf16")
	r.want(t, exitDone)
	r.decode(t, &plan)
	for name, training := range map[string]distill.Training{"fine_tune": plan.Config.FineTune, "bitnet_sft": plan.Config.BitNetSFT, "stage2": plan.Config.Stage2, "stage3": plan.Config.Stage3} {
		if want := map[bool]string{true: "", false: "bf16"}[name == "fine_tune"]; !training.Remat || training.Precision != want {
			t.Errorf("%s: remat %v, precision %q", name, training.Remat, training.Precision)
		}
	}
	call(t, "run", "--dry-run", "--out", out, "--precision", "f16").want(t, exitInput, "precision")

	call(t, append(ownData(t, out), "--stage", "1")...).want(t, exitDone)
	before, err := distill.StoredConfig(out)
	check(t, err)
	call(t, "run", "--resume", "--out", out, "--precision", "bf16").want(t, exitInput, "precision")
	call(t, "run", "--resume", "--out", out, "--precision", "f32", "--remat").want(t, exitDone, "BitDistill")
	after, err := distill.StoredConfig(out)
	check(t, err)
	if !after.Stage3.Remat || len(before.Differences(after)) != 4 {
		t.Errorf("settings have changed: %v", before.Differences(after))
	}
}

// A dry run shows settings, counts and memory, and makes nothing.
func TestDryRun(t *testing.T) {
	out := filepath.Join(t.TempDir(), "run")
	r := call(t, "run", "--dry-run", "--out", out, "--seed", "3", "--set", "stage3.steps=7", "--config", write(t, "c.json", `{"seed": 2, "stage3": {"steps": 5, "batch_size": 8}}`))
	r.want(t, exitDone, "parameters: 261212", "226560 ternary", "memory of Stage-3")
	missing(t, out)
	var plan distill.Plan
	r.decode(t, &plan)
	if c := plan.Config; c.Seed != 3 || c.Stage3.Steps != 7 || c.Stage3.BatchSize != 8 || c.Preset != "embedded" || c.Model != distill.Embedded {
		t.Errorf("settings: %+v", c)
	}
	// stories260K: 512 x 64 embeddings, 5 layers of 64 x (64 + 32 + 32 + 64) + 3 x 64 x 172, SubLN of 64 + 172.
	if n := plan.Parameters; n.Total != 261212 || n.Linears != 226560 || n.Embeddings != 32768 || n.SubLN != 5*(64+172) || n.Norms != 11*64 {
		t.Errorf("parameters: %+v", n)
	}
	if b := plan.Bytes; b.FullLinears != 2*226560 || b.StudentLinears != 226560/4+35*4 {
		t.Errorf("bytes: %+v", b)
	}
	if len(plan.Memory) != 4 || plan.Peak().Total <= 0 {
		t.Errorf("memory: %+v", plan.Memory)
	}
	own := append(ownData(t, out), "--dry-run")
	i := slices.Index(own, "--preset")
	own = slices.Delete(own, i, i+2)
	r = call(t, own...)
	r.want(t, exitInput, "loss.layer: layer -6") // classification is for deeper models
}

// eval writes exactly the fields of the contract, in their order.
func TestEvalContract(t *testing.T) {
	data := write(t, "dev.tsv", table(9))
	r := call(t, "eval", "--model", "embedded-teacher", "--task", "sst2", "--data", data, "--limit", "8", "--backend", "go", "--json")
	r.want(t, exitDone)
	checkFields(t, r.out, "task", "n", "accuracy", "stderr", "seconds", "engine", "backend", "limit", "model", "data") // limit because there is one
	var e evalReport
	r.decode(t, &e)
	if e.Task != "sst2" || e.N != 8 || e.Engine != "graph" || e.Backend != "go" || e.Seconds <= 0 {
		t.Errorf("%+v", e)
	}
	if se := math.Sqrt(e.Accuracy * (1 - e.Accuracy) / 8); math.Abs(se-e.Stderr) > 1e-12 {
		t.Errorf("standard error %v, want %v", e.Stderr, se)
	}
	r = call(t, "eval", "--model", modelFolder(t), "--task", "sst2", "--data", data, "--backend", "go", "--batch-size", "4", "--max-length", "40")
	r.want(t, exitDone)
	if !strings.Contains(r.out, "sst2: accuracy") || !strings.Contains(r.out, "9 examples") {
		t.Errorf("text: %s", r.out)
	}
}

// perplexity writes the three fields, and its count of predictions is that of whole windows; the batch changes nothing.
func TestPerplexityContract(t *testing.T) {
	data := write(t, "a.raw", story(40))
	var got [2]perplexityReport
	for i, batch := range []string{"1", "3"} {
		r := call(t, "perplexity", "--model", "embedded", "--data", data, "--length", "64", "--max-tokens", "330", "--batch-size", batch, "--backend", "go", "--json")
		r.want(t, exitDone)
		checkFields(t, r.out, "perplexity", "nll", "tokens", "engine", "model", "data")
		r.decode(t, &got[i])
	}
	if p := got[0]; p.Tokens != 5*63 || math.Abs(math.Exp(p.NLL)-p.Perplexity) > 1e-9*p.Perplexity {
		t.Errorf("%+v", p)
	}
	if math.Abs(got[0].NLL-got[1].NLL) > 1e-5 {
		t.Errorf("batches of 1 and 3: %+v", got)
	}
	var strided perplexityReport
	r := call(t, "perplexity", "--model", "embedded", "--data", data, "--length", "64", "--stride", "20", "--max-tokens", "330", "--backend", "go", "--json")
	r.want(t, exitDone)
	r.decode(t, &strided)
	if strided.Tokens != 329 || strided.Stride != 20 || strided.NLL >= got[0].NLL {
		t.Errorf("with a stride %+v, without %+v: every token should be predicted, from more context", strided, got[0])
	}
}

// checkFields compares the names and the order of the fields of a line of JSON.
func checkFields(t *testing.T, line string, names ...string) {
	t.Helper()
	var got []string
	d := json.NewDecoder(strings.NewReader(line))
	for {
		token, err := d.Token()
		if err != nil {
			break
		}
		if _, isDelim := token.(json.Delim); isDelim {
			continue
		}
		got = append(got, token.(string))
		if _, err := d.Token(); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(got, names) || strings.Count(line, "\n") != 1 {
		t.Errorf("fields %v on a line, want %v", got, names)
	}
}

// doctor and version report as text and as JSON.
func TestReports(t *testing.T) {
	for _, command := range []string{"doctor", "version"} {
		r := call(t, command, "--json")
		r.want(t, exitDone)
		var object map[string]any
		r.decode(t, &object)
		if object["go"] == nil || object["simd"] == nil || object["modules"] == nil {
			t.Errorf("%s: %s", command, r.out)
		}
		if r := call(t, command); r.code != exitDone || !strings.Contains(r.out, "go1.") {
			t.Errorf("%s: %+v", command, r)
		}
	}
}

// An internal error ends with a message, and with a stack only where it is asked for.
func TestPanic(t *testing.T) {
	r := callPanic(t)
	r.want(t, exitFailed, "internal error: broken pipe dream", debugEnv)
	t.Setenv(debugEnv, "1")
	if r := callPanic(t); r.code != exitFailed || !strings.Contains(r.errors, "goroutine") {
		t.Errorf("%+v", r)
	}
}

// callPanic runs the program with an output that panics.
func callPanic(t *testing.T) result {
	t.Helper()
	var errs bytes.Buffer
	code := run(context.Background(), []string{"version"}, nil, brokenWriter{}, &errs)
	return result{code: code, errors: errs.String()}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { panic("broken pipe dream") }
