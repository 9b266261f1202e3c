package atomicfile

import (
	"encoding/json"
	"io"
)

// WriteLines is [WriteFile] with n lines of JSON, <, > and & as they are: line gives each, counted from 0.
func WriteLines(path string, n int, line func(i int) any) error {
	return WriteFile(path, func(w io.Writer) error {
		e := json.NewEncoder(w)
		e.SetEscapeHTML(false)
		for i := range n {
			if err := e.Encode(line(i)); err != nil {
				return err
			}
		}
		return nil
	})
}
