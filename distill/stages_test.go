package distill

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/bitdistill/bitdistill/bitnet"
	"github.com/bitdistill/bitdistill/bitnet/arch"
	"github.com/bitdistill/bitdistill/distill/loss"
)

// wrong fails the test unless err is about input and mentions all words.
func wrong(t testing.TB, err error, words ...string) {
	t.Helper()
	wantError(t, err, words...)
	if !errors.Is(err, ErrInput) {
		t.Errorf("%v is not about input", err)
	}
}

// Each stage says which one has to come first.
func TestStageOrder(t *testing.T) {
	ctx := context.Background()
	r := opened(t, smallRun(t, "model="+modelFolder(t, tinyModel(t, 1)), "teacher="), Options{Out: t.TempDir()})
	stage := func(name string) error {
		_, err := r.Stage(ctx, name)
		return err
	}
	wrong(t, stage(StageCorpus), r.path(Stage1Dir), "run stage 1 first")
	wrong(t, stage(StageTask), r.path(Stage2Dir), "run stage 2 first")
	wrong(t, stage(StageEval), r.dir, "run the other stages first")
	wrong(t, stage("4"), `"4"`, "teacher baseline 1 2 3 eval")
	for _, name := range []string{StageConvert, StageCorpus} {
		if err := stage(name); err != nil {
			t.Fatal(err)
		}
	}
	wrong(t, stage(StageTask), r.path(TeacherDir), "run stage teacher first")
	if entries := folders(t, r.dir); slices.Contains(entries, StudentDir) {
		t.Errorf("the folder holds %v", entries)
	}
	for _, damage := range []string{"flipped bit in a weight", "no manifest"} {
		damages[damage].in(t, r.path(Stage1Dir))
		if err := stage(StageConvert); err == nil || !strings.Contains(err.Error(), "damaged") || !strings.Contains(err.Error(), "remove the folder") {
			t.Errorf("a stage with %s: %v", damage, err)
		}
	}
}

