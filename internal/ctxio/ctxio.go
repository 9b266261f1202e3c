// Package ctxio makes reading end with a context. Waiting for a slow source does not belong here: a Read under way is not broken off.
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
