//go:build !unix

package atomicfile

import "os"

// syncFlag opens a finished file so that it can be synced; Windows wants
// write access for that.
const syncFlag = os.O_RDWR

// osSyncFolder does nothing: outside of Unix folders cannot be synced.
func osSyncFolder(string) error { return nil }
