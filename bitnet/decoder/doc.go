// Package decoder builds decoder-only transformers as GoMLX graphs: Llama (with SmolLM2), Qwen2, Qwen3 and Gemma3, each with its linears in
// full precision or as BitLinears, and with SubLN nowhere, in front of the output projections, or in front of every linear.
//
// A model is an [arch.Config] and a model.Store: the config says what function the weights are of, [arch.Config.Tensors] which
// variables the store holds. [Forward] is the function, of whole sequences or, with a [Cache], of one more token; [Freeze] prepares the
// weights for many passes over few tokens. It is built for a pure-Go backend, where a transpose or an element-wise
// loop costs more than the matrix product beside it, and for XLA alike.
//
// What does not belong here: reading files (bitnet/hf), losses, optimizers and training (distill).
package decoder
