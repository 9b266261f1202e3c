// Package kit is what every notebook beside it needs and no chapter is about: its parameters as a config, a run folder for a
// kernel, stopping with a message, and a training that is watched while it runs. A notebook that has to spell this out in each of
// its cells cannot be read, and the program of a cell may not import internal packages, as the choice of a backend does.
//
// What does not belong here: anything that a chapter explains, and anything that a program outside of notebooks would want.
package kit
