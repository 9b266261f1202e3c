package hub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/bitdistill/bitdistill/internal/atomicfile"
	"github.com/bitdistill/bitdistill/internal/tensorfile"
)

// Kind is what a repository holds.
type Kind string

// The kinds, as the hub's API names them.
const (
	Models   Kind = "models"
	Datasets Kind = "datasets"
)

const (
	maxList  = 64 << 20 // bytes of a list of files
	maxFiles = 200_000
	maxTotal = 1 << 40 // bytes that one call fetches
)

// File is a file of a repository.
type File struct {
	Name string // path with slashes
	Size int64  // bytes; -1 until it is fetched where the hub's list does not say

	hash string // see fileHash; "" where the list does not say, or offline
}

// Repo is one commit of a repository, at the hub or, where that cannot be
// reached, what the cache has of it.
type Repo struct {
	*client
	kind   Kind
	commit string
	files  []File          // sorted by name
	came   map[string]File // files that this Repo has brought into the cache
	// absent says why the hub cannot be asked; nil if it can.
	absent error
}

// Open asks the hub which commit a revision is and which files it has. Without
// the hub it takes the commit that was last fetched completely, if there is
// one; else the error wraps ErrUnreachable and says how to fill the cache.
func Open(ctx context.Context, kind Kind, id string, o Options) (*Repo, error) {
	parsed, err := ParseID(id)
	if err != nil {
		return nil, err
	}
	s, err := o.settle()
	if err != nil {
		return nil, err
	}
	r := &Repo{client: newClient(s, parsed), kind: kind, came: map[string]File{}}
	if s.Offline {
		r.absent = errors.New("HF_HUB_OFFLINE is set")
		if err := r.readCache(); err != nil {
			return nil, err
		}
		return r, nil
	}
	err = r.list(ctx)
	if errors.Is(err, ErrUnreachable) {
		r.absent = err
		if err := r.readCache(); err != nil {
			return nil, err
		}
		s.Log(fmt.Sprintf("%s: the cached commit %.8s is used: %v", parsed, r.commit, r.absent))
		return r, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", parsed, err)
	}
	return r, nil
}

// Files are the files of the repository, sorted by name. Where the hub cannot
// be asked, they are those of a model that are in the cache, and all of a data
// set whether in the cache or not: part of one must not pass for the whole.
func (r *Repo) Files() []File { return slices.Clone(r.files) }

// Commit is the hash of the commit.
func (r *Repo) Commit() string { return r.commit }

// Match returns the names that match a pattern of path.Match, sorted: `*` does
// not match a slash.
func (r *Repo) Match(pattern string) ([]string, error) {
	var names []string
	for _, f := range r.files {
		ok, err := path.Match(pattern, f.Name)
		if err != nil {
			return nil, fmt.Errorf("%s: pattern %q: %w", r.id, pattern, err)
		}
		if ok {
			names = append(names, f.Name)
		}
	}
	return names, nil
}

// Folder is where fetched files are, under their names in the repository.
func (r *Repo) Folder() string { return filepath.Join(r.storage(), "snapshots", r.commit) }

// storage is the folder of the repository in the cache.
func (r *Repo) storage() string { return filepath.Join(r.Cache, r.flatName()) }

func (r *Repo) flatName() string {
	return strings.Join([]string{string(r.kind), r.id.Owner, r.id.Name}, "--")
}

func (r *Repo) find(name string) (File, bool) {
	i, ok := slices.BinarySearchFunc(r.files, name, func(f File, name string) int { return strings.Compare(f.Name, name) })
	if !ok {
		return File{}, false
	}
	return r.files[i], true
}

// listing is the hub's answer about a revision.
type listing struct {
	SHA      string    `json:"sha"`
	Siblings []sibling `json:"siblings"`
}

type sibling struct {
	Name   string `json:"rfilename"`
	Size   *int64 `json:"size,omitempty"`
	BlobID string `json:"blobId,omitempty"`
	LFS    *struct {
		Size   *int64 `json:"size"`
		SHA256 string `json:"sha256"`
	} `json:"lfs,omitempty"`
}

