package report

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/bitdistill/bitdistill/bitnet/hf"
	"github.com/bitdistill/bitdistill/distill"
	"github.com/gomlx/gomlx/core/tensors"
)

// The page has what the files of the run say, read here by other means.
func TestReportOfARun(t *testing.T) {
	dir := run(t)
	root, page := pageOfRun(t, dir)
	var results struct {
		Rows []struct {
			Name                      string
			Accuracy, Stderr, Seconds float64
			Linear_bytes              float64
		}
		Stage2      struct{ Perplexity_before, Perplexity_after float64 }
		Environment struct{ Go string }
	}
	raw, err := os.ReadFile(filepath.Join(dir, "results.json"))
	check(t, err)
	check(t, json.Unmarshal(raw, &results))
	for _, want := range results.Rows {
		got := rowOf(t, root, want.Name)
		if accuracy := fmt.Sprintf("%.2f ± %.2f", 100*want.Accuracy, 100*want.Stderr); got[1] != accuracy {
			t.Errorf("%q, want accuracy %s", got, accuracy)
		}
		if size := want.Linear_bytes / 1000; want.Name != distill.FullLabel && got[2] != fmt.Sprintf("%.1f kB (1/%.1f)", size, results.Rows[0].Linear_bytes/want.Linear_bytes) {
			t.Errorf("%q, want linears of %g kB and the full-precision model's compared with it", got, size)
		}
	}
	if !strings.Contains(page, fmt.Sprintf(">%.4g<", results.Stage2.Perplexity_after)) || rowOf(t, root, "Go")[1] != results.Environment.Go {
		t.Errorf("perplexity %v or %s is not on the page", results.Stage2, results.Environment.Go)
	}
	if got := rowOf(t, root, "stage3.steps"); got[2] != "3" {
		t.Errorf("stage3.steps differs from the preset, and is shown as %q", got)
	}
	if got := rowOf(t, root, "Stage-3"); got[1] != "3 of 3" {
		t.Errorf("Stage-3: %q, want 3 of 3 steps", got)
	}
	wantChart(t, root, "Accuracy on held-out data", "Training speed", "Memory of the linears", "Loss of FP16-SFT", "Loss of BitNet-SFT", "Loss of Stage-2", "Loss of Stage-3",
		"Weighted shares", "selection split", "Learning rate", "gradient", "Ternary weights: layers.0.self_attn.q_proj", "Scale and sparsity", "Latent weights over training",
		"Flips", "Activations as int8", "Relations of layer")
	for _, text := range []string{"Content-Security-Policy", "All settings", "held-out rows)", "the sun was out", "On 18 held-out examples"} {
		if !strings.Contains(page, text) {
			t.Errorf("%q is not on the page", text)
		}
	}
	for n := range root.Descendants() {
		for _, a := range n.Attr {
			if a.Key == "src" || a.Key == "href" && !strings.HasPrefix(a.Val, "#") {
				t.Errorf("<%s %s=%q>: the page must hold all it needs", n.Data, a.Key, a.Val)
			}
		}
	}
}

// Scales and codes of the weights, by the formula on the values of the file.
func TestWeightsByTheFormula(t *testing.T) {
	dir := run(t)
	r, err := Read(dir)
	check(t, err)
	f, err := r.examine(context.Background())
	check(t, err)
	m, err := hf.Load(filepath.Join(dir, distill.StudentDir))
	check(t, err)
	if len(f.weights) != 7*m.Config.Layers {
		t.Fatalf("%d linears, want 7 in each of %d layers", len(f.weights), m.Config.Layers)
	}
	for _, linear := range f.weights {
		value, err := m.Store.GetVariable("/" + strings.ReplaceAll("model."+linear.Name+".weight", ".", "/")).Value()
		check(t, err)
		weights := tensors.MustCopyFlatData[float32](value)
		sum, codes := 0.0, [3]int{}
		for _, w := range weights {
			sum += math.Abs(float64(w))
		}
		scale := sum / float64(len(weights))
		for _, w := range weights {
			switch {
			case float64(w) > scale/2:
				codes[2]++
			case float64(w) < -scale/2:
				codes[0]++
			default:
				codes[1]++
			}
		}
		off := 0
		for i := range codes {
			off += max(codes[i]-linear.Codes[i], linear.Codes[i]-codes[i])
		}
		if math.Abs(linear.Scale-scale) > 1e-6*scale || off > 2 { // the scale is a float32 there
			t.Errorf("%s: scale %g and codes %v, want %g and %v", linear.Name, linear.Scale, linear.Codes, scale, codes)
		}
	}
}

