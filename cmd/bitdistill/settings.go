package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/bitdistill/bitdistill/distill"
	"github.com/spf13/cobra"
)

// ownDataPreset is the preset of users who bring a model and data and name none.
const ownDataPreset = "classification"

// runFlags are the flags of run.
type runFlags struct {
	stage, out           string
	resume, dryRun, json bool
	examples             int

	preset, config            string
	model, teacher, fallback  string
	task, train, dev, backend string
	corpus, set               []string
	seed                      uint64
	devices                   int
	remat                     bool
	precision                 string

	given func(flag string) bool // on the command line
}

func (f *runFlags) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&f.stage, "stage", allStages, "all, "+strings.Join(distill.Stages(), ", "))
	flags.StringVar(&f.preset, "preset", "", "settings to start from; see above")
	flags.StringVar(&f.config, "config", "", "JSON `FILE` of settings; what it leaves out stays")
	flags.StringArrayVar(&f.set, "set", nil, "one setting by its JSON name, `key=value`, such as stage2.tokens=2M; repeatable")
	flags.StringVar(&f.model, "model", "", "`FOLDER` of the pretrained model (config.json, safetensors, tokenizer.json), a GGUF file, or a hub id such as HuggingFaceTB/SmolLM2-135M")
	flags.StringVar(&f.teacher, "teacher", "", "`FOLDER` of a model fine-tuned on the task, or a hub id; '' trains one")
	flags.StringVar(&f.task, "task", "", "`NAME` of a built-in task, or a task file")
	flags.StringVar(&f.train, "train", "", "table `FILE` to train on: .tsv, .csv, .jsonl or .parquet, also .gz or .zst")
	flags.StringVar(&f.dev, "dev", "", "table `FILE` that results are reported on; used for nothing else")
	flags.StringArrayVar(&f.corpus, "corpus", nil, "text `FILE` for stage 2, .txt, .jsonl (also .gz, .zst) or .parquet, a folder or a pattern, hf:owner/name of the hub, or what tokenize made; repeatable; FILE=WEIGHT for each makes a mixture")
	flags.StringVar(&f.fallback, "fallback-corpus", "", "local corpus `FILE` or folder, in place of --corpus where the hub cannot be reached")
	flags.StringVar(&f.out, "out", defaultOut, "`RUN` folder")
	flags.BoolVar(&f.resume, "resume", false, "go on with the run in --out, with its settings")
	flags.Uint64Var(&f.seed, "seed", 0, "decides the order of the data and the splits")
	flags.StringVar(&f.backend, "backend", "auto", "auto, go, xla:cpu or xla:cuda")
	flags.IntVar(&f.devices, "devices", 1, "train on `N` devices of the XLA backend, each of which computes its share of a step's sequences")
	flags.BoolVar(&f.remat, "remat", false, "less memory for more time: trainings compute each block anew for its gradient")
	flags.StringVar(&f.precision, "precision", "f32", "of gradients: f32, or bf16, which allows trainings to round their products where that is faster")
	flags.IntVar(&f.examples, "show", 0, "first show `N` training examples as tokens, and which of them the loss counts; with --json on stderr")
	flags.BoolVar(&f.dryRun, "dry-run", false, "show settings, sizes and memory as JSON, and make nothing")
}

// settings resolves the config of a run that is to begin, or (found) of the one in the run folder.
func (f *runFlags) settings(found bool) (cfg distill.Config, err error) {
	if !found {
		if cfg, err = f.fresh(); err != nil {
			return cfg, err
		}
		return cfg, f.validate(cfg)
	}
	stored, err := distill.StoredConfig(f.out)
	if err != nil {
		return cfg, err
	}
	if cfg, err = f.further(stored); err != nil {
		return cfg, err
	}
	differences := slices.DeleteFunc(stored.Differences(cfg), func(d distill.Difference) bool { return mayChange(d.Setting) })
	if len(differences) > 0 && f.resume {
		return cfg, refuseChanges(f.out, differences)
	}
	return cfg, f.validate(cfg)
}

