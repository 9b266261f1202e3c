//go:build goexperiment.simd && amd64

package backend

// mixesVectorCode says that kernels with wide vectors are in the build, beside the standard library's SSE code.
const mixesVectorCode = true