// The last scores shown are those of the accuracy that the run itself measured: all 18 held-out rows are judged.
func TestSamplesAgreeWithResults(t *testing.T) {
	r, err := Read(run(t))
	check(t, err)
	f, err := r.examine(context.Background())
	check(t, err)
	if len(f.judged) != 3 || f.examples.Len() != 18 {
		t.Fatalf("%d models on %v examples", len(f.judged), f.examples)
	}
	for i, m := range f.judged {
		if row := r.Results.Rows[i]; m.name != row.Name || m.accuracy.Accuracy != row.Accuracy {
			t.Errorf("%s has accuracy %g, but the run says %s %g", m.name, m.accuracy.Accuracy, row.Name, row.Accuracy)
		}
	}
	n := 0
	for _, k := range f.kinds() {
		n += len(k.rows)
	}
	if n != 18 {
		t.Errorf("%d of 18 rows are right or wrong", n)
	}
}

var hostile = []string{
	`<img src=x onerror=alert(1)>`, `</script><script>alert(1)</script>`, `"><svg onload=alert(1)>`, `' onmouseover='alert(1)`, `<!--<script>`,
	`]]></title></style></pre></div></table><b>`, "\u2028`${alert(1)}`\\", `{a|x}{b}{{.}}`, "\x01\u00ff",
}

// Whatever a run folder, its path and its data say, the page has the same elements.
func TestHostileTextAddsNoElement(t *testing.T) {
	page := func(label string) map[string]int {
		dir := filepath.Join(t.TempDir(), strings.ReplaceAll(label, "/", "÷")+"run")
		check(t, os.Rename(run(t), dir))
		infect(t, dir, label)
		root, text := pageOfRun(t, dir)
		if prompt := template.HTMLEscapeString(label) + " a fine film"; !strings.Contains(text, "held-out rows)") || len(label) < 50 && !strings.Contains(text, prompt) {
			t.Fatalf("the page has no samples, or not %q", prompt)
		}
		count := census(t, root)
		other, _ := pageOfRun(t, dir, dir)
		for name, n := range census(t, other) {
			count[name] += n
		}
		return count
	}
	want := page("x")
	if want["figure"] < 30 || want["table"] < 8 {
		t.Fatalf("the pages are not whole: %v", want)
	}
	for _, h := range []string{strings.Join(hostile, ""), hostile[1], hostile[4]} { // the text before may make another harmless
		got := page(h)
		for name := range want {
			if got[name] != want[name] {
				t.Errorf("%q: %d <%s>, want %d", h, got[name], name, want[name])
			}
		}
		if len(got) != len(want) {
			t.Errorf("%q: elements %v, want %v", h, got, want)
		}
	}
}

// infect puts a label wherever the files of a run have a text that is not looked up.
func infect(t *testing.T, dir, label string) {
	dev, task := filepath.Join(dir, "dev"+strings.ReplaceAll(label, "/", "÷")+".tsv"), filepath.Join(dir, "task.json")
	check(t, os.WriteFile(dev, fmt.Appendf(nil, "sentence\tlabel\n%s a fine film\t1\n%s dull\t0\n", label, label), 0o666))
	raw, err := json.Marshal(map[string]any{"name": label, "prompt": "{sentence} It was", "label_column": "label",
		"labels": []map[string]string{{"value": "0", "answer": " bad" + label}, {"value": "1", "answer": " good" + label}}})
	check(t, err)
	check(t, os.WriteFile(task, raw, 0o666))
	edit(t, filepath.Join(dir, "config.json"), func(c map[string]any) {
		c["model"] = label
		c["preset"] = "embedded"
		c["task"].(map[string]any)["dev"] = dev
		c["task"].(map[string]any)["name"] = task
		c["task"].(map[string]any)["max_length"] = 256
	})
	edit(t, filepath.Join(dir, "results.json"), func(r map[string]any) {
		for _, row := range r["rows"].([]any) {
			o := row.(map[string]any)
			o["name"] = label + o["name"].(string)
		}
		e := r["environment"].(map[string]any)
		for _, key := range []string{"version", "go", "os", "arch", "backend"} {
			e[key] = label
		}
		e["modules"] = map[string]string{label: label}
	})
	path := filepath.Join(dir, "metrics.jsonl")
	lines, err := os.ReadFile(path)
	check(t, err)
	quoted, err := json.Marshal(label)
	check(t, err)
	inner := string(quoted[1 : len(quoted)-1])
	text := strings.NewReplacer(`"FP16-SFT"`, `"`+inner+`FP16"`, `"name":"model.`, `"name":"`+inner+`model.`).Replace(string(lines))
	check(t, os.WriteFile(path, []byte(text), 0o666))
}

