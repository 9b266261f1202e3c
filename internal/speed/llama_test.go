package speed

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/bitdistill/bitdistill/bitnet/infer"
)

// recorded is what llama-bench wrote of a llama in the size of stories260K, without some of what is not read.
const recorded = `[
  {
    "build_commit": "unknown",
    "build_number": 0,
    "backends": "CPU",
    "model_type": "llama ?B (guessed) F16",
    "model_size": 521472,
    "n_threads": 2,
    "type_k": "f16",
    "n_prompt": 128,
    "n_gen": 0,
    "n_depth": 0,
    "test_time": "2026-11-23T21:53:42Z",
    "avg_ns": 123107490,
    "stddev_ns": 0,
    "avg_ts": 1039.741774,
    "stddev_ts": 0.000000,
    "samples_ns": [ 123107490 ],
    "samples_ts": [ 1039.74 ]
  }
]
`

func TestParseLlama(t *testing.T) {
	got, err := parseLlama([]byte(recorded), Test{128, 0, 1})
	if err != nil || got != (LlamaTimes{Pass: 0.12310749}) {
		t.Errorf("%+v, %v", got, err)
	}
	for says, out := range map[string]string{
		"is not its JSON":       "llama-bench: usage",
		"not one sample of tg8": strings.Replace(recorded, "123107490 ]", "1, 2 ]", 1),
		"a version":             "[]",
	} {
		if _, err := parseLlama([]byte(out), Test{0, 8, 1}); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want %s", err, says)
		}
	}
}

// program is a script of the shell under the name of llama-bench.
func program(t *testing.T, folder, lines string) {
	t.Helper()
	if err := os.MkdirAll(folder, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, llamaBench), []byte("#!/bin/sh\n"+lines+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
}

func TestFindLlama(t *testing.T) {
	empty, folder := t.TempDir(), t.TempDir()
	program(t, filepath.Join(folder, "bin"), "exit 0")
	t.Setenv("PATH", empty)
	t.Setenv(EnvLlama, "")
	if _, err := FindLlama(""); err == nil || !strings.Contains(err.Error(), "scripts/peers.sh FOLDER") || !strings.Contains(err.Error(), "--llama") {
		t.Errorf("%v", err)
	}
	if _, err := FindLlama(empty); err == nil || !strings.Contains(err.Error(), "scripts/peers.sh "+empty) {
		t.Errorf("%v", err)
	}
	want := Llama{filepath.Join(folder, "bin", llamaBench)}
	if got, err := FindLlama(folder); err != nil || got != want {
		t.Errorf("%v, %v", got, err)
	}
	t.Setenv(EnvLlama, folder)
	if got, err := FindLlama(""); err != nil || got != want {
		t.Errorf("by the variable: %v, %v", got, err)
	}
	t.Setenv(EnvLlama, "")
	t.Setenv("PATH", filepath.Join(folder, "bin"))
	if got, err := FindLlama(""); err != nil || got != want {
		t.Errorf("on the path: %v, %v", got, err)
	}
}

func TestLlamaMeasure(t *testing.T) {
	folder := t.TempDir()
	sample := filepath.Join(folder, "out.json")
	if err := os.WriteFile(sample, []byte(recorded), 0o666); err != nil {
		t.Fatal(err)
	}
	program(t, folder, `[ "$2" = model.gguf ] || { echo warning >&2; echo "failed to load $2" >&2; exit 1; }; cat `+sample)
	l, err := FindLlama(folder)
	if err != nil {
		t.Fatal(err)
	}
	r := Run{Model: "model.gguf", Threads: 2, Test: Test{128, 0, 1}}
	if got, err := l.Measure(t.Context(), r); err != nil || got.Pass != 0.12310749 {
		t.Errorf("%+v, %v", got, err)
	}
	r.Model = "other"
	if _, err := l.Measure(t.Context(), r); err == nil || err.Error() != "llama-bench: failed to load other" {
		t.Errorf("%v", err)
	}
	r.Test.Sequences = 2
	if _, err := l.Measure(t.Context(), r); err == nil || !strings.Contains(err.Error(), "one sequence") {
		t.Errorf("%v", err)
	}
}

func TestLlamaArguments(t *testing.T) {
	for want, test := range map[string]Test{
		"-m m -t 2 -r 1 -o json -p 128 -n 0":           {128, 0, 1},
		"-m m -t 2 -r 1 -o json -p 0 -n 64":            {0, 64, 1},
		"-m m -t 2 -r 1 -o json -p 0 -n 0 -pg 512,128": {512, 128, 1},
	} {
		if got := (Llama{}).arguments(Run{"m", 2, infer.CacheF32, test}); !slices.Equal(got, strings.Fields(want)) {
			t.Errorf("%v, want %s", got, want)
		}
	}
}
