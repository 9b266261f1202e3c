// Package hf reads and writes Hugging Face folders: config.json, model.safetensors (also in shards) and tokenizer.json
// become a [Model], and a Model becomes a folder again that transformers can read. A GGUF file is read as if it were the folder
// that its metadata describe.
//
// Here belongs what is particular to these folders: spellings and defaults of config.json, which of its keys change the
// function of a model, shards, the files of a tokenizer and which token begins a text. The names and shapes of tensors
// do not: arch.Config.Tensors is their only home. Nor do the formats (internal/safetensors, bitnet/gguf), the
// algorithm of the tokenizer (package bpe below), the language of chat templates (package chat below), or making a folder appear whole or not at all (internal/atomicfile).
//
// What a folder says is honoured or refused by name. Errors are one of: [*FileError], with all faults of a file at once;
// *safetensors.FormatError or *gguf.FormatError, for a damaged weight file; or an error that wraps the operating system's.
//
// Files: model.go loads and saves, config.go, config_families.go and keys.go read config.json, write.go writes it, weights.go and
// shards.go are for the tensors, tokenizer.go and chat.go are for text. gguf.go makes the config of a GGUF file, gguf_tokenizer.go its tokenizer, and
// gguf_tensors.go finds its tensors.
package hf
