package kit_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/bitdistill/bitdistill/distill"
	"github.com/bitdistill/bitdistill/notebooks/kit"
)

func settings(t *testing.T) kit.Settings {
	return kit.Settings{
		Model: distill.Embedded, Task: distill.Embedded, Train: distill.Embedded, Dev: distill.Embedded, Corpus: distill.Embedded,
		Backend: "go", Steps: 6, Rows: 5, Run: t.TempDir(), Set: "loss.gamma=7 stage3.steps=9",
	}
}

// TestConfig sees every parameter arrive, those of Set last.
func TestConfig(t *testing.T) {
	cfg, err := settings(t).Config("loss.gamma=6", "loss.lambda=5")
	if err != nil {
		t.Fatal(err)
	}
	got := []any{cfg.FineTune.Steps, cfg.BitNetSFT.Steps, cfg.Stage2.Steps, cfg.Stage3.Steps, cfg.Loss.Gamma, cfg.Loss.Lambda, cfg.Backend, cfg.Teacher}
	if want := []any{6, 6, 3, 9, 7.0, 5.0, "go", distill.Embedded}; !reflect.DeepEqual(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	s := settings(t)
	s.Model = t.TempDir()
	if cfg, err = s.Config(); err != nil || cfg.Teacher != "" || cfg.Stage3.Epochs != 0 || cfg.Stage2.Tokens != 0 {
		t.Errorf("another model: %+v %v", cfg, err)
	}
	s.Set = "no.such=1"
	if _, err := s.Config(); err == nil || !strings.Contains(err.Error(), "no.such") {
		t.Errorf("a setting that there is not: %v", err)
	}
}

// TestHeldOut compares the file of the first rows with the rows that it is made from.
func TestHeldOut(t *testing.T) {
	cfg, err := settings(t).Config()
	if err != nil {
		t.Fatal(err)
	}
	task, err := distill.OpenTask(distill.Embedded)
	if err != nil {
		t.Fatal(err)
	}
	few, err := task.Read(distill.OpenHeldOut(cfg.Task.Dev))
	if err != nil {
		t.Fatal(err)
	}
	all, err := task.Read(distill.OpenHeldOut(distill.Embedded))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(few.Rows, all.Rows[:5]) {
		t.Errorf("%v\n%v", few.Rows, all.Rows[:5])
	}
}

// TestLosses sees which curves are drawn: a training each, or the terms of stage 3 where it is alone.
func TestLosses(t *testing.T) {
	steps := []distill.Step{{Stage: "FP16-SFT", Step: 1, Loss: 3}, {Stage: "Stage-3", Step: 1, Loss: 9, CE: 2, LD: 1, AD: 6}}
	for want, stages := range map[string][]string{
		"FP16-SFT, Stage-3": {distill.StageBaseline, distill.StageCorpus, distill.StageTask},
		"total, CE, LD, AD": {distill.StageTask},
	} {
		raw, err := kit.Losses("chart", steps, stages...).JSON()
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"FP16-SFT", "BitNet-SFT", "Stage-2", "Stage-3", "total", "CE", "LD", "AD"} {
			if drawn := strings.Contains(string(raw), `"`+name+`"`); drawn != strings.Contains(", "+want+",", ", "+name+",") {
				t.Errorf("%v: curve %s is drawn: %v", stages, name, drawn)
			}
		}
	}
}

// TestTrainGoesOn trains outside of a notebook, silently; a second call finds everything done.
func TestTrainGoesOn(t *testing.T) {
	s := settings(t)
	s.Steps, s.Set = 2, "stage2.batch_size=2 corpus.length=16 corpus.report_windows=2"
	for range 2 {
		cfg, err := s.Config()
		if err != nil {
			t.Fatal(err)
		}
		if err := kit.Train(cfg, s.Folder("run"), "title", distill.StageConvert, distill.StageCorpus); err != nil {
			t.Fatal(err)
		}
	}
	m, err := distill.ReadMetrics(s.Folder("run"))
	if err != nil || len(m.Steps) != 1 {
		t.Errorf("%d steps, want 1: %v", len(m.Steps), err)
	}
	student, err := distill.OpenModel(t.Context(), s.Folder("run/stage2"), nil)
	if err != nil {
		t.Fatal(err)
	}
	w, err := kit.Weight(student.Model, "model.layers.0.mlp.down_proj.norm.weight")
	if err != nil || len(w) != student.Config.IntermediateSize {
		t.Errorf("%d values of SubLN: %v", len(w), err)
	}
	if _, err := kit.Weight(student.Model, "no.such"); err == nil {
		t.Error("a tensor that there is not was found")
	}
}
