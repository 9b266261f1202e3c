// Package notebook runs Jupyter notebooks without a browser and without Python: it reads a file of format 4, sets parameters,
// executes the cells on a kernel and keeps what they show, and writes the notebook, a JUnit report and an HTML page.
//
// Here belongs what a notebook is and when one has failed. How a kernel is spoken with is package jupyter's, where the Go kernel
// comes from package gonb's below, and flags and exit codes are the command line's.
//
// # When a cell has failed
//
// The Go kernel answers "ok" although the program of a cell panicked or ended with another status than 0, a shell command
// failed, or a %command does not exist; it only prints so. A cell has failed here when the kernel says so and also when its stderr
// has such a line, see Failure.
//
// # What is written
//
// Files are as Jupyter writes them, and the same outputs give the same bytes: ids of cells are kept or made from their content,
// times are left out, adjacent stream outputs are one, and what a carriage return overwrote is gone.
//
// Files: format.go is the file, parameters.go and literal.go the parameters, outputs.go gathers what a kernel publishes,
// failure.go judges it, run.go executes, junit.go and html.go report, math.go
// keeps formulas of texts as they are.
package notebook
