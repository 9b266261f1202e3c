package distill

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/bitdistill/bitdistill/distill/data"
	"github.com/bitdistill/bitdistill/internal/hub"
)

// ErrUnreachable marks errors of a model or corpus that is not in the cache while the Hugging Face hub cannot be asked.
var ErrUnreachable = hub.ErrUnreachable

// hubCorpus stands in front of the name of a data set of the hub.
const hubCorpus = "hf:"

// owners are those of the models that may be named without one, by how their names begin.
var owners = []struct{ prefix, owner string }{
	{"SmolLM2-", "HuggingFaceTB"}, {"Qwen2.5-", "Qwen"}, {"Qwen3-", "Qwen"}, {"gemma-3-", "google"}, {"Llama-3.", "meta-llama"},
}

// shortNames are models that have names of one word.
var shortNames = map[string]string{"SmolLM2": "HuggingFaceTB/SmolLM2-135M"}

// modelID is the hub id that a model's name stands for.
func modelID(name string) (string, bool) {
	if id, ok := shortNames[name]; ok {
		return id, true
	}
	if !strings.Contains(name, "/") {
		for _, o := range owners {
			if strings.HasPrefix(name, o.prefix) {
				name = o.owner + "/" + name
			}
		}
	}
	id, err := hub.ParseID(name)
	return name, err == nil && (id.File == "" || strings.HasSuffix(strings.ToLower(id.File), ".gguf"))
}

// fetcher brings what is named by a hub id. It is used by one goroutine at a time.
type fetcher struct {
	printf func(format string, args ...any)
	pins   map[string]string // commits, by names: see Config.Hub
	folder map[string]string // of the models that were fetched, by names
}

// newFetcher begins with the commits of a config, which stay its own.
func newFetcher(log io.Writer, pins map[string]string) *fetcher {
	if log == nil {
		log = io.Discard
	}
	f := &fetcher{pins: map[string]string{}, folder: map[string]string{}}
	f.printf = func(format string, args ...any) { fmt.Fprintf(log, format+"\n", args...) }
	maps.Copy(f.pins, pins)
	return f
}

// hub is what the config is to remember, nil for nothing.
func (f *fetcher) hub() map[string]string {
	if len(f.pins) == 0 {
		return nil
	}
	return maps.Clone(f.pins)
}

// open opens a repository, at the commit that the name stood for when the run began.
func (f *fetcher) open(ctx context.Context, kind hub.Kind, name string, id hub.ID) (*hub.Repo, error) {
	if commit := f.pins[name]; commit != "" {
		id.Revision = commit
	}
	r, err := hub.Open(ctx, kind, id.String(), hub.Options{Progress: f.progress(name), Log: func(sentence string) { f.printf("hub: %s", sentence) }})
	if err != nil {
		return nil, fetchFault(ctx, err)
	}
	f.pins[name] = r.Commit()
	return r, nil
}

// fetchFault tells what the user can mend from the rest.
func fetchFault(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("%w; what has come stays in the cache, and the same command goes on from there", err)
	case errors.Is(err, ErrUnreachable):
		return err
	}
	return inputError{err}
}

// progress logs from time to time how much of something is there.
func (f *fetcher) progress(name string) func(done, total int64) {
	shown := time.Now()
	return func(done, total int64) {
		if now := time.Now(); now.Sub(shown) >= progressEvery {
			shown = now
			f.printf("hub: %s: %.1f of %.1f MB", name, float64(done)/1e6, float64(total)/1e6)
		}
	}
}

// model is where a model is: what is there under its name, else what the hub has under it, brought into the cache. A name that is
// neither stays as it is.
func (f *fetcher) model(ctx context.Context, name string, bring func(*hub.Repo, context.Context) (string, error)) (string, error) {
	if folder, ok := f.folder[name]; ok {
		return folder, nil
	}
	if _, err := os.Stat(name); err == nil || strings.Contains(name, "/") && isRun(filepath.Dir(filepath.Clean(name))) {
		return name, nil
	}
	short, ok := modelID(name)
	if !ok {
		return name, nil
	}
	id, err := hub.ParseID(short)
	if err != nil {
		return "", err
	}
	wrong := func(err error) error {
		return fmt.Errorf("model %s: no such folder or file here; of the hub, %w", name, err)
	}
	r, err := f.open(ctx, hub.Models, name, id)
	if err != nil {
		return "", wrong(err)
	}
	folder, err := bring(r, ctx)
	if err != nil {
		return "", wrong(fetchFault(ctx, err))
	}
	f.printf("model %s: %s of the hub, commit %.8s, in %s", name, short, r.Commit(), folder)
	f.folder[name] = folder
	return folder, nil
}

