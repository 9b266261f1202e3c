// Package ctxio makes reading and writing end with a context. Waiting for a slow source or sink does not belong here: a Read or Write
// under way is not broken off.
package ctxio

import (
	"context"
	"io"
)

// Reader reads from r until ctx ends; then every Read fails with ctx.Err().
func Reader(ctx context.Context, r io.Reader) io.Reader { return reader{ctx, r} }

type reader struct {
	ctx context.Context
	r   io.Reader
}

func (r reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}

// Writer writes to w until ctx ends; then every Write fails with ctx.Err().
func Writer(ctx context.Context, w io.Writer) io.Writer { return writer{ctx, w} }

type writer struct {
	ctx context.Context
	w   io.Writer
}

func (w writer) Write(p []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	return w.w.Write(p)
}
