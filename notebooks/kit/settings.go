package kit

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/bitdistill/bitdistill/distill"
	"github.com/bitdistill/bitdistill/internal/atomicfile"
	"github.com/bitdistill/bitdistill/internal/backend"
	"github.com/gomlx/compute"
)

// Settings are the parameters that all notebooks have.
type Settings struct {
	Model            string // folder of a pretrained model in Hugging Face form, a GGUF file, a hub id, or "embedded"
	Task, Train, Dev string // a built-in task or a task file, with its TSV files; "embedded"
	Corpus           string // text of stage 2, or "embedded"
	Backend          string // go, xla:cpu, xla:cuda or auto
	Steps            int    // of each training; stage 2 makes half as many
	Rows             int    // of the held-out data that are judged, the first ones; 0 for all
	Run              string // folder that keeps the runs, to be gone on with; "" for one that goes with the kernel
	Set              string // other settings by their JSON names, such as "stage3.batch_size=8 loss.gamma=10"
}

// Folder is a folder of that name: in the one that the parameters name, or in the kernel's temporary one. The program of each cell is
// a new one, so what cells share is files.
func (s Settings) Folder(name string) string {
	if s.Run != "" {
		return filepath.Join(s.Run, name)
	}
	kernel := os.Getenv("GONB_TMP_DIR")
	if kernel == "" {
		kernel = filepath.Join(os.TempDir(), "bitdistill-notebooks")
	}
	return filepath.Join(kernel, name)
}

// Config is the settings of a run: the preset that fits the model, with what the parameters and then the overrides change. Every
// step is logged, for the charts.
func (s Settings) Config(overrides ...string) (distill.Config, error) {
	preset := distill.DefaultPreset
	if s.Model != distill.Embedded {
		preset = "balanced"
	}
	cfg, err := distill.Preset(preset)
	if err != nil {
		return cfg, err
	}
	cfg.Model, cfg.Backend, cfg.Corpus.Files = s.Model, s.Backend, []string{s.Corpus}
	cfg.Task.Name, cfg.Task.Train = s.Task, s.Train
	if s.Model != distill.Embedded || s.Task != distill.Embedded {
		cfg.Teacher = "" // the one in the binary has learned its own task
	}
	for _, t := range []*distill.Training{&cfg.FineTune, &cfg.BitNetSFT, &cfg.Stage2, &cfg.Stage3} {
		t.Steps, t.Epochs, t.Tokens = s.Steps, 0, 0
	}
	cfg.Stage2.Steps = max(1, s.Steps/2)
	cfg.LogEvery, cfg.TernaryEvery = 1, max(1, s.Steps/20)
	if cfg.Task.Dev, err = s.heldOut(); err != nil {
		return cfg, err
	}
	if err := cfg.Set(append(overrides, strings.Fields(s.Set)...)...); err != nil {
		return cfg, err
	}
	return cfg, cfg.Validate()
}

// heldOut is a file with the first rows of the held-out data.
func (s Settings) heldOut() (path string, err error) {
	if s.Rows <= 0 {
		return s.Dev, nil
	}
	task, err := distill.OpenTask(s.Task)
	if err != nil {
		return "", err
	}
	table, err := task.Read(distill.OpenHeldOut(s.Dev))
	if err != nil {
		return "", err
	}
	if path, err = filepath.Abs(s.Folder("held-out.tsv")); err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return "", err
	}
	return path, atomicfile.WriteFile(path, func(w io.Writer) error {
		if _, err := fmt.Fprintf(w, "%s\t%s\n", strings.Join(table.Columns, "\t"), task.LabelColumn); err != nil {
			return err
		}
		for _, row := range table.Rows[:min(s.Rows, len(table.Rows))] {
			if _, err := fmt.Fprintf(w, "%s\t%s\n", strings.Join(row.Values, "\t"), task.Labels[row.Label].Value); err != nil {
				return err
			}
		}
		return nil
	})
}

// backends are those that are open: a tensor belongs to the one that has made it.
var backends = map[string]compute.Backend{}

// Open is the backend that the parameters name, the same one each time, for the cells that build graphs of their own. It is for one
// goroutine.
func (s Settings) Open() (compute.Backend, error) {
	if b := backends[s.Backend]; b != nil {
		return b, nil
	}
	choice, err := backend.Open(s.Backend)
	if err != nil {
		return nil, err
	}
	backends[s.Backend] = choice.Backend
	return choice.Backend, nil
}
