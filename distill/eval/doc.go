// Package eval judges models: accuracy of a classifier by its label words, perplexity of a language model, and what a model writes
// when it continues prompts, in the graph that training has or, by [Packed], in the engine of package infer. It reads models and data and changes neither; training belongs to distill, reading files to distill/data, and comparing texts with
// references, which needs no model, to overlap.
package eval
