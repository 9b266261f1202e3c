package main

import (
	"math"
	"os"
	"strings"
	"testing"
)

// programVariable turns the test binary into the program.
const programVariable = "BITDISTILL_TEST_PROGRAM"

// benchTiny measures for a moment.
func benchTiny(args ...string) []string {
	return append([]string{
		"bench", "train", "--layers", "1", "--batch", "2", "--length", "8", "--backend", "go", "--steps", "1", "--repetitions", "2",
	}, args...)
}

func TestBenchTrain(t *testing.T) {
	r := call(t, benchTiny("--stage", "3", "--every-position", "--format", "json")...)
	r.want(t, exitDone)
	var b benchReport
	r.decode(t, &b)
	if len(b.Rows) != 1 || b.Threads < 1 || b.Steps != 1 || b.Repetitions != 2 {
		t.Fatalf("%+v", b)
	}
	row := b.Rows[0]
	if row.Engine != "bitdistill go" || row.Test != "stage3" || row.Shape != "stories260k" || row.Layers != 1 || row.Batch != 2 || row.Length != 8 || !row.Every {
		t.Errorf("%+v is not what was asked for", row)
	}
	if !(row.TokensPerS > 0 && row.MFU > 0 && row.GFLOP > 0 && row.PeakF32 > 0 && row.RSSMB >= 0) || row.Ratio != 0 {
		t.Errorf("figures %+v", row)
	}
	near := func(what string, got, want float64) {
		if math.Abs(got-want) > 1e-6*want {
			t.Errorf("%s: %g, want %g", what, got, want)
		}
	}
	near("seconds a step", row.SecondsPerStep, 16/row.TokensPerS)
	near("utilisation", row.MFU, row.GFLOP/row.SecondsPerStep/row.PeakF32)
}

func TestBenchTrainFormats(t *testing.T) {
	for format, word := range map[string]string{"text": "engine  ", "md": "| engine | tokens/s |"} {
		r := call(t, benchTiny("--format", format)...)
		r.want(t, exitDone)
		for _, want := range []string{word, "bitdistill go", "stage2 of stories260k, 1 blocks, 2 x 8 tokens", "±"} {
			if !strings.Contains(r.out, want) {
				t.Errorf("%s: no %q in\n%s", format, want, r.out)
			}
		}
	}
}

func TestBenchTrainRefuses(t *testing.T) {
	for word, args := range map[string][]string{
		"shape":      {"--shape", "llama"},
		"stage":      {"--stage", "1"},
		"length":     {"--length", "100000"},
		"--format":   {"--format", "xml"},
		"--peers":    {"--compare", "--peers", "jax"},
		"learning":   {"--set", "stage2.learning_rate=-1"},
		"no command": nil,
	} {
		all := benchTiny(args...)
		if args == nil {
			all = []string{"bench", "trian"}
		}
		call(t, all...).want(t, exitInput, word)
	}
}

func TestBenchCompareNeedsTorch(t *testing.T) {
	python := script(t, `echo "ModuleNotFoundError: No module named 'torch'" >&2; exit 1`)
	call(t, benchTiny("--compare", "--torch", python)...).want(t, exitInput, "No module named 'torch'", "pip install torch==2.15.0", "--torch")
	call(t, benchTiny("--compare", "--torch", "no-such-python")...).want(t, exitInput, "no-such-python", "pip install torch==2.15.0")
}

// A shell script stands for the PyTorch program, which takes turns with this program in a process of its own.
func TestBenchCompare(t *testing.T) {
	python := script(t, `
[ "$1" = -c ] && exit 0
grep -q '"wait":true' "$2" || exit 3
case $3 in
compile) echo warning >&2; echo no compiler >&2; exit 1 ;;
bf16) echo '{"ready":true}'; read go; exit 4 ;;
esac
echo '{"ready":true}'; read go; echo '{"ready":true}'; read go
echo '{"engine":"torch eager","seconds":[2,4],"first_step_s":7,"peak_rss_bytes":5000000,"gflops":0.5}'`)
	t.Setenv(programVariable, "1")
	r := call(t, benchTiny("--compare", "--torch", python, "--format", "json")...)
	r.want(t, exitDone, "repetition 2 of 2: torch eager")
	var b benchReport
	r.decode(t, &b)
	if len(b.Rows) != 4 {
		t.Fatalf("rows %+v", b.Rows)
	}
	ours, eager := b.Rows[0], b.Rows[1]
	if ours.Engine != "bitdistill go" || !(ours.TokensPerS > 0) || eager.Engine != "torch eager" {
		t.Errorf("engines %q and %q", ours.Engine, eager.Engine)
	}
	if eager.TokensPerS != (8+4)/2. || eager.RSSMB != 5 || math.Abs(eager.CompileS-(7-16/6.)) > 1e-9 || !(eager.MFU > 0) {
		t.Errorf("of PyTorch: %+v", eager)
	}
	if !(eager.Ratio > 0) || math.Abs(eager.RSSRatio-ours.RSSMB/5) > 1e-9 {
		t.Errorf("ratios %g and %g", eager.Ratio, eager.RSSRatio)
	}
	if got := b.Rows[2].Problem; got != "no compiler" {
		t.Errorf("compile: %q", got)
	}
	if got := b.Rows[3].Problem; got != "exit status 4" {
		t.Errorf("bf16: %q", got)
	}
	call(t, benchTiny("--compare", "--torch", python)...).want(t, exitDone)
}

// script is a program of the shell.
func script(t *testing.T, lines string) string {
	t.Helper()
	path := write(t, "python", "#!/bin/sh\n"+lines+"\n")
	if err := os.Chmod(path, 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestBenchFailure: of a process that fails there is all that says why.
func TestBenchFailure(t *testing.T) {
	for said, want := range map[string]string{
		"": "unexpected EOF",
		"warning\nbitdistill: no plugin; install it:\n\nbitdistill doctor --install xla\n": "no plugin; install it:\n\nbitdistill doctor --install xla",
		"Traceback\n  line 3\nValueError: no\n":                                            "ValueError: no",
	} {
		var failed turn
		failed.errors.WriteString(said)
		if got := failed.failure(nil).Error(); got != want {
			t.Errorf("%q: %q, want %q", said, got, want)
		}
	}
}
