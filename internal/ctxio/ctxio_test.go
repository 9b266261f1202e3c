package ctxio

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
)

// endless is a source that ends with its context alone, which it cancels after some reads.
type endless struct {
	left   int
	cancel func()
}

func (e *endless) Read(p []byte) (int, error) {
	if e.left--; e.left == 0 {
		e.cancel()
	}
	return len(p), nil
}

func TestReader(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	if got, err := io.ReadAll(Reader(ctx, strings.NewReader("all of it"))); string(got) != "all of it" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	source := &endless{3, cancel}
	if _, err := io.Copy(io.Discard, Reader(ctx, source)); !errors.Is(err, context.Canceled) || source.left != 0 {
		t.Errorf("%v with %d reads left", err, source.left)
	}
}

func TestWriter(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var b strings.Builder
	w := Writer(ctx, &b)
	if n, err := io.WriteString(w, "before"); n != 6 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	cancel()
	if n, err := io.WriteString(w, "after"); n != 0 || !errors.Is(err, context.Canceled) || b.String() != "before" {
		t.Errorf("%d, %v, %q written", n, err, b.String())
	}
}
