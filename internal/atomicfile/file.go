package atomicfile

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// WriteFile writes the file at path with what write writes to its argument,
// which is buffered. Until all of it is on disk a file that was there before
// stays as it was; then the new one takes its place at once, and the folder is
// synced. The folder must exist.
//
// On an error the temporary file is removed; errors wrap the cause, such as
// syscall.ENOSPC, and name path. If only syncing the folder failed, the new
// file is in place but may be lost in a power failure.
func WriteFile(path string, write func(io.Writer) error) error {
	path = filepath.Clean(path)
	if err := writeFile(path, write); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

func writeFile(path string, write func(io.Writer) error) error {
	if info, err := os.Lstat(path); err == nil && info.IsDir() {
		return fmt.Errorf("is a folder")
	}
	temp := tempName(path, kindTemp)
	if err := fill(temp, write); err != nil {
		return err
	}
	if err := rename(temp, path); err != nil {
		remove(temp)
		return err
	}
	return syncFolder(filepath.Dir(path))
}

// fill creates a file, writes and syncs it; unless all of that succeeds the
// file is removed, also when write panics.
func fill(path string, write func(io.Writer) error) (err error) {
	f, err := create(path)
	if err != nil {
		return err
	}
	complete := false
	defer func() {
		if !complete {
			f.Close()
			remove(path)
		}
	}()
	buffered := bufio.NewWriterSize(stepWriter{f}, 1<<16)
	if err := write(buffered); err != nil {
		return err
	}
	if err := buffered.Flush(); err != nil {
		return err
	}
	if err := syncFile(f); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	complete = true
	return nil
}
