// Package speed measures how fast models run here: models with random weights in the project's engine, what this machine could do at most,
// and llama.cpp on models of the same shape.
//
// Here belong the models, the probes, a pass that is timed, and how llama.cpp's program is called. What runs models is bitnet/infer; flags,
// tables and which process measures what are the command's. No GoMLX here.
package speed
