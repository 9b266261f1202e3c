//go:build !unix

package backend

func restart() {}