// mayChange reports whether a setting may be another when a run goes on: whoever needs it learns so when the hub is out of reach (and
// is told by the run where it is too late), or when memory is; and the run may be on another machine.
func mayChange(setting string) bool {
	return setting == "corpus.fallback" || setting == "devices" || strings.HasSuffix(setting, ".remat") || strings.HasSuffix(setting, ".micro_batches")
}

func refuseChanges(out string, differences []distill.Difference) error {
	lines := []string{out + ": --resume goes on with the settings of the run, but others are given:"}
	for _, d := range differences {
		lines = append(lines, fmt.Sprintf("%s: %s in the run, %s given", d.Setting, cmp.Or(d.This, "unset"), cmp.Or(d.Other, "unset")))
	}
	return inputf("%s", strings.Join(lines, "\n"))
}

// fresh resolves the config of a new run.
func (f *runFlags) fresh() (distill.Config, error) {
	name, err := f.presetName()
	if err != nil {
		return distill.Config{}, err
	}
	if name != "" {
		return f.overPreset(name)
	}
	cfg, err := f.overPreset(distill.DefaultPreset)
	if _, incomplete := err.(missingInputs); incomplete || err == nil && bringsOwn(cfg) {
		return f.overPreset(ownDataPreset)
	}
	return cfg, err
}

// untouched marks inputs that only the preset names.
const untouched = "\x00"

// overPreset puts config file and flags over a preset. The inputs that are in the binary stay only if none is replaced.
func (f *runFlags) overPreset(name string) (distill.Config, error) {
	preset, err := distill.Preset(name)
	if err != nil {
		return preset, wrongInput{err}
	}
	base := preset
	base.Corpus.Files = slices.Clone(preset.Corpus.Files)
	for _, in := range inputs(&base) {
		if in.value() == "" || in.value() == distill.Embedded {
			in.set(untouched)
		}
	}
	cfg, err := f.over(base)
	if err != nil {
		return cfg, err
	}
	own := bringsOwn(cfg)
	fallback := inputs(&preset)
	var missing missingInputs
	for i, in := range inputs(&cfg) {
		switch {
		case in.value() != untouched:
		case !own:
			in.set(fallback[i].value())
		case in.flag == "--teacher": // one is trained
			in.set("")
		default:
			missing = append(missing, in.flag)
		}
	}
	if len(missing) > 0 {
		return cfg, missing
	}
	return cfg, nil
}

// missingInputs are the flags that are missing beside those that are given.
type missingInputs []string

func (m missingInputs) Error() string {
	return fmt.Sprintf("%s missing; a run on your own data names model, task, train, dev and corpus (the word %s takes what is in the binary)",
		strings.Join(m, ", "), distill.Embedded)
}

func (m missingInputs) Is(target error) bool { return target == distill.ErrInput }

// bringsOwn reports whether an input other than the teacher is neither untouched nor in the binary: an embedded model
// may well learn from another teacher.
func bringsOwn(cfg distill.Config) bool {
	return slices.ContainsFunc(inputs(&cfg), func(in input) bool {
		v := in.value()
		return in.flag != "--teacher" && v != "" && v != untouched && v != distill.Embedded
	})
}

// input is a setting that names a model or data.
type input struct {
	flag string
	one  *string
	many *[]string // instead of one
}

func (in input) value() string {
	if in.many == nil {
		return *in.one
	}
	return strings.Join(slices.Compact(slices.Clone(*in.many)), ", ")
}

func (in input) set(v string) {
	if in.many == nil {
		*in.one = v
	} else if *in.many = nil; v != "" {
		*in.many = []string{v}
	}
}

func inputs(c *distill.Config) []input {
	return []input{
		{flag: "--model", one: &c.Model}, {flag: "--teacher", one: &c.Teacher}, {flag: "--task", one: &c.Task.Name},
		{flag: "--train", one: &c.Task.Train}, {flag: "--dev", one: &c.Task.Dev}, {flag: "--corpus", many: &c.Corpus.Files},
	}
}

