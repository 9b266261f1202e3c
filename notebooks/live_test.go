package notebooks_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/bitdistill/bitdistill/internal/jupyter"
	"github.com/bitdistill/bitdistill/internal/notebook"
	"github.com/bitdistill/bitdistill/internal/notebook/gonb"
)

// TestLiveTraining runs the training cell of chapter 03 as a browser would: it sees the chart change in its place, interrupts
// the cell, finds a checkpoint, and runs the cell again, which goes on from there to the end.
func TestLiveTraining(t *testing.T) {
	if os.Getenv("BITDISTILL_NO_SKIP") != "1" {
		t.Skip("trains in a Go kernel for a minute; BITDISTILL_NO_SKIP=1 does it")
	}
	folder := t.TempDir()
	cells := prepared(t, "03-stage2.ipynb", "RUN="+folder, "STEPS=200",
		"SET=stage2.batch_size=4 corpus.length=32 corpus.report_windows=4 checkpoint_every=1000")
	k := kernel(t)
	for _, id := range []string{"parameters", "injected-parameters", "settings", "corpus"} {
		if _, err := k.Execute(t.Context(), cells[id], nil, func(jupyter.Message) {}); err != nil {
			t.Fatalf("%s: %v", id, err)
		}
	}
	const wanted = 10
	ctx, interrupt := context.WithCancel(t.Context())
	updates := map[string]int{}
	_, err := k.Execute(ctx, cells["train"], nil, func(m jupyter.Message) {
		if id := liveID(m); id != "" {
			if updates[id]++; updates[id] >= wanted {
				interrupt()
			}
		}
	})
	if len(updates) != 1 || !errors.Is(err, context.Canceled) || !k.Alive() {
		t.Fatalf("%v: updates by display id %v, kernel alive: %v", err, updates, k.Alive())
	}
	at := checkpoint(t, filepath.Join(folder, "run"))
	if _, err := os.Stat(filepath.Join(folder, "run", "stage2")); at < 1 || err == nil {
		t.Fatalf("checkpoint at step %d, and stage 2 is done: %v", at, err == nil)
	}

	reply, err := k.Execute(t.Context(), cells["train"], nil, func(jupyter.Message) {})
	if err != nil || reply.Status != "ok" {
		t.Fatalf("%+v %v", reply, err)
	}
	if _, err := os.Stat(filepath.Join(folder, "run", "stage2", "model.safetensors")); err != nil {
		t.Error(err)
	}
	raw, err := os.ReadFile(filepath.Join(folder, "run", "metrics.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf(`{"resumed":true,"stage":"Stage-2","step":%d}`, at); !strings.Contains(string(raw), want) {
		t.Errorf("metrics.jsonl has no %s", want)
	}
	for step := range 100 {
		if n := strings.Count(string(raw), fmt.Sprintf(`{"stage":"Stage-2","step":%d,"steps":100,`, step+1)); n != 1 {
			t.Errorf("step %d was logged %d times", step+1, n)
		}
	}
}

// prepared are the sources of a notebook's code cells by id, with parameters set.
func prepared(t *testing.T, file string, values ...string) map[string]string {
	nb, err := notebook.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var all []notebook.Value
	for _, v := range values {
		value, err := notebook.ParseValue(v)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, value)
	}
	if err := nb.SetParameters(all); err != nil {
		t.Fatal(err)
	}
	cells := map[string]string{}
	for _, c := range nb.Cells {
		cells[c.ID] = c.Source
	}
	return cells
}

// kernel starts GoNB, which is built if it is not there.
func kernel(t *testing.T) *jupyter.Kernel {
	tools, err := gonb.Find(t.Context(), ".", false, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	k, err := jupyter.Start(t.Context(), tools.Command(".", gonb.Module(".")), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { k.Close() })
	k.Grace = time.Minute // a checkpoint is written on a busy machine too
	return k
}

// liveID is the display id of a message that shows the live chart or replaces it, or "".
func liveID(m jupyter.Message) string {
	if m.Header.Type != "display_data" && m.Header.Type != "update_display_data" {
		return ""
	}
	var shown struct {
		Data      map[string]any
		Transient struct {
			ID string `json:"display_id"`
		}
	}
	if json.Unmarshal(m.Content, &shown) != nil || !strings.Contains(fmt.Sprint(shown.Data["text/html"]), "<progress") {
		return ""
	}
	return shown.Transient.ID
}

// checkpoint is the step of the newest checkpoint of stage 2.
func checkpoint(t *testing.T, run string) int {
	found, err := filepath.Glob(filepath.Join(run, "checkpoints", "stage2", "step-*", "manifest.json"))
	if err != nil {
		t.Fatal(err)
	}
	newest := 0
	for _, f := range found {
		_, number, _ := strings.Cut(filepath.Base(filepath.Dir(f)), "-")
		step, err := strconv.Atoi(number)
		if err != nil {
			t.Fatal(err)
		}
		newest = max(newest, step)
	}
	return newest
}
