package hub

import (
	"fmt"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"unicode/utf8"

	"github.com/bitdistill/bitdistill/internal/tensorfile"
)

// ID names a repository of the hub, and perhaps one file in it.
type ID struct {
	Owner, Name string
	File        string // path in the repository with slashes; "" for none
	Revision    string // branch, tag or commit; "main" if none was given
}

var (
	idPart     = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?$`)
	revisions  = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.+-]*(/[A-Za-z0-9_][A-Za-z0-9_.+-]*)*$`)
	commitHash = regexp.MustCompile(`^[0-9a-f]{40}$`)
	fileHash   = regexp.MustCompile(`^([0-9a-f]{40}|[0-9a-f]{64})$`) // Git's SHA-1, or the SHA-256 of a large file
)

// ParseID reads owner/name, owner/name@revision, owner/name/file.gguf or
// owner/name/file.gguf@revision.
func ParseID(s string) (ID, error) {
	wrong := func(why string) (ID, error) {
		return ID{}, fmt.Errorf("%s is not a hub id: %s; write owner/name, owner/name@revision or owner/name/file.gguf", tensorfile.Quote(s), why)
	}
	repo, revision, given := strings.Cut(s, "@")
	if !given {
		revision = "main"
	}
	parts := strings.SplitN(repo, "/", 3)
	if len(parts) < 2 {
		return wrong("it has no owner")
	}
	id := ID{Owner: parts[0], Name: parts[1], Revision: revision}
	for _, part := range parts[:2] {
		if !idPart.MatchString(part) || strings.Contains(part, "--") || strings.Contains(part, "..") || len(part) > 96 {
			return wrong(fmt.Sprintf("%q is no owner or name of the hub", part))
		}
	}
	if len(revision) > 200 || !revisions.MatchString(revision) || strings.Contains(revision, "..") {
		return wrong(fmt.Sprintf("%q is no revision", revision))
	}
	if len(parts) == 3 {
		if id.File = parts[2]; !safeName(id.File) {
			return wrong(fmt.Sprintf("%q is no path of a file in a repository", id.File))
		}
	}
	return id, nil
}

// String writes the id as ParseID reads it; a revision main is left out.
func (id ID) String() string {
	s := id.repo()
	if id.File != "" {
		s += "/" + id.File
	}
	if id.Revision != "main" {
		s += "@" + id.Revision
	}
	return s
}

func (id ID) repo() string { return id.Owner + "/" + id.Name }

// safeName tells whether a path of the server can be a file on this system, and
// stays inside of the folder it is joined to.
func safeName(name string) bool {
	printable := !strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f || r == utf8.RuneError })
	return printable && name != "." && len(name) <= 1000 && path.Clean(name) == name && filepath.IsLocal(name) &&
		(runtime.GOOS != "windows" || !strings.ContainsAny(name, `\:*?"<>|`))
}
