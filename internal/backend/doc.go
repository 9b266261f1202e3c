// Package backend opens the GoMLX backend that everything else computes on, and says which one it opened and why.
//
// There are three:
//
//	go        GoMLX's pure-Go backend: always there, needs neither cgo nor a C compiler
//	xla:cpu   XLA on the CPU, through a PJRT plugin (a shared library found on this machine)
//	xla:cuda  XLA on NVIDIA GPUs, the same way
//
// "auto" takes the first of xla:cuda, xla:cpu and go that opens. Nothing but Install touches the network: a plugin is found
// or it is not, and then the error says where it was looked for and how to get one. XLA takes part in builds with cgo
// and without the tag noxla, on the platforms that go-xla supports.
//
// # Environment
//
// GOMLX_BACKEND is read as GoMLX reads it. A backend named by the caller wins over it; what fits that name still counts:
//
//	go[:dependency_order|:creation_order]   auto opens the pure-Go backend, so configured
//	xla[:cpu|:cuda][,option…]               auto tries only these plugins
//	xla:/absolute/plugin.so[,option…]       only this plugin; its file name has to say cpu or cuda
//
// The Go options ops_parallel and parallelism=N are refused: see openGo. PJRT_PLUGIN_LIBRARY_PATH (folders separated
// by ":") is searched first, then go-xla's usual folders and that of Install, then Python packages: of VIRTUAL_ENV and CONDA_PREFIX, of the python3 on
// PATH, of the user, of the virtual environments ~/.local/share/bitdistill/xla and cuda, and of the system.
//
// # What belongs here
//
// Finding and installing plugins, opening and closing backends, the report of `bitdistill doctor`, and facts about the machine that
// others plan with (SIMD; see internal/system for others). Not here: graphs, models, training, flags of commands.
//
// # Limits
//
// A plugin is foreign code in this process. Files that are not loadable libraries (empty, truncated, of another
// processor) are refused before they are loaded, and Go panics become errors, but a plugin that crashes inside
// its own code takes the program with it.
package backend
