package hub

import (
	"errors"
	"fmt"
	"time"
)

// What went wrong, for callers that treat it differently: test with errors.Is.
var (
	// ErrUnreachable: no network, a server that stays silent or overloaded, or
	// HF_HUB_OFFLINE, and what was wanted is not in the cache.
	ErrUnreachable = errors.New("hub: not reachable")
	// ErrNotFound: no such repository, revision or file.
	ErrNotFound = errors.New("hub: not found")
	// ErrDenied: the repository is gated or private, or the token is wrong.
	ErrDenied = errors.New("hub: access denied")
)

// kindError is err, which errors.Is finds to be kind too.
type kindError struct{ kind, err error }

func (e *kindError) Error() string   { return e.err.Error() }
func (e *kindError) Unwrap() []error { return []error{e.kind, e.err} }

func kindErrorf(kind error, format string, args ...any) error {
	return &kindError{kind, fmt.Errorf(format, args...)}
}

// passingError is worth another attempt.
type passingError struct {
	err   error
	after time.Duration // that the server asks to wait; 0 if it does not
}

func (e *passingError) Error() string { return e.err.Error() }
func (e *passingError) Unwrap() error { return e.err }

func passingErrorf(format string, args ...any) error {
	return &passingError{err: fmt.Errorf(format, args...)}
}
