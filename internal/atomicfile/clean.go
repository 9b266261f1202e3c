package atomicfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// CleanTemp removes what killed programs left in parent (not in the folders
// below it) and finishes replacing a folder where that was interrupted. Call it
// before looking for folders, and never beside a program that is writing there.
// Calling it again after it was killed itself is fine. A parent that does not
// exist is clean.
//
// Of a folder NAME and its leftovers, the first that passes Verify stays, or
// becomes, NAME: NAME itself, then temporary folders that were complete, the
// newest first, then folders that were being replaced. If none passes, NAME
// stays as it is, or a folder that was being replaced goes back to its name.
// A NAME without a manifest is not this package's, and nothing is done there
// except for removing temporary folders.
func CleanTemp(parent string) error {
	entries, err := os.ReadDir(parent)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("clean up: %w", err)
	}
	left := map[string]*leftovers{} // by final name
	var faults []error
	for _, entry := range entries {
		base, kind, ok := parseTemp(entry.Name())
		if !ok {
			continue
		}
		path := filepath.Join(parent, entry.Name())
		if !entry.IsDir() { // of WriteFile: it was not renamed, so it may be incomplete
			faults = append(faults, remove(path))
			continue
		}
		final := filepath.Join(parent, base)
		if left[final] == nil {
			left[final] = &leftovers{}
		}
		left[final].add(path, kind)
	}
	for final, l := range left {
		faults = append(faults, l.settle(final))
	}
	if len(faults) > 0 {
		faults = append(faults, syncFolder(parent))
	}
	if err := errors.Join(faults...); err != nil {
		return fmt.Errorf("clean up %s: %w", parent, err)
	}
	return nil
}

// leftovers are the folders of one name that a killed program left.
type leftovers struct{ temps, olds []string }

func (l *leftovers) add(path, kind string) {
	if kind == kindOld {
		l.olds = append(l.olds, path)
	} else {
		l.temps = append(l.temps, path)
	}
}

// settle leaves at most one folder, under the name final.
func (l *leftovers) settle(final string) error {
	newestFirst(l.temps)
	newestFirst(l.olds)
	exists, err := replaceable(final)
	if err != nil { // not ours
		return removeAll(l.temps)
	}
	if exists && Verify(final) == nil {
		return removeAll(append(l.temps, l.olds...))
	}
	candidates := append(slices.Clone(l.temps), l.olds...)
	best := slices.IndexFunc(candidates, func(path string) bool { return Verify(path) == nil })
	switch {
	case best >= 0:
		if exists { // damaged, and there is a complete one
			if err := remove(final); err != nil {
				return err
			}
		}
	case !exists && len(l.olds) > 0: // damaged before it was to be replaced; Verify will say so
		best = len(l.temps)
	default: // nothing is complete: keep what was once in place, it may help to recover
		return removeAll(l.temps)
	}
	if err := rename(candidates[best], final); err != nil {
		return err
	}
	// Before anything else is removed the rename must be on disk.
	if err := syncFolder(filepath.Dir(final)); err != nil {
		return err
	}
	return removeAll(slices.Delete(candidates, best, best+1))
}

// newestFirst sorts by time of change of the folder itself.
func newestFirst(paths []string) {
	slices.SortStableFunc(paths, func(a, b string) int {
		x, errA := os.Lstat(a)
		y, errB := os.Lstat(b)
		if errA != nil || errB != nil {
			return 0
		}
		return y.ModTime().Compare(x.ModTime())
	})
}

func removeAll(paths []string) error {
	var faults []error
	for _, path := range paths {
		faults = append(faults, remove(path))
	}
	return errors.Join(faults...)
}
