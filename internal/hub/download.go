package hub

import (
	"bytes"
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"syscall"

	"github.com/bitdistill/bitdistill/internal/ctxio"
	"github.com/bitdistill/bitdistill/internal/tensorfile"
)

// partial is a file on its way, under a name of its own. What of it is there
// outlives the process.
type partial struct {
	file   *os.File
	want   File
	done   int64     // bytes in the file
	sum    hash.Hash // of them
	resume bool      // some of them are from an earlier process
}

// openFile is os.OpenFile, but for tests of a full disk.
var openFile = os.OpenFile

// openPartial goes on with the file at path, or begins it.
func openPartial(ctx context.Context, path string, want File) (*partial, error) {
	if info, err := os.Lstat(path); err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: is not a regular file", path)
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	f, err := openFile(path, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, err
	}
	p := &partial{file: f, want: want}
	if err := p.readBack(ctx); err != nil {
		f.Close()
		return nil, err
	}
	return p, nil
}

// readBack hashes what is there, which can be many gigabytes.
func (p *partial) readBack(ctx context.Context) error {
	info, err := p.file.Stat()
	if err != nil {
		return err
	}
	p.sum = newSum(p.want)
	if info.Size() > p.want.Size { // of something else
		return p.restart()
	}
	p.done, err = io.Copy(p.sum, ctxio.Reader(ctx, io.LimitReader(p.file, info.Size())))
	p.resume = p.done > 0
	return err
}

// newSum is SHA-256, or Git's SHA-1 with the header that it puts before a file.
func newSum(f File) hash.Hash {
	if len(f.hash) == 2*sha256.Size {
		return sha256.New()
	}
	sum := sha1.New()
	fmt.Fprintf(sum, "blob %d\x00", f.Size)
	return sum
}

// restart forgets all bytes.
func (p *partial) restart() error {
	if _, err := p.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	p.done, p.sum, p.resume = 0, newSum(p.want), false
	return p.file.Truncate(0)
}

// Write appends. A disk that is full says what to do.
func (p *partial) Write(b []byte) (int, error) {
	n, err := p.file.Write(b)
	p.sum.Write(b[:n])
	p.done += int64(n)
	if errors.Is(err, syscall.ENOSPC) {
		err = fmt.Errorf("%w: %d bytes are still to come; make room, or set HF_HOME to a folder on another disk. What has come is kept", err, p.want.Size-p.done)
	}
	return n, err
}

// right tells whether all bytes are those of the hub.
func (p *partial) right() bool {
	want, err := hex.DecodeString(p.want.hash)
	return err == nil && bytes.Equal(p.sum.Sum(nil), want)
}

// download makes the file blob.
func (r *Repo) download(ctx context.Context, f File, blob string, progress func(done int64)) error {
	path := blob + ".incomplete"
	p, err := openPartial(ctx, path, f)
	if err != nil {
		return err
	}
	defer p.file.Close()
	if p.resume {
		r.Log(fmt.Sprintf("%s: goes on after %d of %d bytes", f.Name, p.done, f.Size))
	}
	for {
		resumed := p.resume
		if err := r.fill(ctx, p, progress); err != nil {
			return err
		}
		if p.right() {
			break
		}
		if err := p.restart(); err != nil {
			return err
		}
		if !resumed { // else the earlier part may have been damaged, or of another program
			os.Remove(path)
			return fmt.Errorf("refused: the bytes received do not have the checksum %s that the hub states; they were changed on the way", f.hash)
		}
		r.Log(fmt.Sprintf("%s: what was there is damaged; it is fetched from its start", f.Name))
	}
	if err := p.file.Sync(); err != nil {
		return err
	}
	if err := p.file.Close(); err != nil {
		return err
	}
	if err := os.Rename(path, blob); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(blob))
}

// fill fetches what is missing, in as many attempts as it takes.
func (r *Repo) fill(ctx context.Context, p *partial, progress func(done int64)) error {
	if p.done == p.want.Size {
		return nil
	}
	return r.retry(ctx, p.want.Name, func() (int64, error) {
		before := p.done
		err := r.receive(ctx, p, progress)
		return p.done - before, err
	})
}

// receive makes one attempt.
func (r *Repo) receive(ctx context.Context, p *partial, progress func(done int64)) error {
	resp, err := r.request(ctx, http.MethodGet, r.address(p.want), p.done)
	if err != nil {
		return err
	}
	defer resp.stop()
	switch resp.StatusCode {
	case http.StatusOK:
		if p.done > 0 { // the server knows no ranges
			if err := p.restart(); err != nil {
				return err
			}
		}
	case http.StatusPartialContent:
		want := fmt.Sprintf("bytes %d-%d/%d", p.done, p.want.Size-1, p.want.Size)
		if got := resp.Header.Get("Content-Range"); p.done == 0 || got != want {
			return fmt.Errorf("refused: %s sends %s where %s was asked for", r.endpoint.Host, tensorfile.Quote(got), want)
		}
	default:
		return fmt.Errorf("%s answers %d", r.endpoint.Host, resp.StatusCode)
	}
	left := p.want.Size - p.done
	if n := resp.ContentLength; n >= 0 && n != left {
		return fmt.Errorf("refused: %s sends %d bytes, the hub states %d", r.endpoint.Host, n, left)
	}
	return p.copy(resp.body, progress)
}

// copy appends what comes, until it is all there.
func (p *partial) copy(body io.Reader, progress func(done int64)) error {
	buffer := make([]byte, 256<<10)
	for {
		n, err := body.Read(buffer)
		if p.done+int64(n) > p.want.Size {
			return fmt.Errorf("refused: more than the %d bytes that the hub states are sent", p.want.Size)
		}
		if n > 0 {
			if _, err := p.Write(buffer[:n]); err != nil {
				return err
			}
			progress(p.done)
		}
		switch {
		case err == io.EOF && p.done < p.want.Size:
			return passingErrorf("the link was cut after %d of %d bytes", p.done, p.want.Size)
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
	}
}

// syncFolder makes a rename last. Where folders cannot be synced, they need not be.
func syncFolder(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer d.Close()
	d.Sync()
	return nil
}
