package main

import (
	"fmt"
	"strings"
)

// captions say what a chart shows, by how its title begins.
var captions = []struct{ title, caption string }{
	{"Accuracy on held-out data", "The three models on sentences that no training has seen, with the standard error of each."},
	{"Perplexity of held-out completions", "The three models on completions that no training has seen."},
	{"Training speed", "Tokens a second in training; BitDistill's are of stages 2 and 3 together, and in stage 3 the teacher runs too."},
	{"Memory of the linears", "What the linear layers take to run with: 16 bits a weight, or 2 bits a ternary one."},
	{"Memory of the whole model", "The same with embeddings and norms, which stay at 16 bits."},
	{"Loss of Stage-2", "Training on text, which repairs the model that became ternary, on a logarithmic axis; a point is a step that was logged."},
	{"Loss of Stage-3", "Training on the task: the three terms as they are, and the weighted sum that is minimised."},
	{"Loss on the completions of the selection split", "Scores on completions cut from the training data, by which the best checkpoint is chosen."},
	{"Loss of ", "Fine-tuning on the task, on a logarithmic axis; a point is a step that was logged."},
	{"Weighted shares of the loss", "Which part of the minimised sum each term is."},
	{"Accuracy on the selection split", "Scores on rows cut from the training data, by which the best checkpoint is chosen."},
	{"Loss on the selection windows", "The same for stage 2, on text set aside."},
	{"Learning rate", "Warm-up and decay of each training; where two are equal, the one below is drawn wider."},
	{"Norm of the gradient", "How long the gradient was before it was clipped."},
	{"Ternary weights", "A layer's latent weights in units of its scale, coloured by the code that they become, and the shares of the codes."},
	{"Scale and sparsity", "What ternarisation makes of every linear layer: its scale, and how many weights become 0."},
	{"Latent weights over training", "How a layer's latent weights move through stage 2 and then, to the right of the upright line, through stage 3; the thresholds are dashed."},
	{"Flips", "The share of ternary weights whose code has changed since the last count."},
	{"Activations as int8", "The codes that inputs of a layer become, on a logarithmic axis."},
	{"Relations of", "Which tokens are alike to the distilled layer, in the teacher and in the student, and the difference."},
}

// readme is the text of the gallery, for charts in order.
func readme(titles []string) (string, error) {
	var b strings.Builder
	b.WriteString(`# Gallery

Every chart in the report of one run, the main job of the [README](../../README.md), as Chromium draws it in light and in dark mode. To
repeat it, with Chromium installed:

` + "```sh" + `
GOEXPERIMENT=simd go run ./cmd/bitdistill run
go -C e2e run ./gallery -run ../bitdistill-run -out ../docs/gallery
` + "```" + `
`)
	for _, title := range titles {
		caption := ""
		for _, c := range captions {
			if strings.HasPrefix(title, c.title) {
				caption = c.caption
				break
			}
		}
		if caption == "" {
			return "", fmt.Errorf("chart %q: has no caption; captions.go takes one", title)
		}
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\n| light | dark |\n|---|---|\n", title, caption)
		for _, theme := range themes {
			fmt.Fprintf(&b, "| ![%s, %s](%s) ", title, theme, fileName(title, theme))
		}
		b.WriteString("|\n")
	}
	return b.String(), nil
}
