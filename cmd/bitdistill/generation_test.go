package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bitdistill/bitdistill/distill"
	"github.com/bitdistill/bitdistill/distill/eval/overlap"
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
	args = append(args, "--set", "task.max_length=64", "--set", "task.selection_rows=4", "--set", "stage3.eval_every=1", "--set", "task.generate_rows=5")
	r := call(t, args...)
	r.want(t, exitDone, "selection score -", "BitDistill: perplexity ", "of 5 texts", "of 7 held-out examples", "completion tokens")
	for _, part := range []string{"train.jsonl:1: ", "|[ ", "</s>]\n", "perplexity  BLEU  ROUGE-1", "behind 5 held-out prompts; perplexity of the completions of 7 held-out examples"} {
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
	samples := filepath.Join(t.TempDir(), "samples.jsonl")
	e := call(t, "eval", "--model", out, "--json", "--backend", "go", "--limit", "5", "--log-samples", samples)
	e.want(t, exitDone)
	e.decode(t, &report)
	if report.Task != "completion" || report.N != 5 || report.Limit != 5 || report.Tokens < 10 || results.Rows[2].Overlap == nil || report.Overlap != *results.Rows[2].Overlap || report.Model != out || report.Data != dev {
		t.Errorf("eval %+v, the run %+v", report, results.Rows[2])
	}
	checkTexts(t, samples, out, report.Overlap)
	e = call(t, "eval", "--model", out, "--json", "--backend", "go", "--limit", "100")
	report = completionsReport{}
	e.decode(t, &report)
	if report.N != 7 || report.Limit != 0 || report.Perplexity.Perplexity != results.Rows[2].Perplexity || report.Generated != 7 {
		t.Errorf("eval %+v, the run %+v", report, results.Rows[2])
	}
	short := call(t, "eval", "--model", out, "--data", dev, "--limit", "2", "--backend", "go")
	short.want(t, exitDone)
	if !strings.Contains(short.out, "2 completions (--limit: the first 2 rows)") || !strings.Contains(short.out, "ROUGE-Lsum ") {
		t.Errorf("stdout:\n%s", short.out)
	}
	missing(t, filepath.Join(out, "checkpoints", "eval")) // texts are kept there until samples.jsonl has them
	page, err := os.ReadFile(filepath.Join(out, "report.html"))
	check(t, err)
	for _, part := range []string{"Perplexity of held-out completions", "Loss on the completions of the selection split", "What the models write", "The dog number 3 was", "ROUGE-Lsum", "behind 5 of the prompts", "Activations and attention relations"} {
		if !strings.Contains(string(page), part) {
			t.Errorf("the report does not contain %q", part)
		}
	}
}

// checkTexts wants the samples of eval to be those of the run, and the scores of their texts.
func checkTexts(t *testing.T, samples, run string, want distill.Overlap) {
	t.Helper()
	raw, err := os.ReadFile(samples)
	check(t, err)
	ofRun, err := distill.ReadSamples(run, 100)
	check(t, err)
	lines := strings.Split(strings.TrimSpace(string(raw)), "\n")
	if len(lines) != 5 || len(ofRun) != 5 {
		t.Fatalf("%d samples of eval, %d of the run, want 5", len(lines), len(ofRun))
	}
	var texts, references []string
	for i, line := range lines {
		checkFields(t, line+"\n", "line", "prompt", "target", "output")
		var s textSample
		check(t, json.Unmarshal([]byte(line), &s))
		if s.Line != i+1 || s.Prompt != fmt.Sprintf("The dog number %d was", i) || s.Target != []string{"big.", "red.", "sad."}[i%3] ||
			s.Output != ofRun[i].Outputs[distill.StudentLabel] || len(ofRun[i].Outputs) != 3 || ofRun[i].Line != i+1 || ofRun[i].Reference != s.Target {
			t.Errorf("sample %+v, of the run %+v", s, ofRun[i])
		}
		texts, references = append(texts, s.Output), append(references, s.Target)
	}
	bleu, err := overlap.CorpusBLEU(texts, references)
	check(t, err)
	rouge, err := overlap.MeanROUGE(texts, references)
	check(t, err)
	if want.BLEU != bleu.Score || want.ROUGE1 != rouge.ROUGE1.F || want.ROUGELsum != rouge.ROUGELsum.F || want.Generated != 5 {
		t.Errorf("%+v, want BLEU %v and ROUGE %v", want, bleu.Score, rouge)
	}
}

