package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bitdistill/bitdistill/distill"
)

// classified reads the lines of --json.
func classified(t *testing.T, out string) (all []classification) {
	t.Helper()
	for line := range strings.Lines(out) {
		var c classification
		d := json.NewDecoder(strings.NewReader(line))
		d.DisallowUnknownFields()
		check(t, d.Decode(&c))
		all = append(all, c)
	}
	return all
}

// TestClassify wants the labels and scores that eval finds in the graph, and its accuracy.
func TestClassify(t *testing.T) {
	samples, dev := filepath.Join(t.TempDir(), "samples.jsonl"), write(t, "dev.tsv", table(30))
	var report evalReport
	r := call(t, "eval", "--model", distill.EmbeddedTeacher, "--backend", "go", "--data", dev, "--json", "--log-samples", samples)
	r.want(t, exitDone)
	r.decode(t, &report)
	f, err := os.Open(samples)
	check(t, err)
	defer f.Close()
	r = call(t, "classify", "--model", distill.EmbeddedTeacher, "--data", dev, "--json", "--rows", "7")
	r.want(t, exitDone, "30 texts", fmt.Sprintf("accuracy %.2f ± %.2f %% of 30", 100*report.Accuracy, 100*report.Stderr))
	got := classified(t, r.out)
	lines := bufio.NewScanner(f)
	for i := 0; lines.Scan(); i++ {
		var want labelSample
		check(t, json.Unmarshal(lines.Bytes(), &want))
		c := got[i]
		if c.Line != want.Line || *c.Label != want.Prediction || c.Target != want.Target {
			t.Errorf("%+v, want %+v", c, want)
		}
		odds := 0.0
		for label, s := range want.Scores {
			if math.Abs(c.Scores[label]-s) > 1e-5 {
				t.Errorf("line %d, label %s: %g, want %g", c.Line, label, c.Scores[label], s)
			}
			odds += math.Exp(s - want.Scores[want.Prediction])
		}
		if math.Abs(c.Score-1/odds) > 1e-5 {
			t.Errorf("line %d: probability %g, want %g", c.Line, c.Score, 1/odds)
		}
	}
	if len(got) != 30 {
		t.Errorf("%d lines, want 30", len(got))
	}
}