// list fills commit and files.
func (r *Repo) list(ctx context.Context) error {
	var data []byte
	err := r.retry(ctx, r.id.String(), func() (int64, error) {
		resp, err := r.request(ctx, http.MethodGet, fmt.Sprintf("/api/%s/%s/revision/%s?blobs=true", r.kind, r.id.repo(), url.PathEscape(r.id.Revision)), 0)
		if err != nil {
			return 0, err
		}
		defer resp.stop()
		if data, err = io.ReadAll(io.LimitReader(resp.body, maxList+1)); err != nil {
			return 0, err
		}
		if len(data) > maxList {
			return 0, fmt.Errorf("the list of files has more than %d bytes", maxList)
		}
		return 0, nil
	})
	if err != nil {
		return err
	}
	var l listing
	if err := json.Unmarshal(data, &l); err != nil {
		return fmt.Errorf("%s does not answer as a hub does; check HF_ENDPOINT, and a login page in between: %w", r.endpoint.Host, err)
	}
	if !commitHash.MatchString(l.SHA) {
		return fmt.Errorf("sha: %s is not a commit", tensorfile.Quote(l.SHA))
	}
	if len(l.Siblings) > maxFiles {
		return fmt.Errorf("siblings: %d files, at most %d are supported", len(l.Siblings), maxFiles)
	}
	r.commit = l.SHA
	return r.check(&l)
}

// check turns what the hub listed into files. Names that are not safe are left
// out: most repositories that have one are of use without it.
func (r *Repo) check(l *listing) error {
	var odd []string
	for _, s := range l.Siblings {
		if !safeName(s.Name) {
			odd = append(odd, s.Name)
			continue
		}
		f := File{Name: s.Name, Size: -1, hash: s.BlobID}
		size := s.Size
		if s.LFS != nil {
			f.hash = s.LFS.SHA256
			if s.LFS.Size != nil {
				size = s.LFS.Size
			}
		}
		switch {
		case f.hash != "" && !fileHash.MatchString(f.hash):
			return fmt.Errorf("%s: refused: %s is not a checksum", f.Name, tensorfile.Quote(f.hash))
		case size != nil && (*size < 0 || *size > maxTotal):
			return fmt.Errorf("%s: refused: a size of %d bytes", f.Name, *size)
		}
		if size != nil {
			f.Size = *size
		}
		r.files = append(r.files, f)
	}
	if len(odd) > 0 {
		r.Log(fmt.Sprintf("%s: %d of its files are passed over, as their names cannot be used here: %s", r.id, len(odd), tensorfile.Quote(odd[0])))
	}
	slices.SortFunc(r.files, func(a, b File) int { return strings.Compare(a.Name, b.Name) })
	for i := 1; i < len(r.files); i++ {
		if r.files[i].Name == r.files[i-1].Name {
			return fmt.Errorf("%s: refused: is listed twice", r.files[i].Name)
		}
	}
	return nil
}

// complete asks for size and checksum where the list did not have them: some
// mirrors leave them out.
func (r *Repo) complete(ctx context.Context, f *File) error {
	if f.Size >= 0 && f.hash != "" {
		return nil
	}
	return r.retry(ctx, f.Name, func() (int64, error) {
		resp, err := r.request(ctx, http.MethodHead, r.address(*f), 0)
		if err != nil {
			return 0, err
		}
		defer resp.stop()
		h := resp.Header
		if c := h.Get("X-Repo-Commit"); c != "" && c != r.commit {
			return 0, fmt.Errorf("is of commit %s, not of %s", tensorfile.Quote(c), r.commit)
		}
		tag, size := h.Get("X-Linked-ETag"), h.Get("X-Linked-Size")
		if tag == "" {
			tag = h.Get("ETag")
		}
		if size == "" && resp.StatusCode == http.StatusOK {
			size = h.Get("Content-Length")
		}
		f.hash = strings.Trim(strings.TrimPrefix(tag, "W/"), `"`)
		if f.Size, err = strconv.ParseInt(size, 10, 64); err != nil || f.Size < 0 || f.Size > maxTotal {
			return 0, fmt.Errorf("refused: a size of %s bytes", tensorfile.Quote(size))
		}
		if !fileHash.MatchString(f.hash) {
			return 0, fmt.Errorf("refused: %s does not state its checksum (ETag %s)", r.endpoint.Host, tensorfile.Quote(tag))
		}
		return 0, nil
	})
}

