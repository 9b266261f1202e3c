package distill

import (
	"encoding/json"
	"errors"
	"io/fs"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/bitdistill/bitdistill/distill/loss"
)

func preset(t testing.TB, name string) Config {
	t.Helper()
	c, err := Preset(name)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// faultsOf are the lines of an error.
func faultsOf(err error) []string {
	if err == nil {
		return nil
	}
	return strings.Split(err.Error(), "\n")
}

// Presets are valid, but for the model and the files that only the user knows.
func TestPresets(t *testing.T) {
	names, about := Presets()
	if len(names) != len(about) || !slices.Contains(names, DefaultPreset) {
		t.Fatalf("presets %q, %q", names, about)
	}
	for _, name := range names {
		c := preset(t, name)
		if c.Preset != name {
			t.Errorf("preset %s says it is %q", name, c.Preset)
		}
		if strings.HasPrefix(name, "embedded") {
			if err := c.Validate(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		for i, field := range []string{"model: missing", "task.train: missing", "task.dev: missing", "corpus.files: none"} {
			faults := faultsOf(c.Validate())
			if len(faults) != 4 || !strings.HasPrefix(faults[i], field) {
				t.Errorf("%s: faults %q, want %d to be %q", name, faults, i, field)
			}
		}
		if err := c.Set("model=m", "task.train=t.tsv", "task.dev=d.tsv", "corpus.files=[\"c.txt\"]"); err != nil {
			t.Fatal(err)
		}
		if err := c.Validate(); err != nil {
			t.Errorf("%s with a model and files: %v", name, err)
		}
	}
	_, err := Preset("clasification")
	wantError(t, err, `"clasification"`, "classification")
}

// The loss weights of the presets, with the normalisations they belong to.
func TestPresetWeights(t *testing.T) {
	for _, c := range []struct {
		name          string
		lambda, gamma float64
		normalisation loss.Normalisation
		variant       loss.Variant
	}{
		{"classification", 10, 1e5, loss.Reference, loss.L2},
		{"summarization", 1, 1e3, loss.Reference, loss.L2},
		{"seed", 10, 1e-5, loss.Algorithm1, loss.Dot},
	} {
		l := preset(t, c.name).Loss
		if l.Lambda != c.lambda || l.Gamma != c.gamma || l.Relations.Normalisation != c.normalisation || l.Relations.Variant != c.variant || l.Logits.Tau != 5 {
			t.Errorf("%s: %+v", c.name, l)
		}
	}
}

// Fields are changed by their names, at any depth, whatever their type; what is wrong changes nothing.
func TestSet(t *testing.T) {
	c := preset(t, "embedded")
	want := preset(t, "embedded")
	want.Seed, want.Model, want.Task.Dev, want.Corpus.Files = 18446744073709551615, "/models/a b", "true", []string{"a.txt", "b/*.gz"}
	want.Stage2.Steps, want.Stage2.Tokens, want.Stage3.DecayEmbeddings = 0, 2_500_000, true
	want.Loss.Relations.Alpha, want.Loss.Layer, want.Loss.Gamma, want.Student.SubLN = [3]float64{1, 0.5, 0}, -2, 1e5, "all"
	err := c.Set("seed=18446744073709551615", "model=/models/a b", "task.dev=true", `corpus.files=["a.txt","b/*.gz"]`, "stage2.steps=0", "stage2.tokens=2.5M",
		"stage3.decay_embeddings=true", "loss.relations.alpha=[1,0.5,0]", " loss.layer = -2 ", "loss.gamma=1e5", `student.subln="all"`)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
	for override, words := range map[string][]string{
		"seed":                           {"--set seed", "key=value"},
		"sed=3":                          {"--set sed=3", "no such setting", "sed"},
		"loss.relations.aplha=[1,1,1]":   {"no such setting", "aplha"},
		"loss.gamma.x=1":                 {"--set loss.gamma.x=1"},
		"seed=-1":                        {"seed"},
		"seed=abc":                       {"seed"},
		"stage2.tokens=2X":               {"2X", "500K"},
		"stage3.decay_embeddings=maybe":  {"decay_embeddings"},
		"corpus.files=a.txt":             {"files"},
		"loss.gamma=":                    {"gamma"},
		"stage2":                         {"key=value"},
		`stage2={"steps":3,"stpes":4}`:   {"stpes"},
		`seed=1}{"seed":2`:               {"seed"},
		"loss.relations.alpha=[1,\"x\"]": {"alpha"},
	} {
		wantError(t, c.Set(override), words...)
		if !reflect.DeepEqual(c, want) {
			t.Fatalf("--set %s failed and changed the config", override)
		}
	}
	if err := c.Set(`stage2={"steps":3,"tokens":0}`); err != nil || c.Stage2.Steps != 3 || c.Stage2.BatchSize != want.Stage2.BatchSize {
		t.Errorf("an object: %v, %+v", err, c.Stage2)
	}
}

// Validate reports all faults at once, each under the name its field has in the file.
func TestValidate(t *testing.T) {
	c := preset(t, "embedded")
	if err := c.Set("loss.relations.temperature=0", "stage2.batch_size=0", "task.overlong=cut"); err != nil {
		t.Fatal(err)
	}
	faults := faultsOf(c.Validate())
	if len(faults) != 3 {
		t.Errorf("three faults: %q", faults)
	}
	for i, name := range []string{"task.overlong: ", "stage2.batch_size: ", "loss.relations.temperature: "} {
		if i < len(faults) && !strings.HasPrefix(faults[i], name) {
			t.Errorf("fault %q, want one of %s", faults[i], name)
		}
	}
	for override, name := range map[string]string{
		"backend=tpu":                             "backend",
		"model=":                                  "model",
		"task.name=":                              "task.name",
		"task.max_length=1":                       "task.max_length",
		"task.length_buckets=-1":                  "task.length_buckets",
		"task.selection_rows=-1":                  "task.selection_rows",
		"corpus.files=[]":                         "corpus.files",
		"corpus.length=1":                         "corpus.length",
		"corpus.report_windows=0":                 "corpus.report_windows",
		"corpus.selection_windows=-1":             "corpus.selection_windows",
		"student.weights=none":                    "student.weights",
		"student.weights=int4":                    "student.weights",
		"student.subln=input":                     "student.subln",
		"student.subln_eps=0":                     "student.subln_eps",
		"fine_tune.tokens=2M":                     "fine_tune.tokens",
		"fine_tune.steps=0":                       "fine_tune.steps, epochs, tokens",
		"bitnet_sft.steps=0":                      "bitnet_sft.steps, epochs, tokens",
		"stage3.steps=-1":                         "stage3.steps, epochs, tokens",
		"stage3.micro_batches=5":                  "stage3.micro_batches",
		"stage3.micro_batches=-1":                 "stage3.micro_batches",
		"stage3.learning_rate=0":                  "stage3.learning_rate",
		"stage3.schedule=step":                    "stage3.schedule",
		"stage3.warmup=1.5":                       "stage3.warmup",
		"stage3.weight_decay=-0.1":                "stage3.weight_decay",
		"stage3.beta1=1":                          "stage3.beta1",
		"stage3.beta2=-1":                         "stage3.beta2",
		"stage3.epsilon=0":                        "stage3.epsilon",
		"stage3.clip_norm=0":                      "stage3.clip_norm",
		"stage3.eval_every=-1":                    "stage3.eval_every",
		"stage3.patience=2":                       "stage3.patience",
		"loss.lambda=-1":                          "loss.lambda",
		"loss.gamma=-1":                           "loss.gamma",
		"loss.logits.tau=0":                       "loss.logits.tau",
		"loss.positions=some":                     "loss.positions",
		"loss.relations.split_heads=-1":           "loss.relations.split_heads",
		"loss.relations.variant=l1":               "loss.relations.variant",
		"loss.relations.normalisation=reference2": "loss.relations.normalisation",
		"loss.relations.alpha=[0,0,0]":            "loss.relations.alpha",
		"eval_batch_size=0":                       "eval_batch_size",
		"log_every=0":                             "log_every",
		"ternary_every=-1":                        "ternary_every",
		"checkpoint_every=-1":                     "checkpoint_every",
	} {
		c := preset(t, "embedded")
		if err := c.Set(override); err != nil {
			t.Fatal(err)
		}
		faults := faultsOf(c.Validate())
		if len(faults) == 0 || !strings.HasPrefix(faults[0], name+": ") {
			t.Errorf("%s: faults %q", override, faults)
		}
	}
}

// A config comes back from its file as it was, from every preset.
func TestConfigFile(t *testing.T) {
	names, _ := Presets()
	for _, name := range names {
		c := preset(t, name)
		path := filepath.Join(t.TempDir(), configFile)
		if err := writeJSON(path, c); err != nil {
			t.Fatal(err)
		}
		back, err := ReadConfig(path, preset(t, DefaultPreset))
		if err != nil {
			t.Fatal(err)
		}
		if len(c.Corpus.Files) == 0 {
			c.Corpus.Files, back.Corpus.Files = nil, nil // null and nothing are one
		}
		if name != "embedded" && name != "embedded-long" && back.Model != "" {
			t.Errorf("%s: the model is %q, from another preset", name, back.Model)
		}
		if !reflect.DeepEqual(back, c) {
			t.Errorf("%s: wrote %+v\nread %+v", name, c, back)
		}
	}
	// What a file leaves out comes from the preset that it names.
	c, err := ReadConfig(writeFile(t, `{"preset": "summarization", "stage2": {"tokens": "3K"}}`), preset(t, DefaultPreset))
	if want := preset(t, "summarization"); err != nil || c.Stage2.Tokens != 3000 || c.Stage3 != want.Stage3 || c.Model != "" {
		t.Errorf("%v, %+v", err, c)
	}
	// A length that a file gives unsets those of the preset; two that it gives are a fault.
	for content, valid := range map[string]bool{
		`{"stage2": {"steps": 3}, "stage3": {"steps": 4}}`: true, `{"stage2": {"epochs": 0.5}}`: true, `{"stage2": {"steps": 3, "tokens": "2M"}}`: false,
	} {
		base := preset(t, "classification")
		if err := base.Set("model=m", "task.train=t.tsv", "task.dev=d.tsv", "corpus.files=[\"c.txt\"]"); err != nil {
			t.Fatal(err)
		}
		c, err := ReadConfig(writeFile(t, content), base)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Validate(); (err == nil) != valid {
			t.Errorf("%s: %v", content, err)
		}
	}
	for content, words := range map[string][]string{
		"{\n \"seed\": 1,\n \"loss\": {\"gama\": 3}}": {"gama"},
		"{\n \"seed\": 1,\n \"log_every\": \"x\"}":    {":3:", "log_every"},
		"{\n \"seed\": 1,\n}":                         {":3:"},
		`{"preset": "nope"}`:                          {"nope", "classification"},
		`{} {}`:                                       {"invalid character"},
		``:                                            {"unexpected end"},
	} {
		path := writeFile(t, content)
		_, err := ReadConfig(path, c)
		wantError(t, err, append(words, path)...)
	}
	if _, err := ReadConfig(filepath.Join(t.TempDir(), "none.json"), c); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
}

// Budgets are written with the unit that divides them, and read in any.
func TestTokenBudget(t *testing.T) {
	for tokens, text := range map[TokenBudget]string{0: `"0"`, 7: `"7"`, 1500: `"1500"`, 2000: `"2K"`, 2_000_000: `"2M"`, 2_500_000: `"2500K"`, 10_000_000_000: `"10B"`} {
		raw, err := json.Marshal(tokens)
		if err != nil || string(raw) != text {
			t.Errorf("%d: %s, %v, want %s", tokens, raw, err, text)
		}
		var back TokenBudget = 99
		if err := json.Unmarshal(raw, &back); err != nil || back != tokens {
			t.Errorf("%s: %d, %v", raw, back, err)
		}
	}
	for text, want := range map[string]TokenBudget{`2000000`: 2_000_000, `"1.5m"`: 1_500_000, `"10b"`: 10_000_000_000, `0`: 0} {
		var got TokenBudget
		if err := json.Unmarshal([]byte(text), &got); err != nil || got != want {
			t.Errorf("%s: %d, %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{`"2X"`, `-3`, `"1.5"`, `true`, `"99999999999B"`, `""`} {
		var got TokenBudget
		if err := json.Unmarshal([]byte(text), &got); err == nil {
			t.Errorf("%s: taken as %d", text, got)
		}
	}
}

// The number of steps comes from steps, epochs or tokens, rounded up for tokens and to the nearest for epochs.
func TestTotalSteps(t *testing.T) {
	task := testTrainings[FullLabel](t, t.TempDir()).source     // 14 rows, 2 a micro-batch
	corpus := testTrainings[Stage2Label](t, t.TempDir()).source // windows of 16 tokens
	for _, c := range []struct {
		training Training
		want     int
	}{
		{Training{Steps: 7}, 7},
		{Training{Epochs: 2, BatchSize: 4, MicroBatches: 2}, 7},
		{Training{Epochs: 0.01, BatchSize: 4, MicroBatches: 2}, 1},
		{Training{Epochs: 10, BatchSize: 2, MicroBatches: 1}, 70},
	} {
		if got := c.training.totalSteps(task); got != c.want {
			t.Errorf("%+v: %d steps, want %d", c.training, got, c.want)
		}
	}
	for tokens, want := range map[TokenBudget]int{1: 1, 64: 1, 65: 2, 640: 10} {
		if got := (Training{Tokens: tokens, BatchSize: 4, MicroBatches: 2}).totalSteps(corpus); got != want {
			t.Errorf("%d tokens: %d steps, want %d", tokens, got, want)
		}
	}
}