// A file that is gone is damage too: the stage is not made again over what is left of it.
func TestStageLacksFile(t *testing.T) {
	r := opened(t, smallRun(t, "model="+modelFolder(t, tinyModel(t, 1)), "teacher="), Options{Out: t.TempDir()})
	if err := r.Stage1(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(r.path(Stage1Dir, "tokenizer.json")); err != nil {
		t.Fatal(err)
	}
	if err := r.Stage1(t.Context()); err == nil || !strings.Contains(err.Error(), "tokenizer.json") {
		t.Errorf("without its tokenizer: %v", err)
	}
}

// Once a stage is done, its model and data stay those of the config; how later stages train may change.
func TestReconfigure(t *testing.T) {
	r := opened(t, smallRun(t, "model="+modelFolder(t, tinyModel(t, 1)), "teacher="), Options{Out: t.TempDir()})
	changed := func(overrides ...string) Config {
		c := r.Config
		if err := c.Set(overrides...); err != nil {
			t.Fatal(err)
		}
		return c
	}
	if err := r.Reconfigure(t.Context(), changed("seed=7")); err != nil {
		t.Errorf("before any stage: %v", err)
	}
	if err := r.Stage1(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, o := range []string{"seed=8", "teacher=elsewhere", "student.subln=all", "task.max_length=20", "corpus.length=8", "model=elsewhere"} {
		wrong(t, r.Reconfigure(t.Context(), changed(o)), Stage1Dir, "start another run")
	}
	if err := r.Reconfigure(t.Context(), changed("stage3.learning_rate=0.01", "loss.gamma=3", "log_every=5")); err != nil {
		t.Errorf("how stage 3 trains: %v", err)
	}
	if stored, err := StoredConfig(r.dir); err != nil || stored.Loss.Gamma != 3 || stored.Seed != 7 {
		t.Errorf("stored: %v, gamma %g, seed %d", err, stored.Loss.Gamma, stored.Seed)
	}
}

// Folders that are no place for a new run are refused, and left as they are.
func TestOpenRefuses(t *testing.T) {
	c := smallRun(t)
	full := t.TempDir()
	if err := os.WriteFile(filepath.Join(full, "thesis.tex"), []byte("x"), 0o666); err != nil {
		t.Fatal(err)
	}
	open := func(c Config, o Options) error {
		r, err := Open(t.Context(), c, o)
		if err == nil {
			r.Close()
		}
		return err
	}
	wrong(t, open(c, Options{}), "out")
	wrong(t, open(c, Options{Out: full}), full, "not empty")
	wrong(t, open(c, Options{Out: filepath.Join(full, "thesis.tex")}), "thesis.tex")
	wrong(t, open(c, Options{Out: full, Resume: true}), full, "nothing to resume")
	if got := folders(t, full); !slices.Equal(got, []string{"thesis.tex"}) {
		t.Errorf("the folder holds %v", got)
	}
	none := filepath.Join(t.TempDir(), "new")
	faulty := c
	faulty.LogEvery, faulty.Task.MaxLength, faulty.Loss.Positions = 0, 0, ""
	wrong(t, open(faulty, Options{Out: none}), "log_every", "task.max_length", "loss.positions")
	faulty = c
	faulty.Task.Name = "sst3"
	wrong(t, open(faulty, Options{Out: none}), "sst3")
	if _, err := os.Stat(none); err == nil {
		t.Error("a folder was made for a config that was refused")
	}
}

// A teacher whose logits or relations cannot be compared with the student's is refused before anything is trained.
func TestTeacherRefused(t *testing.T) {
	student := modelFolder(t, tinyModel(t, 1))
	teacherStage := func(teacher string) error {
		r, err := Open(t.Context(), smallRun(t, "model="+student, "teacher="+teacher), Options{Out: t.TempDir()})
		if err == nil {
			r.Close()
		}
		return err
	}
	wider := tinyConfig()
	wider.VocabSize = 520
	wrong(t, teacherStage(modelFolder(t, randomModel(t, wider, 2))), "vocab_size", "520", "512")

	other := modelFolder(t, tinyModel(t, 2))
	tokenizer := filepath.Join(other, "tokenizer.json")
	raw, err := os.ReadFile(tokenizer)
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(string(raw), `"truncation":`, `"truncation" :`, 1)
	if changed == string(raw) {
		t.Fatal("the tokenizer has no such key")
	}
	if err := os.WriteFile(tokenizer, []byte(changed), 0o666); err != nil {
		t.Fatal(err)
	}
	wrong(t, teacherStage(other), other, "tokenizer.json")
	wrong(t, teacherStage(filepath.Join(student, "none")), "none")
	if err := os.Remove(tokenizer); err != nil {
		t.Fatal(err)
	}
	wrong(t, teacherStage(other), other, "tokenizer.json")
}

// The layer is found from either end, and relation heads that fit both models.
func TestResolve(t *testing.T) {
	student, teacher := tinyConfig(), tinyConfig()
	l := testLoss("answer")
	for _, c := range []struct{ layer, want int }{{0, 0}, {1, 1}, {-1, 1}, {-2, 0}} {
		l.Layer = c.layer
		if got, err := l.resolve(student, teacher); err != nil || got.Layer != c.want {
			t.Errorf("layer %d: %d, %v", c.layer, got.Layer, err)
		}
	}
	for _, layer := range []int{2, -3} {
		l.Layer = layer
		_, err := l.resolve(student, teacher)
		wrong(t, err, "loss.layer", "layers 0 to 1")
	}
	l.Layer = -1
	for split, want := range map[int]int{0: 2, 1: 1, 4: 4, 8: 8} { // keys and values are 8 wide
		l.Relations.SplitHeads = split
		if got, err := l.resolve(student, teacher); err != nil || got.Relations.SplitHeads != want {
			t.Errorf("split_heads %d: %d, %v", split, got.Relations.SplitHeads, err)
		}
	}
	for _, split := range []int{3, 16} { // 16 divides the queries' width alone
		l.Relations.SplitHeads = split
		_, err := l.resolve(student, teacher)
		wrong(t, err, "loss.relations.split_heads", "try 2")
	}
	l.Relations.SplitHeads = 0
	teacher.Layers = 3
	_, err := l.resolve(student, teacher)
	wrong(t, err, "teacher", "3 layers", "the student 2")
}

// Stage 1 keeps every weight, adds SubLN of ones where asked for, and is not done twice.
func TestConvert(t *testing.T) {
	base := tinyModel(t, 1)
	want := weights(t, base.Config, base.Store)
	for _, where := range []bitnet.SubLN{bitnet.SubLNNone, bitnet.SubLNOutput, bitnet.SubLNAll} {
		student, err := Convert(base, bitnet.Ternary(where))
		if err != nil {
			t.Fatal(err)
		}
		added := map[bitnet.SubLN]int{bitnet.SubLNNone: 0, bitnet.SubLNOutput: 2 * (16 + 24), bitnet.SubLNAll: 2 * (6*16 + 24)}[where]
		if got := student.Config.Parameters(arch.SubLNorm); got != added {
			t.Errorf("%s: %d values added, want %d", where, got, added)
		}
		got := weights(t, student.Config, student.Store)
		for _, tensor := range student.Config.Tensors() {
			if tensor.Kind == arch.SubLNorm {
				if slices.Min(got[tensor.Name]) != 1 || slices.Max(got[tensor.Name]) != 1 {
					t.Errorf("%s: %s is not 1", where, tensor.Name)
				}
				delete(got, tensor.Name)
			}
		}
		sameBits(t, string(where), got, want)
		_, err = Convert(student, bitnet.Ternary(where))
		wrong(t, err, "quantized already", "full-precision")
	}
	_, err := Convert(base, bitnet.Quantization{Weights: "int2", SubLN: bitnet.SubLNNone})
	wrong(t, err, "int2")
}

// Alpha, variant and normalisation reach the loss: each of them changes what is logged.
func TestLossOptionsMatter(t *testing.T) {
	first := func(change func(*Loss)) terms {
		l := testLoss("answer")
		l.Relations.SplitHeads = 4
		change(&l)
		s := testStepper(t, tinyStudent(t, 1, bitnet.SubLNOutput), tinyModel(t, 2), objective{answers: true, loss: l}, quick(1))
		batches, err := testTrainings[Stage3Label](t, t.TempDir()).batches(0)
		if err != nil {
			t.Fatal(err)
		}
		got, _, _, err := s.gradients(t.Context(), batches)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	base := first(func(*Loss) {})
	near(t, "reference", first(func(l *Loss) { l.Relations.Normalisation = loss.Reference }).AD, base.AD/4, 1e-6)
	q := first(func(l *Loss) { l.Relations.Alpha = [3]float64{1, 0, 0} }).AD
	kv := first(func(l *Loss) { l.Relations.Alpha = [3]float64{0, 2, 2} }).AD
	near(t, "sum of Q, K and V", q+kv/2, base.AD, 1e-5)
	near(t, "without tau²", first(func(l *Loss) { l.Logits.TauSquared = false }).LD, base.LD/4, 1e-6)
	if other := first(func(l *Loss) { l.Layer = 0 }).AD; other == base.AD {
		t.Error("the layer does not matter")
	}
	if other := first(func(l *Loss) { l.Relations.Variant = loss.Sqrt }).AD; other == base.AD {
		t.Error("the variant does not matter")
	}
	all := first(func(l *Loss) { l.Positions = "all" })
	near(t, "CE where all logits are computed", all.CE, base.CE, 1e-6)
	if all.LD == base.LD {
		t.Error("the positions do not matter")
	}
	without := first(func(l *Loss) { l.Gamma, l.Lambda = 0, 0 })
	if without.AD != 0 || without.LD != 0 || without.Total != without.CE {
		t.Errorf("without distillation %+v", without)
	}
	near(t, "CE without distillation", without.CE, base.CE, 1e-6)
}
