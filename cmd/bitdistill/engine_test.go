package main

import (
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/bitdistill/bitdistill/distill"
)

// packedFile is a ternary model of the embedded task as one file, and the folder that it was made from.
func packedFile(t *testing.T) (file, folder string) {
	t.Helper()
	run := filepath.Join(t.TempDir(), "run")
	call(t, append(ownData(t, run), "--stage", "1")...).want(t, exitDone)
	folder, file = filepath.Join(run, "stage1"), filepath.Join(t.TempDir(), "student.gguf")
	call(t, "export", "--model", folder, "--to", "gguf", "--out", file, "--embeddings", "f32").want(t, exitDone)
	return file, folder
}

// near wants two numbers to be equal but for rounding.
func near(t *testing.T, what string, got, want float64) {
	t.Helper()
	if !(math.Abs(got-want) <= 1e-6*math.Abs(want)) {
		t.Errorf("%s: %.12g in the packed engine, %.12g in the graph", what, got, want)
	}
}

// TestEnginesAgree measures the same models in the graph and in the packed engine.
func TestEnginesAgree(t *testing.T) {
	file, folder := packedFile(t)
	for _, m := range []struct{ graph, packed string }{{distill.EmbeddedTeacher, distill.EmbeddedTeacher}, {folder, folder}, {folder, file}} {
		var graph, packed evalReport
		tail := []string{"--data", distill.Embedded, "--limit", "40", "--json"}
		r := call(t, append([]string{"eval", "--model", m.graph, "--backend", "go"}, tail...)...)
		r.want(t, exitDone)
		r.decode(t, &graph)
		r = call(t, append([]string{"eval", "--model", m.packed, "--engine", "packed", "--threads", "2"}, tail...)...)
		r.want(t, exitDone)
		r.decode(t, &packed)
		if packed.Engine != "packed" || packed.Backend == "" || packed.N != 40 || packed.Task != graph.Task || packed.Model != m.packed {
			t.Errorf("%+v", packed)
		}
		near(t, m.packed+": accuracy", packed.Accuracy, graph.Accuracy)

		var graphText, packedText perplexityReport
		tail = []string{"--data", distill.Embedded, "--length", "64", "--max-tokens", "512", "--stride", "40", "--json"}
		r = call(t, append([]string{"perplexity", "--model", m.graph, "--backend", "go"}, tail...)...)
		r.want(t, exitDone)
		r.decode(t, &graphText)
		r = call(t, append([]string{"perplexity", "--model", m.packed, "--engine", "packed"}, tail...)...)
		r.want(t, exitDone)
		r.decode(t, &packedText)
		if packedText.Tokens != graphText.Tokens || packedText.Tokens < 400 || packedText.Engine != "packed" || graphText.Engine != "graph" {
			t.Errorf("%+v, the graph %+v", packedText, graphText)
		}
		near(t, m.packed+": nats", packedText.NLL, graphText.NLL)
	}
}

// TestEnginesWriteAlike judges a generation in both engines.
func TestEnginesWriteAlike(t *testing.T) {
	dev, dir := write(t, "dev.jsonl", dialogues(7)), t.TempDir()
	reports := map[string]completionsReport{}
	for _, engine := range []string{engineGraph, enginePacked} {
		r := call(t, "eval", "--model", distill.Embedded, "--engine", engine, "--task", "completion", "--data", dev, "--max-length", "80", "--json",
			"--log-samples", filepath.Join(dir, engine), "--backend", "go")
		r.want(t, exitDone)
		var report completionsReport
		r.decode(t, &report)
		reports[engine] = report
	}
	graph, packed := reports[engineGraph], reports[enginePacked]
	near(t, "nats", packed.NLL, graph.NLL)
	if packed.Overlap != graph.Overlap || packed.Perplexity.Tokens != graph.Perplexity.Tokens || packed.Engine != enginePacked {
		t.Errorf("%+v, the graph %+v", packed, graph)
	}
	checkSame(t, filepath.Join(dir, enginePacked), filepath.Join(dir, engineGraph))
}

// TestEngineRefused says what cannot be opened, and what to do.
func TestEngineRefused(t *testing.T) {
	file, _ := packedFile(t)
	raw, err := os.ReadFile(file)
	check(t, err)
	cut := filepath.Join(t.TempDir(), "cut.gguf")
	check(t, os.WriteFile(cut, raw[:len(raw)-4096], 0o666))
	data := write(t, "dev.tsv", table(3))
	for name, c := range map[string]struct {
		args  []string
		words []string
	}{
		"graph of a packed file": {[]string{"eval", "--model", file, "--data", data}, []string{file, "--engine packed"}},
		"unknown engine":         {[]string{"eval", "--model", file, "--engine", "fast"}, []string{"--engine", `"fast"`, "packed"}},
		"missing":                {[]string{"eval", "--model", file + "x", "--engine", "packed"}, []string{file + "x", "no such folder or file"}},
		"truncated":              {[]string{"eval", "--model", cut, "--engine", "packed"}, []string{cut}},
		"threads":                {[]string{"eval", "--model", file, "--engine", "packed", "--threads", "-1"}, []string{"--threads: -1"}},
		"length":                 {[]string{"perplexity", "--model", file, "--engine", "packed", "--data", distill.Embedded, "--length", "100000"}, []string{"--length: 100000", "max_position_embeddings"}},
		"max length":             {[]string{"eval", "--model", file, "--engine", "packed", "--data", data, "--max-length", "100000"}, []string{"--max-length: 100000", "max_position_embeddings"}},
	} {
		t.Run(name, func(t *testing.T) { call(t, c.args...).want(t, exitInput, c.words...) })
	}
}
