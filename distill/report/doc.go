// Package report turns run folders into a page to read: [Write] makes report.html of one run, or a comparison of several. [Read]
// collects what a folder holds, however far the run has come, and [Run.Page] and [Compare] make pages of it.
// [WriteTensorBoard] writes the logged numbers for TensorBoard.
//
// What belongs here: which numbers of a run are shown, in which order, and the few forward passes that it takes to show samples,
// activations and attention relations. What does not: training and judging (distill), how a chart looks (plots).
package report