// corpus finds the files of a data set. They are fetched as they are opened, the next one ahead, until release is called; those that
// were not in the cache before are removed from it again once they are read, unless they are to be kept. See [OpenCorpus].
func (f *fetcher) corpus(ctx context.Context, name string, keep bool) (files []data.File, release func(read bool), err error) {
	id, within, err := parseHubCorpus(name)
	if err != nil {
		return nil, nil, inputError{err}
	}
	r, err := f.open(ctx, hub.Datasets, name, id)
	if err != nil {
		return nil, nil, err
	}
	var names []string
	for _, file := range r.Files() {
		names = append(names, file.Name)
	}
	if names, err = chooseShards(name, within, names); err != nil {
		return nil, nil, inputError{err}
	}
	sizes := map[string]int64{}
	for _, file := range r.Files() {
		sizes[file.Name] = file.Size
	}
	total := int64(0)
	shards := r.Shards(ctx, names, keep)
	for i, file := range names {
		total += max(0, sizes[file])
		files = append(files, data.File{
			Name:  fmt.Sprintf("%s%s/%s@%s/%s", hubCorpus, id.Owner, id.Name, r.Commit(), file),
			Bytes: sizes[file],
			Open: func() (io.ReadCloser, error) {
				opened, err := shards.Open(i)
				if err != nil {
					return nil, err
				}
				return opened, nil
			},
		})
	}
	f.printf("corpus %s: commit %.8s, %d files of %.1f MB", name, r.Commit(), len(files), float64(total)/1e6)
	return files, shards.Close, nil
}

var hubCorpusName = regexp.MustCompile(`^([^/@]+/[^/@]+)(?:@(refs/convert/[^/]+|refs/pr/[0-9]+|[^/]+))?(?:/(.+))?$`)

// parseHubCorpus reads hf:owner/name, hf:owner/name@revision, and either with /path behind it.
func parseHubCorpus(name string) (id hub.ID, within string, err error) {
	parts := hubCorpusName.FindStringSubmatch(strings.TrimPrefix(name, hubCorpus))
	if parts == nil {
		return id, "", fmt.Errorf("corpus %s: write hf:owner/name, hf:owner/name@revision, or either with /folder, /file or /pattern behind it", name)
	}
	repo := parts[1]
	if parts[2] != "" {
		repo += "@" + parts[2]
	}
	id, err = hub.ParseID(repo)
	if err != nil {
		err = fmt.Errorf("corpus %s: %w", name, err)
	}
	return id, parts[3], err
}

var digits = regexp.MustCompile(`[0-9a-f]{16,}|[0-9]+`)

// chooseShards picks the files of a data set that are meant: all that a pattern matches, else those whose names begin with the path,
// up to a letter or digit, and differ in numbers alone. Splits and versions of a corpus are not mixed unless that is asked for.
func chooseShards(name, within string, names []string) ([]string, error) {
	endings := data.CorpusExtensions()
	if within == "" {
		endings = slices.DeleteFunc(endings, func(e string) bool { return strings.HasPrefix(e, ".txt") }) // licences and the like
	}
	pattern := strings.ContainsAny(within, "*?[")
	var chosen, sets []string
	for _, n := range names {
		match := begins(n, within)
		if pattern {
			var err error
			if match, err = path.Match(within, n); err != nil {
				return nil, fmt.Errorf("corpus %s: %w", name, err)
			}
		}
		isEnding := func(e string) bool { return strings.HasSuffix(strings.ToLower(n), e) }
		if !match || !slices.ContainsFunc(endings, isEnding) {
			continue
		}
		chosen = append(chosen, n)
		if set := path.Join(path.Dir(n), digits.ReplaceAllString(path.Base(n), "*")); !slices.Contains(sets, set) {
			sets = append(sets, set)
		}
	}
	switch {
	case len(chosen) == 0:
		return nil, fmt.Errorf("corpus %s: of its %d files none is meant that ends in one of %s", name, len(names), strings.Join(endings, ", "))
	case len(sets) > 1 && !pattern:
		more := ""
		if len(sets) > 12 {
			more = fmt.Sprintf(" and %d more", len(sets)-12)
		}
		return nil, fmt.Errorf("corpus %s: is %d sets of files; put a path or pattern behind %s to choose: %s%s",
			name, len(sets), strings.TrimSuffix(strings.TrimSuffix(name, within), "/"), strings.Join(sets[:min(12, len(sets))], ", "), more)
	}
	return chosen, nil
}

// begins tells whether a name is within, or goes on after it with what is no letter or digit.
func begins(name, within string) bool {
	rest, ok := strings.CutPrefix(name, strings.TrimSuffix(within, "/"))
	return ok && (within == "" || rest == "" || strings.ContainsAny(rest[:1], "/-._"))
}
