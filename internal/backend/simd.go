package backend

// SIMD tells whether the program was built with GOEXPERIMENT=simd, which the pure-Go backend's fast kernels need.
func SIMD() bool { return simdBuilt }
