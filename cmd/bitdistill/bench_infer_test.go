package main

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bitdistill/bitdistill/internal/speed"
)

// benchModel measures for a moment, in processes that are this test's program.
func benchModel(t *testing.T, args ...string) result {
	t.Helper()
	t.Setenv(programVariable, "1")
	return call(t, append([]string{"bench", "--shape", "stories260k", "--layers", "1", "--prompt", "8", "--generate", "4", "--repetitions", "1", "--threads", "2"}, args...)...)
}

func TestBench(t *testing.T) {
	r := benchModel(t, "--both", "8+4", "--sequences", "3", "--head", "f16", "--format", "json")
	r.want(t, exitDone, "repetition 1 of 1: tg4x3, bitdistill")
	var b inferReport
	r.decode(t, &b)
	if b.Threads != 2 || b.Model != "stories260k" || b.Layers != 1 || b.Head != "f16" || b.SubLN != "output" || b.Kernel == "" || b.Linear != 45312 || b.Repetitions != 1 {
		t.Errorf("%+v is not what was asked for", b)
	}
	if len(b.Probes) != 2 || b.Probes[0].Threads != 1 || b.Probes[1].Threads != 2 || !(b.Probes[1].Read > 0 && b.Probes[1].Dot > 0) {
		t.Errorf("probes %+v", b.Probes)
	}
	tokens := []float64{8, 4, 12, 12}
	for i, test := range []string{"pp8", "tg4", "pp8+tg4", "tg4x3"} {
		row := b.Rows[i]
		if row.Engine != "bitdistill" || row.Test != test || row.Problem != "" || row.Ratio != 0 {
			t.Errorf("row %d: %+v", i, row)
		}
		if !(row.TokensPerS > 0 && row.LoadMS > 0 && row.FirstMS > row.LoadMS && row.Limit > tokens[i] && row.Share > 0 && row.RSSMB >= 0) {
			t.Errorf("figures of %+v", row)
		}
	}
}

func TestBenchMarkdown(t *testing.T) {
	r := benchModel(t, "--format", "md")
	r.want(t, exitDone)
	wantAll(t, r.out, "| test | engine | tokens/s |", "| pp8 | bitdistill |", "| tg4 |", "stories260k, 1 blocks, SubLN output, head in q8_0", "GB/s read", " %")
	if strings.Contains(r.out, "ours/this") {
		t.Errorf("compared with nothing:\n%s", r.out)
	}
}

func wantAll(t *testing.T, text string, words ...string) {
	t.Helper()
	for _, want := range words {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

// TestBenchModelFile measures a folder that is the student of a run.
func TestBenchModelFile(t *testing.T) {
	t.Setenv(programVariable, "1")
	run := t.TempDir()
	if err := os.Rename(modelFolder(t), filepath.Join(run, "student")); err != nil {
		t.Fatal(err)
	}
	r := call(t, "bench", "--model", run, "--prompt", "0", "--generate", "4", "--repetitions", "1", "--format", "json")
	r.want(t, exitDone)
	var b inferReport
	r.decode(t, &b)
	if b.Model != "student" || b.Head != "" || b.Layers != 5 || len(b.Rows) != 1 || !(b.Rows[0].TokensPerS > 0) {
		t.Errorf("%+v", b)
	}
}

func TestBenchRefuses(t *testing.T) {
	for word, args := range map[string][]string{
		"shape: \"llama\"":        {"--shape", "llama"},
		"layers: 9":               {"--layers", "9"},
		"either --model":          {"--model", "x"},
		"--format":                {"--format", "xml"},
		"--head":                  {"--head", "q3"},
		"--peers":                 {"--compare", "--peers", "iq1"},
		"--prompt":                {"--prompt", "-1"},
		"--both":                  {"--both", "8+"},
		"--sequences: 1":          {"--sequences", "1"},
		"--threads":               {"--threads", "-2"},
		"--repetitions":           {"--repetitions", "0"},
		"max_position_embeddings": {"--prompt", "513"},
	} {
		benchModel(t, args...).want(t, exitInput, word)
	}
	call(t, "bench", "--shape", "stories260k", "--prompt", "0", "--generate", "0").want(t, exitInput, "nothing to measure")
	call(t, "bench", "--model", "nowhere").want(t, exitInput, "--model", "nowhere")
	call(t, "bench", "--model", "nowhere", "--layers", "1").want(t, exitInput, "--layers")
}

func TestBenchDamagedModel(t *testing.T) {
	t.Setenv(programVariable, "1")
	call(t, "bench", "--model", write(t, "model.gguf", "GGUF")).want(t, exitFailed, "model.gguf")
}

func TestBenchNeedsLlama(t *testing.T) {
	t.Setenv(speed.EnvLlama, "")
	benchModel(t, "--compare", "--llama", t.TempDir()).want(t, exitInput, "llama-bench", "scripts/peers.sh")
}

// TestBenchCompareLlama has a shell script stand for llama-bench, which takes turns with this program. TQ2_0 cannot hold rows of 64 values,
// nor Q2_0 those of 172.
func TestBenchCompareLlama(t *testing.T) {
	folder := t.TempDir()
	lines := `#!/bin/sh
[ "$(head -c 4 "$2")" = GGUF ] || exit 3
echo "[{\"build_commit\":\"x\",\"n_prompt\":${10},\"n_gen\":${12},\"samples_ns\":[2000000000]}]"
`
	if err := os.WriteFile(filepath.Join(folder, "llama-bench"), []byte(lines), 0o755); err != nil {
		t.Fatal(err)
	}
	r := benchModel(t, "--compare", "--llama", folder, "--sequences", "2", "--repetitions", "2", "--format", "json")
	r.want(t, exitDone, "repetition 2 of 2: tg4, llama.cpp F16")
	var b inferReport
	r.decode(t, &b)
	want := []string{
		"pp8 bitdistill", "pp8 llama.cpp TQ2_0", "pp8 llama.cpp Q2_0", "pp8 llama.cpp F16",
		"tg4 bitdistill", "tg4 llama.cpp TQ2_0", "tg4 llama.cpp Q2_0", "tg4 llama.cpp F16", "tg4x2 bitdistill",
	}
	var got []string
	for _, row := range b.Rows {
		got = append(got, row.Test+" "+row.Engine)
	}
	if strings.Join(got, ", ") != strings.Join(want, ", ") {
		t.Fatalf("rows %q", got)
	}
	if p := b.Rows[1].Problem; !strings.Contains(p, "not a multiple of the 256 in a block of TQ2_0") {
		t.Errorf("TQ2_0: %q", p)
	}
	ours, theirs := b.Rows[4], b.Rows[7]
	if theirs.TokensPerS != 2 || theirs.SD != 0 || math.Abs(theirs.Ratio-ours.TokensPerS/2) > 1e-6*theirs.Ratio || theirs.Limit != 0 || theirs.LoadMS != 0 {
		t.Errorf("ours %+v, theirs %+v", ours, theirs)
	}
	var text bytes.Buffer
	if err := (&cli{out: &text}).writeInfer("text", b); err != nil {
		t.Fatal(err)
	}
	wantAll(t, text.String(), "test   engine         tokens/s", "ours/this", "tg4    llama.cpp F16", "llama.cpp Q2_0 was not measured: ")
}
