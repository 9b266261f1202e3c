// Package peers holds programs of other engines that this project is compared with.
package peers

import _ "embed"

// TorchTrain is a PyTorch program of the step that [github.com/bitdistill/bitdistill/distill.BenchTraining] measures; how to call it
// stands at its head.
//
//go:embed torch_train.py
var TorchTrain []byte

// Torch is the release of PyTorch that it is written for and tried with.
const Torch = "2.15.0"