// address is the path of a file at the hub.
func (r *Repo) address(f File) string {
	prefix := "/"
	if r.kind != Models {
		prefix += string(r.kind) + "/"
	}
	parts := strings.Split(f.Name, "/")
	for i := range parts {
		parts[i] = url.PathEscape(parts[i])
	}
	return prefix + r.id.repo() + "/resolve/" + r.commit + "/" + strings.Join(parts, "/")
}

// refPath is the file with the commit of a branch or tag.
func (r *Repo) refPath() string {
	return filepath.Join(r.storage(), "refs", filepath.FromSlash(r.id.Revision))
}

// saveRef notes the commit of the revision, for later use without the hub.
func (r *Repo) saveRef() error {
	if r.absent != nil || r.id.Revision == r.commit {
		return nil
	}
	file := r.refPath()
	if old, err := os.ReadFile(file); err == nil && string(old) == r.commit {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
		return err
	}
	return atomicfile.WriteFile(file, func(w io.Writer) error { _, err := io.WriteString(w, r.commit); return err })
}

// readCache fills commit and files with what is in the cache.
func (r *Repo) readCache() error {
	r.commit = r.id.Revision
	if !commitHash.MatchString(r.commit) {
		ref, err := os.ReadFile(r.refPath())
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if r.commit = strings.TrimSpace(string(ref)); !commitHash.MatchString(r.commit) {
			return r.notCached(r.id.String())
		}
	}
	if r.kind == Datasets {
		return r.readList()
	}
	root := r.Folder()
	err := filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := os.Stat(file) // most are links
		if err != nil || !info.Mode().IsRegular() {
			return nil // a link to nothing is no file that is there
		}
		name, err := filepath.Rel(root, file)
		if err == nil {
			r.files = append(r.files, File{Name: filepath.ToSlash(name), Size: info.Size()})
		}
		return err
	})
	slices.SortFunc(r.files, func(a, b File) int { return strings.Compare(a.Name, b.Name) })
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(r.files) == 0 {
		return r.notCached(r.id.String())
	}
	return err
}

// listPath is the file with the list of a data set's files. It is no part of
// the layout of the Python libraries, which pass it over.
func (r *Repo) listPath() string { return filepath.Join(r.storage(), "lists", r.commit+".json") }

// saveList keeps the list of a data set's files, for later use without the hub.
func (r *Repo) saveList() error {
	if r.kind != Datasets || r.absent != nil {
		return nil
	}
	path := r.listPath()
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return err
	}
	return atomicfile.WriteFile(path, func(w io.Writer) error { return json.NewEncoder(w).Encode(r.listing()) })
}

// listing is the list as the hub gives it.
func (r *Repo) listing() listing {
	l := listing{SHA: r.commit, Siblings: make([]sibling, len(r.files))}
	for i, f := range r.files {
		l.Siblings[i] = sibling{Name: f.Name, BlobID: f.hash}
		if f.Size >= 0 {
			l.Siblings[i].Size = &f.Size
		}
	}
	return l
}

// readList fills files with what saveList kept.
func (r *Repo) readList() error {
	var l listing
	raw, err := os.ReadFile(r.listPath())
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w. If the data set is complete in %s, name that folder itself", r.notCached(r.id.String()), r.Folder())
	}
	if err == nil {
		err = json.Unmarshal(raw, &l)
	}
	if err == nil {
		err = r.check(&l)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", r.listPath(), err)
	}
	return nil
}

// notCached says how the user gets what is wanted.
func (r *Repo) notCached(what string) error {
	return kindErrorf(ErrUnreachable, "%s: is not in the cache %s, and the hub cannot be asked: %w; "+
		"fetch it where there is a network and copy the folder %s from the cache there into this one, "+
		"or set HF_HOME to the folder that holds hub/%[4]s", what, r.Cache, r.absent, r.flatName())
}
