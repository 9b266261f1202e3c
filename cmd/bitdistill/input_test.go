package main

import (
	"encoding/binary"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Damages of a model's folder, and what the message must name besides the file.
func TestBadModels(t *testing.T) {
	for name, c := range map[string]struct {
		damage func(t *testing.T, dir string)
		words  []string
	}{
		"no weights":   {func(t *testing.T, dir string) { check(t, os.Remove(filepath.Join(dir, "model.safetensors"))) }, []string{"no model.safetensors"}},
		"cut short":    {shorten, []string{"model.safetensors", "byte"}},
		"long header":  {longHeader, []string{"model.safetensors", "header length"}},
		"other shape":  {editConfig("intermediate_size", 100), []string{"model.safetensors", "model.layers.0.mlp.gate_proj.weight", "intermediate_size"}},
		"other type":   {editConfig("model_type", "mamba"), []string{"config.json", "model_type", "mamba"}},
		"beyond vocab": {editConfig("vocab_size", 500), []string{"tokenizer.json", "500", "vocab_size"}},
		"no folder":    {func(t *testing.T, dir string) { check(t, os.RemoveAll(dir)) }, []string{"config.json"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := modelFolder(t)
			c.damage(t, dir)
			out := filepath.Join(t.TempDir(), "out")
			args := append(ownData(t, out), "--model", dir)
			call(t, args...).want(t, exitInput, append(c.words, dir)...)
			call(t, append(args, "--dry-run")...).want(t, exitInput, c.words...)
			call(t, append(ownData(t, out), "--teacher", dir)...).want(t, exitInput, c.words...)
			call(t, "eval", "--model", dir, "--task", "sst2", "--data", write(t, "dev.tsv", table(3))).want(t, exitInput, c.words...)
			call(t, "perplexity", "--model", dir, "--data", write(t, "a.txt", story(3))).want(t, exitInput, c.words...)
			missing(t, out)
		})
	}
}

// Bad tables, tasks and texts, refused before a run folder is made.
func TestBadData(t *testing.T) {
	for name, c := range map[string]struct {
		flag, file, content string
		words               []string
	}{
		"empty task":     {"--task", "task.json", "", []string{"task.json", "empty"}},
		"task field":     {"--task", "task.json", `{"promt": "x"}`, []string{"task.json", "promt"}},
		"task faults":    {"--task", "task.json", `{"name": "x"}`, []string{"prompt: missing", "label_column: missing", "labels: 0"}},
		"empty train":    {"--train", "train.tsv", "", []string{"train.tsv", "empty"}},
		"only a header":  {"--dev", "dev.tsv", "sentence\tlabel\n", []string{"dev.tsv", "no rows"}},
		"unknown label":  {"--train", "train.tsv", table(4) + "a good one\tgreat\n", []string{"train.tsv:6", `"great"`, `"label"`}},
		"few columns":    {"--dev", "dev.tsv", table(2) + "only a sentence\n", []string{"dev.tsv:4", "1 columns"}},
		"no such column": {"--train", "train.tsv", "text\tlabel\nfine\t1\n", []string{"train.tsv", `"sentence"`}},
		"no such corpus": {"--corpus", "", "", []string{"no-such.txt"}},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "no-such.txt")
			if c.file != "" {
				path = write(t, c.file, c.content)
			}
			out := filepath.Join(t.TempDir(), "out")
			args := ownData(t, out)
			for i, a := range args { // a flag that is repeated would be added to for --corpus
				if a == c.flag {
					args[i+1] = path
				}
			}
			call(t, args...).want(t, exitInput, c.words...)
			missing(t, out)
		})
	}
}

