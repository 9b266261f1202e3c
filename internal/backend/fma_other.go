//go:build !(goexperiment.simd && amd64 && unix)

package backend

const mixesVectorCode = false

func restart() {}