// TestClassifyForms gives the same texts in all forms, two of them blank.
func TestClassifyForms(t *testing.T) {
	texts := []string{"a joy from start to finish", " ", "dull and sad ", "kind, and \"happy\"", "", "it rained"}
	var lines, csv, jsonl strings.Builder
	tsv := "id\tsentence\n"
	csv.WriteString("sentence\n")
	for i, text := range texts {
		fmt.Fprintf(&lines, "%s\n", text)
		fmt.Fprintf(&csv, "\"%s\"\n", strings.ReplaceAll(text, `"`, `""`))
		check(t, json.NewEncoder(&jsonl).Encode(map[string]string{"sentence": text}))
		tsv += fmt.Sprintf("%d\t%s\n", i, text)
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, err := z.Write([]byte(lines.String()))
	check(t, err)
	check(t, z.Close())

	base := []string{"classify", "--model", distill.EmbeddedTeacher}
	var want strings.Builder
	for _, text := range texts {
		if strings.TrimSpace(text) == "" {
			want.WriteString("\n")
			continue
		}
		r := call(t, append(base, text)...)
		if r.want(t, exitDone); strings.Count(r.out, "\t") != 1 || r.errors != "" {
			t.Errorf("%q: %q, messages %q", text, r.out, r.errors)
		}
		want.WriteString(r.out)
	}
	for name, r := range map[string]result{
		"lines":        callIn(t, lines.String(), base...),
		"file":         call(t, append(base, "--data", write(t, "texts.txt", lines.String()))...),
		"packed":       call(t, append(base, "--data", write(t, "texts.txt.gz", packed.String()))...),
		"tsv":          call(t, append(base, "--data", write(t, "texts.tsv", tsv))...),
		"tsv on stdin": callIn(t, tsv, append(base, "--format", "tsv", "--rows", "1")...),
		"csv":          call(t, append(base, "--data", write(t, "texts", csv.String()), "--format", "csv")...),
		"jsonl":        callIn(t, jsonl.String(), append(base, "--format", "jsonl")...),
	} {
		if r.want(t, exitDone, "4 texts (and 2 blank rows)", "texts/s"); r.out != want.String() || strings.Contains(r.errors, "accuracy") {
			t.Errorf("%s:\n%s\nmessages %s\nwant\n%s", name, r.out, r.errors, want.String())
		}
	}
	got := classified(t, callIn(t, lines.String(), append(base, "--json")...).out)
	if len(got) != 6 || got[1].Label != nil || got[4].Label != nil || got[5].Label == nil || got[5].Line != 6 {
		t.Errorf("%+v", got)
	}
}

// A packed file knows its task, length and labels; --task gives it another.
func TestClassifyPacked(t *testing.T) {
	file, folder := packedFile(t)
	text := "the story was " + strings.Repeat("kind and happy ", 40)
	r := call(t, "classify", file, text, "--json")
	r.want(t, exitDone)
	of := call(t, "classify", folder, text, "--json")
	if of.want(t, exitDone); r.out != of.out {
		t.Errorf("%s, of the folder %s", r.out, of.out)
	}
	task := write(t, "mood.json", `{"name": "mood", "prompt": "{text} I am", "label_column": "mood", "labels": [{"value": "up", "answer": " happy"}, {"value": "down", "answer": " very sad"}]}`)
	r = callIn(t, "text\tmood\nit rained\tdown\n", "classify", file, "--task", task, "--format", "tsv", "--json")
	r.want(t, exitDone, "% of 1")
	if got := classified(t, r.out); len(got) != 1 || got[0].Target != "down" || len(got[0].Scores) != 2 || got[0].Scores["up"] >= 0 {
		t.Errorf("%s", r.out)
	}
}

// What cannot be classified is named, with its line.
func TestClassifyRefused(t *testing.T) {
	pair := write(t, "pair.json", `{"name": "pair", "prompt": "{a} {b} It was", "label_column": "l", "labels": [{"value": "0", "answer": " little"}, {"value": "1", "answer": " happy"}]}`)
	for name, c := range map[string]struct {
		stdin string
		args  []string
		words []string
	}{
		"no model":      {"a", nil, []string{"--model: missing"}},
		"missing file":  {"", []string{"--data", "nowhere.tsv"}, []string{"nowhere.tsv"}},
		"missing lines": {"", []string{"--data", "nowhere.txt"}, []string{"nowhere.txt"}},
		"empty stdin":   {"", []string{}, []string{"standard input", "empty"}},
		"empty table":   {"", []string{"--format", "tsv"}, []string{"standard input: the file is empty"}},
		"only header":   {"sentence\n", []string{"--format", "tsv"}, []string{"no rows below the header"}},
		"column":        {"text\nab\n", []string{"--format", "tsv"}, []string{"standard input: no column", `"sentence"`}},
		"label":         {"sentence\tlabel\na\t1\nb\t7\n", []string{"--format", "tsv"}, []string{"standard input:3", `"7"`, `"label"`}},
		"field":         {"{\"sentence\": \"a\"}\n{\"other\": 1}\n", []string{"--format", "jsonl"}, []string{"standard input:2", `"sentence"`}},
		"not UTF-8":     {"good\nb\xffd\n", []string{}, []string{"standard input:2", "UTF-8"}},
		"words":         {"", []string{"ab\xff"}, []string{"the text: byte 2 is not UTF-8"}},
		"blank":         {"", []string{"  "}, []string{"blank"}},
		"a file":        {"", []string{pair}, []string{"pair.json", "that is a file", "--data"}},
		"both":          {"", []string{"text", "--data", "a.tsv"}, []string{"--data"}},
		"format":        {"a", []string{"--format", "xml"}, []string{"--format", `"xml"`, "jsonl"}},
		"rows":          {"a", []string{"--rows", "0"}, []string{"--rows: 0"}},
		"length":        {"a", []string{"--max-length", "5000"}, []string{"--max-length: 5000", "512"}},
		"too short":     {"a", []string{"--max-length", "3"}, []string{"max_length 3 is too small"}},
		"two columns":   {"a", []string{"--task", pair}, []string{"pair", `"a", "b"`}},
		"generation":    {"a", []string{"--task", "completion"}, []string{"completion", "no labels"}},
		"unknown task":  {"a", []string{"--task", "nosuch"}, []string{"nosuch"}},
	} {
		t.Run(name, func(t *testing.T) {
			args := []string{"classify"}
			if name != "no model" {
				args = append(args, "--model", distill.EmbeddedTeacher)
			}
			callIn(t, c.stdin, append(args, c.args...)...).want(t, exitInput, c.words...)
		})
	}
	call(t, "classify", modelFolder(t), "a").want(t, exitInput, "--task: missing")
}
