package hub

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/bitdistill/bitdistill/internal/tensorfile"
	"github.com/gofrs/flock"
)

// Fetch brings files into the cache, unless they are there, and returns Folder.
// It may be called at any time by any number of processes.
func (r *Repo) Fetch(ctx context.Context, names ...string) (string, error) {
	return r.Folder(), r.fetchAndNote(ctx, r.Progress, names)
}

// fetchAndNote is fetch, and makes what has come be found without the hub later.
func (r *Repo) fetchAndNote(ctx context.Context, progress func(done, total int64), names []string) error {
	if err := r.fetch(ctx, progress, names); err != nil {
		return err
	}
	if err := errors.Join(r.saveRef(), r.saveList()); err != nil { // the files are there all the same: the cache may be read-only
		r.Log(fmt.Sprintf("%s: cannot be found without the hub later: %v", r.id, err))
	}
	return nil
}

// fetch is Fetch without noting that the commit is complete.
func (r *Repo) fetch(ctx context.Context, progress func(done, total int64), names []string) error {
	if progress == nil {
		progress = func(int64, int64) {}
	}
	files := make([]File, len(names))
	var total int64
	for i, name := range names {
		f, ok := r.find(name)
		if !ok {
			if !safeName(name) {
				return fmt.Errorf("%s: refused: the name %s could lead out of the cache, or cannot be used on this system", r.id, tensorfile.Quote(name))
			}
			if r.absent != nil {
				return r.notCached(r.id.repo() + "/" + name)
			}
			return kindErrorf(ErrNotFound, "%s: has no file %s", r.id, tensorfile.Quote(name))
		}
		if r.absent != nil {
			info, err := os.Stat(r.pointer(f))
			if err != nil || !info.Mode().IsRegular() {
				return r.notCached(r.id.repo() + "/" + name)
			}
			f.Size = info.Size()
		} else {
			if err := r.complete(ctx, &f); err != nil {
				return r.named(f, err)
			}
		}
		if total += f.Size; f.Size > r.limit(name) || total > maxTotal {
			return r.named(f, fmt.Errorf("refused: a size of %d bytes, with %d in all", f.Size, total))
		}
		files[i] = f
	}
	var before int64
	for _, f := range files {
		if r.absent == nil {
			err := r.fetchOne(ctx, f, func(done int64) { progress(before+done, total) })
			if err != nil {
				return r.named(f, err)
			}
		}
		before += f.Size
		progress(before, total)
	}
	return nil
}

// named puts the file before what is wrong with it.
func (r *Repo) named(f File, err error) error { return fmt.Errorf("%s: %s: %w", r.id, f.Name, err) }

// pointer is where a file is found under its name.
func (r *Repo) pointer(f File) string { return filepath.Join(r.Folder(), filepath.FromSlash(f.Name)) }

// blob is where its content is.
func (r *Repo) blob(f File) string { return filepath.Join(r.storage(), "blobs", f.hash) }

// fetchOne makes snapshots/COMMIT/NAME, a link to blobs/HASH.
func (r *Repo) fetchOne(ctx context.Context, f File, progress func(done int64)) error {
	pointer := r.pointer(f)
	if hasSize(pointer, f.Size) {
		return nil
	}
	blob := r.blob(f)
	for _, file := range []string{pointer, blob} {
		if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
			return err
		}
	}
	lock, err := r.lock(ctx, f)
	if err != nil {
		return err
	}
	defer lock.Close()
	if !hasSize(blob, f.Size) {
		if err := r.download(ctx, f, blob, progress); err != nil {
			return err
		}
		r.came[f.Name] = f
	}
	return link(blob, pointer)
}

// hasSize follows links.
func hasSize(path string, size int64) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Size() == size
}

// lock keeps others from fetching the same content, until the lock is closed.
func (r *Repo) lock(ctx context.Context, f File) (*flock.Flock, error) {
	lock, ok, err := r.tryLock(f)
	if err == nil && !ok {
		r.Log(fmt.Sprintf("%s: waiting for another process that fetches it", f.Name))
		if _, err = lock.TryLockContext(ctx, 100*time.Millisecond); err != nil {
			err = fmt.Errorf("lock %s: %w", lock.Path(), err)
		}
	}
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		lock.Close()
		return nil, err
	}
	return lock, nil
}

// tryLock tells whether the lock could be had at once; it is to be closed in any
// case. Its file is the one that the Python libraries use.
func (r *Repo) tryLock(f File) (lock *flock.Flock, ok bool, err error) {
	lock = flock.New(filepath.Join(r.Cache, ".locks", r.flatName(), f.hash+".lock"))
	if err := os.MkdirAll(filepath.Dir(lock.Path()), 0o777); err != nil {
		return lock, false, err
	}
	if ok, err = lock.TryLock(); err != nil {
		err = fmt.Errorf("lock %s: %w", lock.Path(), err)
	}
	return lock, ok, err
}

// link makes pointer lead to blob, relative so that the cache can be moved.
func link(blob, pointer string) error {
	target, err := filepath.Rel(filepath.Dir(pointer), blob)
	if err != nil {
		return err
	}
	temp := pointer + ".tmp"
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Symlink(target, temp); err != nil {
		if err := os.Link(blob, temp); err != nil { // Windows without the right to make symbolic links
			return err
		}
	}
	return os.Rename(temp, pointer)
}
