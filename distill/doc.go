// Package distill turns a pretrained decoder into a 1.58-bit model for one task, after "BitNet Distillation" (arXiv
// 2510.13998), and trains the two models that it is judged against.
//
// A [Config] says all that decides the result; [Preset] makes one. [Open] makes a run folder, and the methods of [Run] are
// the stages: [Run.Teacher], [Run.Baseline], [Run.Stage1] (SubLN inserted, linears turned ternary), [Run.Stage2] (continual
// pre-training), [Run.Stage3] (distillation of logits and attention relations), [Run.Evaluate]; [Run.Do] runs them all. Each
// leaves a folder in Hugging Face form. Whatever ends a run, it goes on from the last checkpoint with [Options.Resume], and ends
// with the same weights as if it had not been interrupted.
//
// [Export] writes a ternary model as one file that an engine without GoMLX reads. [BenchTraining] measures the steps of a training.
//
// Where to read: stages.go has the method, trainer.go the loop, step.go the graphs of gradient and update, checkpoint.go what
// survives. The losses are in distill/loss, reading and batching of data in distill/data, judging in distill/eval, and the
// network itself in bitnet and bitnet/decoder.
package distill
