// Package bpe turns text into token ids and back as a Hugging Face tokenizer.json describes, for the byte-pair encoding
// models: byte-level (Llama 3, Qwen, SmolLM2) and SentencePiece-style with byte fallback (Llama 2, stories260K).
//
// It belongs here if it is in tokenizer.json; which token begins a text for a model, and what vocabulary the model
// has, is the business of package hf. Files are read there too: [Parse] takes bytes. No GoMLX here.
//
// Everything in the file that decides the ids is either done exactly or refused by name: a tokenizer that skips a step
// it does not know gives plausible, wrong ids. The Go libraries that read this format do skip (lookahead patterns,
// Digits, Prepend, byte fallback), hence this package.
//
// Files: tokenizer.go is what callers see, file.go reads and checks, added.go finds special tokens, normalize.go, split.go and merge.go are the steps of
// [Tokenizer.Encode] in their order, decode.go is the way back.
package bpe
