// Package loss holds the three terms of the distillation objective
//
//	L = CE + lambda·LD + gamma·AD
//
// as GoMLX graph functions: cross entropy ([CrossEntropy]), logits distillation ([Logits], the paper's Eq. 7 and 8) and
// attention-relation distillation ([Relations], Eq. 9 to 12 and Algorithm 1 of "BitNet Distillation",
// arXiv 2510.13998v1).
//
// Every term is a sum over the micro-batch divided by a denominator that the caller counts over the whole batch. The
// terms of the micro-batches of a batch therefore add up to the term of the batch, and so do their gradients, whatever
// the micro-batches' lengths are. A denominator of zero counts as one: a batch in which nothing counts has loss zero.
//
// Inputs are float32 and so are the results, scalars. Gradients flow into the student only. Like all graph-building
// functions these panic with an error when shapes do not fit; the executor that builds the graph returns it.
//
// The weights lambda and gamma, the choice of layers and positions, and counting belong to the caller. The functions
// never build [batch, length, vocabulary]: they take the logits of the positions that the caller chose.
package loss
