// Command bitdistill turns a pretrained decoder into a 1.58-bit model for one task, and judges what comes out. It is a thin
// layer over the package distill: here is what belongs to a command line, flags, output, exit codes and signals, and
// nothing that a program which imports distill would miss.
//
// A command is a file. Data go to stdout, everything else to stderr. Exit codes: 0 done, 1 failed, 2 wrong input, 130
// interrupted.
package main
