package gonb

import (
	"os"
	"path/filepath"
)

// Module is the folder of the Go module that holds folder, or "" where there is none: the packages that a notebook there can
// import from disk. A go.mod that is empty, as one puts in front of folders that Go shall not look into, is none.
func Module(folder string) string {
	folder, err := filepath.Abs(folder)
	if err != nil {
		return ""
	}
	for {
		if info, err := os.Stat(filepath.Join(folder, "go.mod")); err == nil && info.Mode().IsRegular() && info.Size() > 0 {
			return folder
		}
		parent := filepath.Dir(folder)
		if parent == folder {
			return ""
		}
		folder = parent
	}
}
