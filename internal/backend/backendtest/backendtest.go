// Package backendtest opens the backend that tests compute on: one for all tests of a package. Only tests import it.
package backendtest

import (
	"cmp"
	"errors"
	"os"
	"strings"
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

// XLA returns XLA on the CPU until the test ends. Without a plugin the test is skipped with a message, or fails if BITDISTILL_NO_SKIP
// is 1.
func XLA(t testing.TB) compute.Backend {
	t.Helper()
	c, err := backend.Open(backend.XLACPU)
	switch {
	case errors.Is(err, backend.ErrUnavailable) && os.Getenv("BITDISTILL_NO_SKIP") != "1":
		first, _, _ := strings.Cut(err.Error(), "\n")
		t.Skip("XLA IS NOT TESTED: ", first)
	case err != nil:
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c.Backend
}

// Open returns the backend, which no test closes. The test fails if it cannot be opened.
func Open(t testing.TB) compute.Backend {
	t.Helper()
	c, err := choice()
	if err != nil {
		t.Fatalf("%s=%s: %v", Env, os.Getenv(Env), err)
	}
	return c.Backend
}