// An evaluation that is stopped while it writes keeps its texts, and the same command ends it with the result of one that was not.
func TestEvalGoesOn(t *testing.T) {
	dir := t.TempDir()
	whole, parted, part := filepath.Join(dir, "whole.jsonl"), filepath.Join(dir, "parted.jsonl"), filepath.Join(dir, "parted.jsonl.part")
	dev := write(t, "dev.jsonl", dialogues(10))
	args := []string{"eval", "--model", distill.Embedded, "--task", "completion", "--data", dev, "--backend", "go", "--batch-size", "1", "--max-length", "80", "--json", "--log-samples"}
	var want, got completionsReport
	r := call(t, append(args, whole)...)
	r.want(t, exitDone)
	r.decode(t, &want)
	ctx, stop := context.WithCancel(context.Background())
	go func() {
		for ctx.Err() == nil {
			if raw, err := os.ReadFile(part); err == nil && strings.Count(string(raw), "\n") > 3 {
				stop()
			}
			time.Sleep(time.Millisecond)
		}
	}()
	callWith(t, ctx, &bytes.Buffer{}, append(args, parted)...).want(t, exitInterrupted, part+" has ", " of 10 texts: go on with the same command")
	missing(t, parted)
	call(t, append(args, parted, "--limit", "3")...).want(t, exitInput, part, "another model, other data or settings")
	r = call(t, append(args, parted)...)
	r.want(t, exitDone, part+": ", " of 10 texts are there already")
	r.decode(t, &got)
	got.Perplexity.Seconds, got.GenerationSeconds = want.Perplexity.Seconds, want.GenerationSeconds
	if got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	checkSame(t, parted, whole)
	missing(t, part)
}

// --log-samples of a classification has the scores that the accuracy is made of, and never takes the place of a file.
func TestLogSamples(t *testing.T) {
	samples := filepath.Join(t.TempDir(), "samples.jsonl")
	args := []string{"eval", "--model", distill.EmbeddedTeacher, "--backend", "go", "--limit", "40"}
	r := call(t, append(args, "--json", "--log-samples="+samples)...)
	r.want(t, exitDone)
	var report evalReport
	r.decode(t, &report)
	raw, err := os.ReadFile(samples)
	check(t, err)
	right, lines := 0, strings.Split(strings.TrimSpace(string(raw)), "\n")
	for i, line := range lines {
		checkFields(t, line[:strings.Index(line, `,"scores"`)]+"}\n", "line", "prompt", "target", "prediction")
		var s labelSample
		check(t, json.Unmarshal([]byte(line), &s))
		for label, score := range s.Scores {
			if score > s.Scores[s.Prediction] || score >= 0 || s.Line != i+2 || s.Prompt == "" {
				t.Errorf("%s: label %s", line, label)
			}
		}
		if s.Target == s.Prediction {
			right++
		}
	}
	if len(lines) != 40 || report.N != 40 || report.Limit != 40 || float64(right)/40 != report.Accuracy {
		t.Errorf("%d of %d right, report %+v", right, len(lines), report)
	}
	call(t, append(args, "--log-samples", samples)...).want(t, exitInput, "--log-samples", samples, "is there already")
	call(t, append(args, "--log-samples", filepath.Join(samples, "deeper", "a.jsonl"))...).want(t, exitInput, "--log-samples")
	call(t, append(args, "superfluous")...).want(t, exitInput, `"superfluous" belongs to no flag`)
	call(t, append(args, "--log-samples", "a.jsonl", "superfluous")...).want(t, exitInput, `"a.jsonl" belongs to no flag`)
	t.Chdir(t.TempDir())
	r = call(t, append(args, "--log-samples")...)
	r.want(t, exitDone)
	if !strings.Contains(r.out, "40 examples (--limit: the first 40 rows)") || !exists(defaultSamples) {
		t.Errorf("stdout:\n%s", r.out)
	}
}

// --show prints examples with what the loss counts in brackets. With --dry-run nothing is made, and stdout is its JSON alone.
func TestShow(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	args := append(ownData(t, out), "--dry-run", "--show", "2")
	r := call(t, args...)
	r.want(t, exitDone, "train.tsv:2: ", "the loss counts 1\n", "was|[ happy]\n")
	if !json.Valid([]byte(r.out)) {
		t.Errorf("stdout is not one object:\n%s", r.out)
	}
	missing(t, out)
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
