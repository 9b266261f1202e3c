// Package files reads and writes what models are kept in: Hugging Face folders of config.json, model.safetensors (also in shards) and
// tokenizer.json, and GGUF files, which are read as if they were the folder that their metadata describe. [Open] gives what files say of
// a [Model], and its [Weights] to be read one by one; a Model with weights becomes a folder again that transformers can read.
//
// Here belongs what is particular to these files: spellings and defaults of config.json, which of its keys change the
// function of a model, shards, names and layouts of tensors in GGUF files, the files of a tokenizer and which token begins a text. The
// names and shapes of tensors do not: arch.Config.Tensors is their only home. Nor do the formats (internal/safetensors, bitnet/gguf), the
// algorithm of the tokenizer (bitnet/hf/bpe), the language of chat templates (bitnet/hf/chat), GoMLX (bitnet/hf), or making a folder
// appear whole or not at all (internal/atomicfile).
//
// What files say is honoured or refused by name. Errors are one of: [*FileError], with all faults of a file at once;
// *safetensors.FormatError or *gguf.FormatError, for a damaged weight file; or an error that wraps the operating system's.
//
// Files: model.go opens and saves, config.go, config_families.go and keys.go read config.json, write.go writes it, weights.go and
// shards.go are for the tensors, tokenizer.go and chat.go are for text. gguf.go makes the config of a GGUF file, gguf_tokenizer.go its
// tokenizer, and gguf_tensors.go finds its tensors.
package files