// Rows without text are neither trained on nor judged, and it is said which they are.
func TestBlankRows(t *testing.T) {
	blank := strings.Replace(table(8), "the story number 3 was kind and happy", " ", 1)
	out := filepath.Join(t.TempDir(), "out")
	train, dev := write(t, "train.tsv", table(30)+"\t1\n"), write(t, "dev.tsv", blank)
	r := call(t, append(ownData(t, out), "--train", train, "--dev", dev, "--stage", "teacher")...)
	r.want(t, exitDone, "warning: "+train+": 1 blank rows left out, the first in line 32", "warning: "+dev+": 1 blank rows left out, the first in line 5",
		"training data: "+train+": 30 of 30 rows", "1 more are blank and left out")
	r = call(t, "eval", "--model", filepath.Join(out, "teacher"), "--backend", "go", "--json")
	r.want(t, exitDone, "warning: "+dev+": 1 blank rows left out, the first in line 5")
	var report evalReport
	r.decode(t, &report)
	if report.N != 7 {
		t.Errorf("%+v, want 7 of 8 rows", report)
	}
	call(t, "eval", "--model", modelFolder(t), "--task", "sst2", "--data", write(t, "dev.tsv", "sentence\tlabel\n \t1\n")).
		want(t, exitInput, "dev.tsv:2: the text is empty, here and in all other rows")
}

// Settings: three faults are three lines; and everything that cannot be meant is refused.
func TestBadSettings(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	three := write(t, "three.json", `{"backend": "tpu", "stage2": {"batch_size": 0}, "loss": {"lambda": -1}}`)
	r := call(t, "run", "--config", three, "--out", out)
	r.want(t, exitInput, "three.json: 3 faults", "backend: \"tpu\"", "stage2.batch_size: 0", "loss.lambda: -1")
	if lines := strings.Count(r.errors, "\n"); lines != 4 {
		t.Errorf("%d lines, want a heading and one for each fault:\n%s", lines, r.errors)
	}
	for name, c := range map[string]struct {
		args  []string
		words []string
	}{
		"unknown field":     {[]string{"--config", write(t, "f.json", `{"stage9": {}}`)}, []string{"f.json", "stage9"}},
		"wrong type":        {[]string{"--config", write(t, "f.json", "{\n\"seed\": \"x\"}")}, []string{"f.json", "seed"}},
		"no such file":      {[]string{"--config", "no-such.json"}, []string{"no-such.json"}},
		"unknown preset":    {[]string{"--preset", "large"}, []string{"large", "classification"}},
		"unknown key":       {[]string{"--set", "stage2.stepz=1"}, []string{"stage2.stepz", "no such setting"}},
		"no value":          {[]string{"--set", "seed"}, []string{"key=value"}},
		"preset by --set":   {[]string{"--set", "preset=seed"}, []string{"--preset"}},
		"unknown stage":     {[]string{"--stage", "4"}, []string{"--stage", "baseline"}},
		"unknown backend":   {[]string{"--backend", "tpu"}, []string{"backend", "tpu", "xla:cpu"}},
		"stage without run": {[]string{"--stage", "3"}, []string{"holds no run", "stage 2"}},
		"nothing to resume": {[]string{"--resume"}, []string{"resumed"}},
		"too long":          {[]string{"--set", "task.max_length=5000"}, []string{"task.max_length", "max_position_embeddings"}},
		"no such layer":     {[]string{"--set", "loss.layer=9"}, []string{"loss.layer"}},
		"impossible split":  {[]string{"--set", "loss.relations.split_heads=7"}, []string{"loss.relations.split_heads"}},
		"number":            {[]string{"--seed", "-1"}, []string{"--seed"}},
		"flag":              {[]string{"--modle", "x"}, []string{"did you mean --model?"}},
		"word":              {[]string{"quickly"}, []string{"quickly"}},
		"half own data":     {[]string{"--model", "x", "--dev", "y"}, []string{"--train, --corpus missing"}},
		"own corpus alone":  {[]string{"--preset", "embedded", "--corpus", "x.txt"}, []string{"--model, --task, --train, --dev missing"}},
		"own model by set":  {[]string{"--set", "model=x"}, []string{"--train, --dev, --corpus missing"}},
		"preset without":    {[]string{"--preset", "balanced"}, []string{"--model, --train, --dev, --corpus missing"}},
	} {
		t.Run(name, func(t *testing.T) {
			call(t, append([]string{"run", "--out", out}, c.args...)...).want(t, exitInput, c.words...)
			missing(t, out)
		})
	}
}

