package hub

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/bitdistill/bitdistill/internal/hub/hubtest"
)

// shardSet is a data set of n files, its names in order.
func shardSet(t *testing.T, n int) (s *standIn, names []string) {
	files := map[string][]byte{"README.md": []byte("about")}
	for i := range n {
		name := fmt.Sprintf("data/train-%05d.parquet", i)
		files[name] = append(noise(100_000), byte(i))
		names = append(names, name)
	}
	s = newStandIn(t, files)
	s.Kind = string(Datasets)
	return s, names
}

func openShards(t *testing.T, ctx context.Context, o Options, names []string, keep bool) *Shards {
	t.Helper()
	r, err := Open(ctx, Datasets, testID, o)
	if err != nil {
		t.Fatal(err)
	}
	shards := r.Shards(ctx, names, keep)
	t.Cleanup(func() { shards.Close(false) })
	return shards
}

// content opens shard i and reads it.
func content(t *testing.T, shards *Shards, i int) string {
	t.Helper()
	f, err := shards.Open(i)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	data, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// there are the numbers of the shards in the cache.
func there(o Options, names []string) (numbers []int) {
	for i, name := range names {
		if _, err := os.Stat(filepath.Join(o.Cache, "datasets--owner--name", "snapshots", testCommit, name)); err == nil {
			numbers = append(numbers, i)
		}
	}
	return numbers
}

// blobs is the number of files that take room.
func blobs(t *testing.T, o Options) int {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(o.Cache, "datasets--owner--name", "blobs"))
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// While a shard is in use the next one comes, and no other; those that were read go.
func TestReadAhead(t *testing.T) {
	for _, keep := range []bool{false, true} {
		s, names := shardSet(t, 4)
		asked := make([]chan bool, len(names))
		for i := range asked {
			asked[i] = make(chan bool, 1)
		}
		s.Set(func(w http.ResponseWriter, r *http.Request) bool {
			for i, name := range names {
				if s.AtStorage(r, name) {
					asked[i] <- true // blocks where one is asked for again
				}
			}
			return false
		})
		o := s.options()
		shards := openShards(t, t.Context(), o, names, keep)
		for i, name := range names {
			if got := content(t, shards, i); got != string(s.Files[name]) {
				t.Fatalf("%s: %d bytes, not those of the hub", name, len(got))
			}
			if <-asked[i]; i+1 < len(names) {
				<-asked[i+1] // without being opened
				asked[i+1] <- true
			}
			if i+2 < len(names) && len(asked[i+2]) != 0 {
				t.Errorf("with shard %d, %d is fetched too", i, i+2)
			}
			if got := content(t, shards, i); got != string(s.Files[name]) { // Parquet files are opened twice
				t.Fatalf("%s: other bytes when it is opened again", name)
			}
			got := there(o, names)
			if first := slices.Min(got); keep && first != 0 || !keep && first != i {
				t.Errorf("keep %v: with shard %d there are %d", keep, i, got)
			}
			if most := 2; !keep && blobs(t, o) > most {
				t.Errorf("%d files take room, want at most %d", blobs(t, o), most)
			}
		}
		shards.Close(true)
		want := 0
		if keep {
			want = len(names)
		}
		if got := blobs(t, o); got != want || len(there(o, names)) != want {
			t.Errorf("keep %v: %d files and %d names are left", keep, got, len(there(o, names)))
		}
	}
}

// What was in the cache before stays there.
func TestKeepOthers(t *testing.T) {
	s, names := shardSet(t, 3)
	o := s.options()
	r, err := Open(t.Context(), Datasets, testID, o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Fetch(t.Context(), names[1]); err != nil {
		t.Fatal(err)
	}
	shards := openShards(t, t.Context(), o, names, false)
	for i := range names {
		content(t, shards, i)
	}
	shards.Close(true)
	if got := there(o, names); !slices.Equal(got, []int{1}) {
		t.Errorf("left are %d", got)
	}
}

// A link that is cut while a shard is fetched ahead is mended without a word from the reader; one that is missing is named when it
// is its turn, not before.
func TestAheadFails(t *testing.T) {
	s, names := shardSet(t, 4)
	var cuts atomic.Int32
	s.Set(func(w http.ResponseWriter, r *http.Request) bool {
		if s.AtStorage(r, names[1]) && cuts.Add(1) == 1 {
			hubtest.Cut(w, s.Files[names[1]], 30_000)
		}
		if strings.HasSuffix(r.URL.Path, names[2]) {
			w.Header().Set("X-Error-Code", "EntryNotFound")
			w.WriteHeader(404)
			return true
		}
		return false
	})
	o := s.options()
	var said []string
	o.Log = func(text string) { said = append(said, text) }
	shards := openShards(t, t.Context(), o, names, false)
	for i := range 2 {
		if content(t, shards, i) != string(s.Files[names[i]]) {
			t.Errorf("shard %d is another", i)
		}
	}
	if len(said) != 1 || !strings.Contains(said[0], "again in") || !strings.Contains(said[0], names[1]) {
		t.Errorf("said %q", said)
	}
	for range 2 {
		if _, err := shards.Open(2); !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "owner/name: "+names[2]+": has no such file") {
			t.Errorf("got %v", err)
		}
	}
	if content(t, shards, 3) != string(s.Files[names[3]]) {
		t.Error("shard 3 is another")
	}
}

// Any order is served, and what another process removes is fetched again.
func TestAnyOrder(t *testing.T) {
	s, names := shardSet(t, 4)
	o := s.options()
	shards := openShards(t, t.Context(), o, names, false)
	for _, i := range []int{2, 0, 3, 3, 1, 0} {
		if content(t, shards, i) != string(s.Files[names[i]]) {
			t.Errorf("shard %d is another", i)
		}
	}
	<-shards.ahead.done // or it would write to the folder while that is removed
	if err := os.RemoveAll(filepath.Join(o.Cache, "datasets--owner--name")); err != nil {
		t.Fatal(err)
	}
	if content(t, shards, 0) != string(s.Files[names[0]]) {
		t.Error("shard 0 is another")
	}
}

// Before all is read, what is in use stays, and what has come of the next: neither is fetched again.
func TestCloseEarly(t *testing.T) {
	s, names := shardSet(t, 4)
	o := s.options()
	shards := openShards(t, t.Context(), o, names, false)
	for i := range 2 {
		content(t, shards, i)
	}
	<-shards.ahead.done
	shards.Close(false)
	if got := there(o, names); !slices.Equal(got, []int{1, 2}) {
		t.Errorf("left are %d", got)
	}
	s.Seen("")
	again := openShards(t, t.Context(), o, names, false)
	for i := 1; i < len(names); i++ {
		if content(t, again, i) != string(s.Files[names[i]]) {
			t.Errorf("shard %d is another", i)
		}
	}
	if got := s.Seen("GET /data/"); len(got) != 1 || !strings.Contains(got[0], names[3]) {
		t.Errorf("fetched %q", got)
	}
}

// A shard that another process holds stays; nobody waits for that process.
func TestKeepLocked(t *testing.T) {
	s, names := shardSet(t, 2)
	o := s.options()
	var said []string
	o.Log = func(text string) { said = append(said, text) }
	shards := openShards(t, t.Context(), o, names, false)
	content(t, shards, 0)
	first, _ := shards.repo.find(names[0])
	other, ok, err := shards.repo.tryLock(first)
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	defer other.Close()
	content(t, shards, 1)
	shards.Close(true)
	if got := there(o, names); !slices.Equal(got, []int{0}) {
		t.Errorf("left are %d", got)
	}
	if len(said) != 1 || !strings.Contains(said[0], names[0]+" stays in the cache: another process holds "+other.Path()) {
		t.Errorf("said %q", said)
	}
}

// Closing ends what is under way.
func TestClose(t *testing.T) {
	s, names := shardSet(t, 2)
	asked := make(chan bool, 10)
	s.Set(func(w http.ResponseWriter, r *http.Request) bool {
		if s.AtStorage(r, names[1]) {
			asked <- true
			<-r.Context().Done()
			return true
		}
		return false
	})
	o := s.options()
	shards := openShards(t, t.Context(), o, names, false)
	content(t, shards, 0)
	<-asked
	shards.Close(false)
	if _, err := shards.Open(1); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	again := openShards(t, ctx, o, names, false)
	go func() { <-asked; cancel() }()
	if _, err := again.Open(1); !errors.Is(err, context.Canceled) || errors.Is(err, ErrUnreachable) {
		t.Errorf("got %v", err)
	}
}

// Without the hub the whole list is known all the same, so that a part of a data set does not pass for the whole.
func TestDatasetOffline(t *testing.T) {
	s, names := shardSet(t, 3)
	o := s.options()
	r, err := Open(t.Context(), Datasets, testID, o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Fetch(t.Context(), names[0]); err != nil {
		t.Fatal(err)
	}
	want := r.Files()
	s.Seen("")
	o.Offline = true
	if r, err = Open(t.Context(), Datasets, testID, o); err != nil || !slices.Equal(r.Files(), want) || s.Seen("") != nil {
		t.Fatalf("%v, files %v, want %v", err, r.Files(), want)
	}
	shards := r.Shards(t.Context(), names, false)
	defer shards.Close(false)
	if content(t, shards, 0) != string(s.Files[names[0]]) {
		t.Error("shard 0 is another")
	}
	if _, err := shards.Open(1); !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), names[1]) || !strings.Contains(err.Error(), o.Cache) {
		t.Errorf("got %v", err)
	}
	if err := os.RemoveAll(filepath.Join(o.Cache, "datasets--owner--name", "lists")); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), Datasets, testID, o); !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), "name that folder itself") {
		t.Errorf("got %v", err)
	}
}

// The tokenizer of a model comes without its weights.
func TestTokenizer(t *testing.T) {
	s := newStandIn(t, modelFiles())
	o := s.options()
	r, err := Open(t.Context(), Models, testID, o)
	if err != nil {
		t.Fatal(err)
	}
	folder, err := r.Tokenizer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	checkFile(t, filepath.Join(folder, "tokenizer.json"), s.Files["tokenizer.json"])
	if got := s.Seen(weightsPath); got != nil {
		t.Errorf("requests %q", got)
	}
}
