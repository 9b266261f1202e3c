// Package backendtest opens the backend that tests compute on: one for all tests of a package. Only tests import it.
package backendtest

import (
	"cmp"
	"os"
	"sync"
	"testing"

	"github.com/bitdistill/bitdistill/internal/backend"
	"github.com/gomlx/compute"
)

// Env names another backend than the pure-Go one, as backend.Open takes it.
const Env = "BITDISTILL_TEST_BACKEND"

// choice is shared, since a tensor belongs to the backend it was first used on.
var choice = sync.OnceValues(func() (*backend.Choice, error) {
	return backend.Open(cmp.Or(os.Getenv(Env), backend.Go))
})

// Open returns the backend, which no test closes. The test fails if it cannot be opened.
func Open(t testing.TB) compute.Backend {
	t.Helper()
	c, err := choice()
	if err != nil {
		t.Fatalf("%s=%s: %v", Env, os.Getenv(Env), err)
	}
	return c.Backend
}
