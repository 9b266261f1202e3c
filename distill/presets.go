package distill

import (
	"fmt"
	"strings"

	"github.com/bitdistill/bitdistill/bitnet"
	"github.com/bitdistill/bitdistill/distill/data"
	"github.com/bitdistill/bitdistill/distill/loss"
)

// DefaultPreset is what a run without arguments uses.
const DefaultPreset = "embedded"

// presets in the order in which they are shown. Each changes the one it is made from.
var presets = []struct {
	name, about string
	config      func() Config
}{
	{"embedded", "the model, task and corpus in the binary, in some eight minutes", embeddedPreset},
	{"embedded-long", "the same with the time it needs", embeddedLongPreset},
	{"classification", "the paper's settings for classification (lambda 10, gamma 1e5)", classification},
	{"summarization", "the paper's settings for summarization (lambda 1, gamma 1e3)", summarization},
	{"balanced", "loss weights balanced for small models (lambda 1, gamma 20)", balanced},
	{"seed", "a second-hand description of the method: gamma 1e-5, relations without L2 normalisation at temperature 5", seed},
}

// Presets are the names that [Preset] knows, with a line about each.
func Presets() (names, about []string) {
	for _, p := range presets {
		names, about = append(names, p.name), append(about, p.about)
	}
	return names, about
}

// Preset returns the settings of that name. It is the only home of default numbers.
func Preset(name string) (Config, error) {
	for _, p := range presets {
		if p.name == name {
			c := p.config()
			c.Preset = name
			return c, nil
		}
	}
	names, _ := Presets()
	return Config{}, fmt.Errorf("preset: %q is not one of %s", name, strings.Join(names, ", "))
}

// classification is the paper's set-up: loss weights as published, which belong to the reference code's normalisations;
// length 512, batch 32. Spikes are those of OLMo-core. Learning rates are the reference code's for QNLI in full precision and MNLI for the student; stage 2
// has no published rate.
func classification() Config {
	fineTune := Training{
		Epochs: 2, BatchSize: 32, LearningRate: 5e-6, Schedule: "linear", Warmup: 0.05, WeightDecay: 0.1,
		Beta1: 0.9, Beta2: 0.999, Epsilon: 1e-8, ClipNorm: 1, SkipSpikes: 6, EvalEvery: 500,
	}
	student := fineTune
	student.Epochs, student.LearningRate, student.Schedule, student.WeightDecay = 3, 5e-5, "cosine", 0.01
	corpus := student
	corpus.Epochs, corpus.Tokens, corpus.LearningRate, corpus.EvalEvery = 0, 10e9, 1e-4, 1000
	return Config{
		Seed: 1, Backend: "auto",
		Task:    Task{Name: "sst2", MaxLength: 512, Overlong: data.Truncate, SelectionRows: 500},
		Corpus:  Corpus{Length: 512, ReportWindows: 64, SelectionWindows: 64},
		Student: bitnet.Ternary(bitnet.SubLNOutput),

		FineTune: fineTune, BitNetSFT: student, Stage2: corpus, Stage3: student,
		Loss: Loss{
			Lambda: 10, Gamma: 1e5, Logits: loss.Logits{Tau: 5, TauSquared: true}, Positions: "all", Layer: -6,
			Relations: loss.Relations{SplitHeads: 32, Variant: loss.L2, Normalisation: loss.Reference, Temperature: 1, Alpha: loss.Alpha{1, 1, 1}},
		},
		EvalBatchSize: 32, LogEvery: 10, TernaryEvery: 100, CheckpointEvery: 500,
	}
}

func summarization() Config {
	c := classification()
	c.Loss.Lambda, c.Loss.Gamma = 1, 1e3
	c.Stage3.Epochs, c.BitNetSFT.Epochs = 6, 6
	c.Task.GenerateRows = 500 // greedy texts of three models take hours on a CPU
	return c
}

// balanced lets cross entropy, logits and relations weigh about the same where the paper's gamma would drown the others: models
// that are small, or trained on little.
func balanced() Config {
	c := classification()
	c.Loss = balancedLoss()
	c.Loss.Layer = -1
	return c
}

func balancedLoss() Loss {
	return Loss{
		Lambda: 1, Gamma: 20, Logits: loss.Logits{Tau: 5, TauSquared: true}, Positions: "answer", Layer: -1,
		Relations: loss.Relations{Variant: loss.L2, Normalisation: loss.Algorithm1, Temperature: 1, Alpha: loss.Alpha{1, 1, 1}},
	}
}

// seed keeps a description of the method that goes around beside the paper: gamma with the sign of its exponent lost, and
// relations of the raw states at the logits' temperature. It is here to be compared with.
func seed() Config {
	c := classification()
	c.Loss.Gamma = 1e-5
	c.Loss.Relations.Variant, c.Loss.Relations.Temperature = loss.Dot, 5
	c.Loss.Relations.Normalisation = loss.Algorithm1
	return c
}

// embeddedPreset fits the 260K-parameter model in the binary: minutes on two cores without anything installed.
func embeddedPreset() Config {
	c := classification()
	c.Model, c.Teacher = Embedded, Embedded
	c.Task = Task{Name: Embedded, Train: Embedded, Dev: Embedded, MaxLength: 64, Overlong: data.Truncate}
	c.Corpus = Corpus{Files: []string{Embedded}, Length: 128, ReportWindows: 64}
	c.FineTune = Training{
		Steps: 250, BatchSize: 32, LearningRate: 2e-3, Schedule: "linear", Warmup: 0.05, WeightDecay: 0.01,
		Beta1: 0.9, Beta2: 0.999, Epsilon: 1e-8, ClipNorm: 1, SkipSpikes: 6,
	}
	c.BitNetSFT = c.FineTune
	c.BitNetSFT.LearningRate = 3e-3
	c.Stage3 = c.BitNetSFT
	c.Stage2 = c.BitNetSFT
	c.Stage2.Steps, c.Stage2.BatchSize = 100, 16
	c.Loss = balancedLoss()
	c.Loss.Lambda, c.Loss.Gamma = 10, 100
	c.EvalBatchSize, c.CheckpointEvery, c.TernaryEvery = 64, 50, 25
	return c
}

func embeddedLongPreset() Config {
	c := embeddedPreset()
	for _, t := range []*Training{&c.FineTune, &c.BitNetSFT, &c.Stage3} {
		t.Steps, t.EvalEvery = 2000, 200
	}
	c.Task.SelectionRows = 500
	c.Stage2.Steps, c.Stage2.EvalEvery = 2000, 200
	c.Corpus.SelectionWindows = 32
	c.CheckpointEvery = 200
	return c
}
