// Package overlap compares texts that a model wrote with references by the words they share: BLEU as sacrebleu computes
// it, ROUGE as Google's rouge-score does with its stemmer. It takes strings and needs no model: writing the texts belongs
// to the packages that run models, reading references to distill/data.
package overlap