// What a generation's models wrote stands in the table of samples as text, and beside a classification it has a table of its own.
func TestWritten(t *testing.T) {
	accurate, dir := run(t), run(t)
	edit(t, filepath.Join(dir, "results.json"), func(r map[string]any) {
		for i, row := range r["rows"].([]any) {
			o := row.(map[string]any)
			o["perplexity"], o["n"] = 4.5, 18
			if i < 2 { // the third is of a version without
				o["bleu"], o["rouge1"], o["rouge2"], o["rougeL"], o["rougeLsum"], o["generated"] = 12.345, 0.5, 0.25, 0.125, 0.0625, 7
			}
		}
	})
	var lines []byte
	for i := range shownRows + 1 {
		raw, err := json.Marshal(distill.Sample{Line: i + 1, Prompt: hostile[1], Reference: "it & all", Outputs: map[string]string{distill.FullLabel: hostile[4], distill.StudentLabel: "a"}})
		check(t, err)
		lines = append(append(lines, raw...), '\n')
	}
	check(t, os.WriteFile(filepath.Join(dir, "samples.jsonl"), lines, 0o666))
	root, page := pageOfRun(t, dir)
	if got := rowOf(t, root, "4"); !slices.Equal(got, []string{"4", hostile[1], "it & all", hostile[4], "a"}) || strings.Contains(page, "<b>") {
		t.Errorf("sample %q", got)
	}
	for _, r := range rows(root) {
		if r[0] == "5" {
			t.Errorf("more than %d samples: %q", shownRows, r)
		}
	}
	if got := rowOf(t, root, distill.FullLabel); !slices.Equal(got[1:7], []string{"4.500", "12.35", "50.00", "25.00", "12.50", "6.25"}) {
		t.Errorf("results %q", got)
	}
	if got := rowOf(t, root, distill.StudentLabel); !slices.Equal(got[1:4], []string{"4.500", "–", "–"}) || !strings.Contains(page, "behind 7 of the prompts") {
		t.Errorf("results %q", got)
	}
	both, _ := pageOfRun(t, accurate, dir)
	widths := map[int]int{}
	for _, r := range rows(both) {
		if len(r) > 1 && r[1] == distill.FullLabel {
			widths[len(r)]++
		}
	}
	if widths[7] != 1 || widths[12] != 1 {
		t.Errorf("rows of %s by their number of cells: %v, want one of 7 and one of 12", distill.FullLabel, widths)
	}
}

// A run that has not come far gives a page of what there is.
func TestUnfinishedRuns(t *testing.T) {
	for _, c := range []struct {
		name   string
		remove []string
		charts []string
		text   string
	}{
		{"just begun", []string{"results.json", "metrics.jsonl", "teacher", "fp16-sft", "bitnet-sft", "stage1", "stage2", "student"}, nil, "No training step is logged yet"},
		{"in the first training", []string{"results.json", "fp16-sft", "bitnet-sft", "stage1", "stage2", "student"}, []string{"Loss of FP16-SFT", "at the last count"}, "finished: teacher"},
		{"in stage 3", []string{"results.json", "student"}, []string{"Relations", "Ternary weights"}, "not evaluated yet"},
		{"evaluated without a student", []string{"student"}, []string{"Accuracy on held-out data"}, "finished: teacher"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := run(t)
			for _, name := range c.remove {
				check(t, os.RemoveAll(filepath.Join(dir, name)))
			}
			if slices.Contains(c.remove, "metrics.jsonl") {
				check(t, os.WriteFile(filepath.Join(dir, "metrics.jsonl"), []byte(`{"stage":"Teacher","st`), 0o666))
			}
			root, page := pageOfRun(t, dir)
			wantChart(t, root, c.charts...)
			if !strings.Contains(page, c.text) {
				t.Errorf("%q is not on the page", c.text)
			}
			if strings.Contains(strings.Join(c.remove, " "), "results.json student") && !strings.Contains(page, "before") {
				t.Error("the perplexity of stage 2 is not on the page")
			}
			pageOfRun(t, dir, dir)
		})
	}
}

func TestHeldOutDataAreGone(t *testing.T) {
	dir := run(t)
	edit(t, filepath.Join(dir, "config.json"), func(c map[string]any) { c["task"].(map[string]any)["dev"] = "nowhere.tsv" })
	root, page := pageOfRun(t, dir)
	wantChart(t, root, "Ternary weights")
	if !strings.Contains(page, "nowhere.tsv: no such file") {
		t.Error("the page does not say that nowhere.tsv is missing")
	}
}

