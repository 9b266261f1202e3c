// Package hf loads models from Hugging Face folders and GGUF files into GoMLX, and saves them as folders that transformers can read.
//
// What such files say is the business of package files below, which knows nothing of GoMLX: config.json, tokenizer, chat template,
// where each weight is. Here are the weights as variables of a model.Store, and what is done with a whole model: its first
// blocks as a smaller one ([Model.Prefix]).
//
// Errors are one of: *files.FileError, with all faults of a file at once; *safetensors.FormatError or *gguf.FormatError, for a damaged
// weight file; or an error that wraps the operating system's.
package hf
