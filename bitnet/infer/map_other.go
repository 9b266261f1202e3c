//go:build !unix

package infer

import "os"

// mapFile reads a file, where none can be mapped.
func mapFile(path string) (data []byte, unmap func(), err error) {
	data, err = os.ReadFile(path)
	return data, func() {}, err
}