func TestDamagedRuns(t *testing.T) {
	truncate := func(name string) func(dir string) error {
		return func(dir string) error {
			info, err := os.Stat(filepath.Join(dir, name))
			if err != nil {
				return err
			}
			return os.Truncate(filepath.Join(dir, name), info.Size()/2)
		}
	}
	remove := func(name string) func(dir string) error {
		return func(dir string) error { return os.Remove(filepath.Join(dir, name)) }
	}
	content := func(name, text string) func(dir string) error {
		return func(dir string) error { return os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666) }
	}
	for name, c := range map[string]struct {
		damage func(dir string) error
		word   string
	}{
		"no run":             {os.RemoveAll, "config.json"},
		"no config":          {remove("config.json"), "config.json"},
		"half a config":      {truncate("config.json"), "config.json"},
		"wrong config":       {content("config.json", `{"seed":1}`), "config.json"},
		"no metrics":         {remove("metrics.jsonl"), "metrics.jsonl"},
		"damaged metrics":    {content("metrics.jsonl", "{\"stage\":\"A\",\"step\":1,\"steps\":2}\n{oh}\n"), "metrics.jsonl:2"},
		"half the results":   {truncate("results.json"), "results.json"},
		"other results":      {content("results.json", `{"rows":5}`), "results.json"},
		"half a student":     {truncate("student/model.safetensors"), "student/model.safetensors"},
		"half a teacher":     {truncate("teacher/model.safetensors"), "teacher/model.safetensors"},
		"student unwhole":    {remove("student/manifest.json"), "student"},
		"half the samples":   {content("samples.jsonl", "{\"line\":1}\n{\"line\":2,"), "samples.jsonl: sample 2"},
		"no stage 2 summary": {remove("stage2/training.json"), "stage2/training.json"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := run(t)
			check(t, c.damage(dir))
			out := filepath.Join(t.TempDir(), FileName)
			err := Write(context.Background(), out, dir)
			if err == nil || !errors.Is(err, distill.ErrInput) || !strings.Contains(err.Error(), c.word) || !strings.Contains(err.Error(), dir) {
				t.Errorf("error %v, want one of input that names %s in %s", err, c.word, dir)
			}
			if exists(out) {
				t.Error("a page was written")
			}
		})
	}
}

func TestOnlyReportsAreReplaced(t *testing.T) {
	dir := run(t)
	own := filepath.Join(dir, FileName)
	check(t, Write(context.Background(), own, dir))
	check(t, Write(context.Background(), own, dir, dir)) // in place of the other
	for name, path := range map[string]string{"another file": filepath.Join(dir, "config.json"), "a folder": dir, "in no folder": filepath.Join(dir, "no", "where.html")} {
		before, _ := os.ReadFile(path)
		err := Write(context.Background(), path, dir)
		if !errors.Is(err, distill.ErrInput) || !strings.Contains(err.Error(), dir) {
			t.Errorf("%s: error %v, want one of input", name, err)
		}
		if after, _ := os.ReadFile(path); string(after) != string(before) {
			t.Errorf("%s was changed", name)
		}
	}
}

func TestCancelled(t *testing.T) {
	ctx, stop := context.WithCancel(context.Background())
	stop()
	dir := run(t)
	if err := Write(ctx, filepath.Join(dir, FileName), dir); !errors.Is(err, context.Canceled) || exists(filepath.Join(dir, FileName)) {
		t.Errorf("error %v, want the context's and no page", err)
	}
}

func TestCompare(t *testing.T) {
	a, b := run(t), run(t) // of one base name
	edit(t, filepath.Join(b, "config.json"), func(c map[string]any) { c["stage3"].(map[string]any)["learning_rate"] = 0.125 })
	edit(t, filepath.Join(b, "results.json"), func(r map[string]any) { r["rows"].([]any)[2].(map[string]any)["accuracy"] = 0.625 })
	root, _ := pageOfRun(t, a, b)
	wantChart(t, root, "Accuracy of BitDistill, compared with the first run", "Accuracy of BitNet-SFT", "Loss of Stage-2", "Cross entropy of Stage-3")
	settings := 0
	for _, r := range rows(root) {
		if r[0] == "stage3.learning_rate" {
			settings++
			if r[1] == "0.125" || r[2] != "0.125" {
				t.Errorf("row %q, want 0.125 of the second run", r)
			}
		}
		if r[0] == b && r[1] == distill.StudentLabel && !strings.HasPrefix(r[2], "62.50 ± ") {
			t.Errorf("row %q, want accuracy 62.50", r)
		}
	}
	if settings != 1 || rowOf(t, root, "setting")[2] != b {
		t.Errorf("%d rows on the learning rate", settings)
	}
	if settings := rowOf(t, root, "setting"); len(settings) != 3 {
		t.Errorf("columns %q", settings)
	}
}
