package hub

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"
)

const (
	reopenings    = 5 // of a file that other processes remove as soon as it is there
	progressEvery = time.Second
)

// Shards hands out files of a repository in order. While one is in use, the
// next is brought into the cache. Unless they are to be kept, files that
// Shards has brought are removed again once a later one is opened, or Close is
// told that all were read, so that two of them take room at a time. Progress and
// Log of the options are called by Open and Close alone.
type Shards struct {
	repo  *Repo
	names []string
	keep  bool
	ctx   context.Context // ends with Close
	stop  context.CancelFunc
	log   func(sentence string)

	mu      sync.Mutex // one Open or Close at a time
	current int        // was opened last; -1 for none
	ahead   *transfer  // of current+1, or of what is to become current; nil for none

	notesMu sync.Mutex
	notes   []string // that transfers have to log
}

// transfer brings a file into the cache, beside what else happens.
type transfer struct {
	shard int
	stop  context.CancelFunc
	done  chan struct{} // closed once err is final
	err   error

	mu          sync.Mutex
	have, total int64
}

// Shards are files of the repository, to be opened by their numbers in names.
// Everything ends with ctx; Close must be called. The Repo is then Shards' own.
func (r *Repo) Shards(ctx context.Context, names []string, keep bool) *Shards {
	s := &Shards{repo: r, names: names, keep: keep, log: r.Log, current: -1}
	s.ctx, s.stop = context.WithCancel(ctx)
	r.Log = func(sentence string) {
		s.notesMu.Lock()
		defer s.notesMu.Unlock()
		s.notes = append(s.notes, sentence)
	}
	return s
}

// Open waits for file i, opens it, and begins to fetch the next one. Errors are
// those of [Repo.Fetch].
func (s *Shards) Open(i int) (*os.File, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.tell()
	wanted, _ := s.repo.find(s.names[i])
	for range reopenings {
		if i != s.current {
			if err := s.bring(i); err != nil {
				return nil, err
			}
		}
		f, err := os.Open(s.repo.pointer(wanted))
		if err == nil {
			s.turnTo(i)
			return f, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		s.current = -1
	}
	return nil, fmt.Errorf("%s: %s: another process removes it again and again", s.repo.id, wanted.Name)
}

// bring waits until file i is in the cache.
func (s *Shards) bring(i int) error {
	if s.ahead != nil && s.ahead.shard != i {
		s.abandon()
	}
	if s.ahead == nil {
		s.begin(i)
	}
	t := s.ahead
	tick := time.NewTicker(progressEvery)
	defer tick.Stop()
	for {
		select {
		case <-t.done:
			s.ahead = nil
			t.stop()
			s.report(t)
			return t.err
		case <-tick.C:
			s.tell()
			s.report(t)
		}
	}
}

// begin starts a transfer.
func (s *Shards) begin(i int) {
	t := &transfer{shard: i, done: make(chan struct{})}
	var ctx context.Context
	ctx, t.stop = context.WithCancel(s.ctx)
	s.ahead = t
	go func() {
		defer close(t.done)
		t.err = s.repo.fetchAndNote(ctx, t.progress, s.names[i:i+1])
	}()
}

func (t *transfer) progress(have, total int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.have, t.total = have, total
}

// abandon ends a transfer. What has come is kept and gone on from.
func (s *Shards) abandon() {
	if s.ahead != nil {
		s.ahead.stop()
		<-s.ahead.done
		s.ahead = nil
	}
}

// turnTo makes i the current file: what was before goes, and the next one comes.
func (s *Shards) turnTo(i int) {
	if i == s.current {
		return
	}
	s.current = i
	s.remove(i)
	if i+1 < len(s.names) && s.ctx.Err() == nil {
		s.begin(i + 1)
	}
}

// remove takes the files before number end out of the cache that were not there before. No transfer may be under way.
func (s *Shards) remove(end int) {
	if s.keep {
		return
	}
	for _, name := range s.names[:end] {
		f, here := s.repo.came[name]
		if !here {
			continue
		}
		delete(s.repo.came, name)
		if err := s.repo.drop(f); err != nil {
			s.repo.Log(fmt.Sprintf("%s: %s stays in the cache: %v", s.repo.id, name, err))
		}
	}
}

// report tells how far a transfer is.
func (s *Shards) report(t *transfer) {
	t.mu.Lock()
	have, total := t.have, t.total
	t.mu.Unlock()
	if s.repo.Progress != nil {
		s.repo.Progress(have, total)
	}
}

// tell logs what transfers had to say.
func (s *Shards) tell() {
	s.notesMu.Lock()
	notes := s.notes
	s.notes = nil
	s.notesMu.Unlock()
	for _, sentence := range notes {
		s.log(sentence)
	}
}

// Close ends what is under way. read says that all files were read to their
// ends: those that Open would have removed go. Otherwise the one in use and what
// has come of the next stay in the cache, for whoever goes on. Files that are
// open stay readable.
func (s *Shards) Close(read bool) {
	s.stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.abandon()
	if read {
		s.remove(len(s.names))
	}
	s.tell()
}

// drop removes a file from the cache: its name and its content. It does not wait
// for another process that holds the lock, since that one is about to use it.
func (r *Repo) drop(f File) error {
	lock, ok, err := r.tryLock(f)
	if err != nil {
		return err
	}
	if !ok {
		return fmt.Errorf("another process holds %s", lock.Path())
	}
	defer lock.Close()
	for _, path := range []string{r.pointer(f), r.blob(f)} {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
