// Package data turns files into batches: corpora for stage 2, tasks for the teacher, the baselines, stage 3 and
// evaluation. It reads, tokenizes, truncates, packs, splits and pads.
//
// What belongs here: file formats of text and tables, prompts and what should follow them, the order in which rows are seen.
// What does not: models, losses, metrics, anything of GoMLX. A [Batch] is plain Go slices.
//
// The way of a task:
//
//	LookupTask -> Task.Read (TSV, CSV, JSONL or Parquet become a [Dataset]: rows of text) -> Split, Disjoint -> Task.Tokenize ([Examples])
//	           -> NewTraining (endless, shuffled) or NewEvaluation (every row once)
//
// and of a corpus:
//
//	Files -> ReadCorpus ([Corpus]: windows of one run of token ids) -> NewPacked (endless, shuffled) or NewWindows (in order)
//
// or, where it is tokenized once and read from disk from then on, alone or in a mixture:
//
//	Files -> Tokenize (in shards) -> MergeTokenized -> OpenTokenized -> OpenCorpus -> NewPacked, or NewMixture of several
//
// A [Source] has no state that moves: Batch(step) depends on the data, the options and the step alone. A run that
// stops and continues asks for the next step and gets what it would have got; [Source.Fingerprint] tells whether
// the data are still the same. The same files, options and seed give the same batches on every machine.
//
// Every row that is skipped, cut or dropped is counted, and the counts print as one line.
package data
