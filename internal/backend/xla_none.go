//go:build !(cgo && !noxla && ((linux && (amd64 || arm64)) || (darwin && arm64)))

package backend

import (
	"errors"

	"github.com/gomlx/compute"
)

const xlaBuilt = false

// newXLA is never reached in this build: openXLA refuses first.
func newXLA(_, _, _ string) (compute.Backend, error) {
	return nil, errors.New(noXLA)
}