// Words and flags of the other commands.
func TestBadUsage(t *testing.T) {
	for _, c := range []struct {
		args  string
		words []string
	}{
		{"runn", []string{`"runn"`, "did you mean run?"}},
		{"eval", []string{"--model"}},
		{"eval --model embedded --engine fast", []string{"--engine", "\"fast\"", "graph and packed are"}},
		{"eval --model embedded --engine gpu", []string{"gpu"}},
		{"eval --model embedded --max-length 5000", []string{"--max-length", "512"}},
		{"eval --model embedded --limit -1", []string{"--limit"}},
		{"eval --model embedded --task nosuch", []string{"nosuch", "sst2"}},
		{"eval --model embedded --backend tpu", []string{"tpu"}},
		{"perplexity --model embedded", []string{"--data"}},
		{"perplexity --model embedded --data nosuch.txt", []string{"nosuch.txt"}},
		{"perplexity --model embedded --data embedded --length 600", []string{"--length", "512"}},
		{"perplexity --model embedded --data embedded --length 64 --stride 65", []string{"--stride", "64"}},
		{"export", []string{"--model"}},
		{"export --model RUN", []string{"--to", "gguf"}},
		{"export --model RUN --to onnx", []string{"--to", `"onnx"`, "gguf is"}},
		{"export --model RUN --to gguf", []string{"--out"}},
		{"export --model RUN --to gguf --out x.gguf --embeddings int8", []string{"--embeddings", `"int8"`, "f32, f16, q8_0, q4_0"}},
		{"export --model nosuch --to gguf --out x.gguf", []string{"nosuch", "no such folder"}},
		{"export --model embedded --to gguf --out x.gguf", []string{"full precision"}},
		{"doctor --verbose", []string{"--verbose"}},
		{"version 2", []string{"2"}},
		{"completion tcsh", []string{"tcsh"}},
		{"help runn", []string{"did you mean run?"}},
	} {
		t.Run(c.args, func(t *testing.T) { call(t, strings.Fields(c.args)...).want(t, exitInput, c.words...) })
	}
	dir := modelFolder(t)
	call(t, "eval", "--model", dir).want(t, exitInput, "--task", "sst2")
	call(t, "eval", "--model", dir, "--task", "sst2").want(t, exitInput, "--data")
}

// A folder that holds something, or a run, is not written to.
func TestOutExists(t *testing.T) {
	file := write(t, "letter.txt", "keep me")
	call(t, append(ownData(t, filepath.Dir(file)), "--stage", "1")...).want(t, exitInput, filepath.Dir(file), "not empty")
	call(t, append(ownData(t, file), "--stage", "1")...).want(t, exitInput, file)
	if names, _ := os.ReadDir(filepath.Dir(file)); len(names) != 1 {
		t.Errorf("something was written: %v", names)
	}
	model := modelFolder(t)
	call(t, append(ownData(t, model), "--stage", "1")...).want(t, exitInput, model)
}

// Every command explains itself.
func TestHelp(t *testing.T) {
	for _, command := range []string{"", "run", "eval", "perplexity", "export", "doctor", "version"} {
		r := call(t, append(strings.Fields(command), "--help")...)
		if r.code != exitDone || !strings.Contains(r.out, "Examples:\n  bitdistill ") {
			t.Errorf("%s --help: code %d:\n%s", command, r.code, r.out)
		}
	}
	if r := call(t, "completion", "bash"); r.code != exitDone || !strings.Contains(r.out, "bitdistill") {
		t.Errorf("completion: %+v", r)
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// missing checks that a refused run has made nothing.
func missing(t *testing.T, path string) {
	t.Helper()
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("%s was made: %v", path, err)
	}
}

func shorten(t *testing.T, dir string) {
	path := filepath.Join(dir, "model.safetensors")
	info, err := os.Stat(path)
	check(t, err)
	check(t, os.Truncate(path, info.Size()/2))
}

func longHeader(t *testing.T, dir string) {
	path := filepath.Join(dir, "model.safetensors")
	raw, err := os.ReadFile(path)
	check(t, err)
	binary.LittleEndian.PutUint64(raw, uint64(len(raw)))
	check(t, os.WriteFile(path, raw, 0o666))
}

func editConfig(key string, value any) func(t *testing.T, dir string) {
	return func(t *testing.T, dir string) {
		path := filepath.Join(dir, "config.json")
		raw, err := os.ReadFile(path)
		check(t, err)
		var config map[string]any
		check(t, json.Unmarshal(raw, &config))
		config[key] = value
		raw, err = json.Marshal(config)
		check(t, err)
		check(t, os.WriteFile(path, raw, 0o666))
	}
}
