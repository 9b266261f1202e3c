//go:build unix

package atomicfile

import (
	"errors"
	"os"
	"syscall"
)

// syncFlag opens a finished file so that it can be synced; on Unix reading is
// enough, and works for read-only files.
const syncFlag = os.O_RDONLY

func osSyncFolder(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	err = f.Sync()
	// Some network file systems cannot sync a folder; there is nothing more to do there.
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, errors.ErrUnsupported) {
		return nil
	}
	return err
}