// further resolves the config of a run that is there. Another preset changes how it goes on, not what it started from.
func (f *runFlags) further(stored distill.Config) (distill.Config, error) {
	name, err := f.presetName()
	if err != nil {
		return stored, err
	}
	base := stored
	if name != "" && name != stored.Preset {
		if base, err = distill.Preset(name); err != nil {
			return stored, wrongInput{err}
		}
		base.Seed, base.Backend, base.Hub, base.Corpus.Fallback = stored.Seed, stored.Backend, stored.Hub, stored.Corpus.Fallback
		from := inputs(&stored)
		for i, to := range inputs(&base) {
			if to.many == nil {
				*to.one = *from[i].one
			} else {
				*to.many = *from[i].many
			}
		}
	}
	base.Corpus.Files = slices.Clone(base.Corpus.Files)
	return f.over(base)
}

// presetName is the preset that is asked for: the config file wins over the flag.
func (f *runFlags) presetName() (string, error) {
	name := f.preset
	if f.config == "" {
		return name, nil
	}
	raw, err := os.ReadFile(f.config)
	if err != nil {
		return "", inputf("--config: %w", err)
	}
	var file struct {
		Preset string `json:"preset"`
	}
	if json.Unmarshal(raw, &file) == nil && file.Preset != "" { // what is wrong with it, ReadConfig says
		name = file.Preset
	}
	return name, nil
}

// over puts config file, flags and --set over a config.
func (f *runFlags) over(c distill.Config) (distill.Config, error) {
	preset := c.Preset
	if f.config != "" {
		var err error
		if c, err = distill.ReadConfig(f.config, c); err != nil {
			return c, wrongInput{err}
		}
	}
	for flag, apply := range f.named() {
		if f.given(flag) {
			apply(&c)
		}
	}
	if err := c.Set(f.set...); err != nil {
		return c, wrongInput{err}
	}
	if c.Preset != preset {
		return c, inputf("--set preset=%s: a preset is chosen with --preset", c.Preset)
	}
	return c, nil
}

// named are the flags that stand for one setting.
func (f *runFlags) named() map[string]func(*distill.Config) {
	return map[string]func(*distill.Config){
		"model":           func(c *distill.Config) { c.Model = f.model },
		"teacher":         func(c *distill.Config) { c.Teacher = f.teacher },
		"task":            func(c *distill.Config) { c.Task.Name = f.task },
		"train":           func(c *distill.Config) { c.Task.Train = f.train },
		"dev":             func(c *distill.Config) { c.Task.Dev = f.dev },
		"corpus":          func(c *distill.Config) { c.Corpus.Files = f.corpus },
		"fallback-corpus": func(c *distill.Config) { c.Corpus.Fallback = f.fallback },
		"seed":            func(c *distill.Config) { c.Seed = f.seed },
		"backend":         func(c *distill.Config) { c.Backend = f.backend },
		"devices": func(c *distill.Config) {
			if c.Devices = f.devices; f.devices == 1 {
				c.Devices = 0 // the default
			}
		},
		"remat": func(c *distill.Config) {
			for _, t := range []*distill.Training{&c.FineTune, &c.BitNetSFT, &c.Stage2, &c.Stage3} {
				t.Remat = f.remat
			}
		},
		"precision": func(c *distill.Config) {
			for _, t := range []*distill.Training{&c.BitNetSFT, &c.Stage2, &c.Stage3} { // it acts on ternary linears alone
				if t.Precision = f.precision; f.precision == "f32" {
					t.Precision = "" // the default
				}
			}
		},
	}
}

// validate lists all faults of the settings under one heading, which names the config file if there is one.
func (f *runFlags) validate(cfg distill.Config) error {
	err := cfg.Validate()
	if err == nil {
		return nil
	}
	faults := strings.Split(err.Error(), "\n")
	from := "settings"
	if f.config != "" {
		from = f.config
	}
	if len(faults) == 1 {
		return inputf("%s: %w", from, err)
	}
	return inputf("%s: %d faults:\n%w", from, len(faults), err)
}
