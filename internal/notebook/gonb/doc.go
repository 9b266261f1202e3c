// Package gonb finds or builds the Go kernel for notebooks, GoNB, and the programs that it needs, and says how it is started: for
// a run without a browser, and for Jupyter as a kernel spec.
//
// Their versions are pinned in tools.mod and tools.sum, a module of its own that is part of this program, so that one that is
// installed alone can build them, too. Only versions are decided here; what is said to a kernel belongs to package jupyter.
//
// Files: tools.go finds and builds, checkout.go looks for the module that a notebook belongs to, spec.go makes kernel specs.
package gonb
