package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bitdistill/bitdistill/distill"
)

// dialogues is JSONL of prompts and completions.
func dialogues(rows int) string {
	var b strings.Builder
	for i := range rows {
		fmt.Fprintf(&b, "{\"prompt\": \"The dog number %d was\", \"completion\": \" %s.\", \"id\": %d}\n", i, []string{"big", "red", "sad"}[i%3], i)
	}
	return b.String()
}

// A task that generates text goes through all stages, and is judged by the perplexity of its completions.
func TestGeneration(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	dev := write(t, "dev.jsonl", dialogues(7))
	args := append([]string{
		"run", "--preset", "embedded", "--backend", "go", "--out", out, "--model", distill.Embedded, "--task", "completion",
		"--train", write(t, "train.jsonl", dialogues(30)), "--dev", dev, "--corpus", write(t, "corpus.txt", story(20)), "--show", "2",
	}, tiny()...)
	args = append(args, "--set", "task.max_length=64", "--set", "task.selection_rows=4", "--set", "stage3.eval_every=1")
	r := call(t, args...)
	r.want(t, exitDone, "selection score -", "BitDistill: perplexity ", "of 7 held-out examples", "completion tokens")
	for _, part := range []string{"train.jsonl:1: ", "|[ ", "</s>]\n", "perplexity", "of the completions of 7 held-out examples"} {
		if !strings.Contains(r.out, part) {
			t.Errorf("stdout does not contain %q:\n%s", part, r.out)
		}
	}
	raw, err := os.ReadFile(filepath.Join(out, "results.json"))
	check(t, err)
	var results distill.Results
	check(t, json.Unmarshal(raw, &results))
	if len(results.Rows) != 3 || results.Rows[2].Perplexity < 1 || results.Rows[2].N != 7 {
		t.Fatalf("results %+v", results.Rows)
	}
	var report completionsReport
	e := call(t, "eval", "--model", out, "--json", "--backend", "go")
	e.want(t, exitDone)
	e.decode(t, &report)
	if report.Task != "completion" || report.N != 7 || report.Tokens < 14 || report.Perplexity.Perplexity != results.Rows[2].Perplexity {
		t.Errorf("eval %+v, the run %+v", report, results.Rows[2])
	}
	call(t, "eval", "--model", out, "--data", dev, "--limit", "2", "--backend", "go").want(t, exitDone)
	page, err := os.ReadFile(filepath.Join(out, "report.html"))
	check(t, err)
	for _, part := range []string{"Perplexity of held-out completions", "Loss on the completions of the selection split", "generates text"} {
		if !strings.Contains(string(page), part) {
			t.Errorf("the report does not contain %q", part)
		}
	}
}

// --show prints examples with what the loss counts in brackets, and with --dry-run nothing is made.
func TestShow(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	args := append(ownData(t, out), "--dry-run", "--show", "2")
	r := call(t, args...)
	r.want(t, exitDone)
	shown, plan, _ := strings.Cut(r.out, "\n{")
	if strings.Count(shown, "the loss counts 1\n") != 2 || !strings.Contains(shown, "train.tsv:2: ") || !strings.Contains(shown, "was|[ happy]\n") ||
		!json.Valid([]byte("{"+plan)) {
		t.Errorf("stdout:\n%s", r.out)
	}
	missing(t, out)
	r = call(t, append(args, "--json")...)
	r.want(t, exitDone, "|[ happy]\n")
	if !json.Valid([]byte(r.out)) {
		t.Errorf("with --json stdout is not one object:\n%s", r.out)
	}
	call(t, append(args, "--show", "-1")...).want(t, exitInput, "--show: -1")
}

// What a generation cannot do shows before anything is made.
func TestGenerationRefused(t *testing.T) {
	for name, c := range map[string]struct {
		task, train string
		set         string
		words       []string
	}{
		"no completion": {"completion", "{\"prompt\": \"a\"}\n", "seed=1", []string{"train.jsonl", `"completion"`}},
		"empty":         {"completion", "{\"prompt\": \"a\", \"completion\": \"\"}\n", "seed=1", []string{"train.jsonl:1", "empty"}},
		"no answer":     {"messages", "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}]}\n", "seed=1", []string{"train.jsonl:1", "assistant"}},
		"no room":       {"cnndm", "{\"article\": \"a\", \"highlights\": \"b\"}\n", "task.max_length=100", []string{"max_length 100", "160"}},
		"policy":        {"completion", dialogues(3), "task.overlong=cut", []string{"overlong", `"cut"`, "truncate-prompt"}},
	} {
		t.Run(name, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "out")
			call(t, "run", "--preset", "embedded", "--backend", "go", "--out", out, "--model", distill.Embedded, "--task", c.task, "--set", c.set,
				"--train", write(t, "train.jsonl", c.train), "--dev", write(t, "dev.jsonl", c.train), "--corpus", write(t, "corpus.txt", story(20)),
			).want(t, exitInput, c.words...)
			missing(t, out)
		})
	}
}
