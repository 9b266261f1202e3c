//go:build unix

package inline

import (
	"encoding/gob"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"

	"github.com/janpfeifer/gonb/gonbui"
	"github.com/janpfeifer/gonb/gonbui/protocol"
)

// kernel is the other end of gonbui's pipes.
type kernel struct {
	mu    sync.Mutex
	shown []displayed
}

type displayed struct {
	id   string
	data map[string]string
}

func (k *kernel) taken() []displayed {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.shown)
}

// playKernel makes the package believe that GoNB has started it.
func playKernel(t *testing.T) *kernel {
	if gonbui.IsNotebook {
		t.Skip("runs in a notebook")
	}
	dir := t.TempDir()
	out, back := filepath.Join(dir, "out"), filepath.Join(dir, "back")
	for _, path := range []string{out, back} {
		if err := syscall.Mkfifo(path, 0o600); err != nil {
			t.Skipf("no named pipes here: %v", err)
		}
	}
	t.Setenv(protocol.GONB_PIPE_ENV, out)
	t.Setenv(protocol.GONB_PIPE_BACK_ENV, back)
	gonbui.IsNotebook = true
	t.Cleanup(func() { gonbui.IsNotebook = false })
	k := &kernel{}
	go k.serve(out, back)
	return k
}

// serve takes what is displayed and acknowledges Sync.
func (k *kernel) serve(out, back string) {
	from, err := os.Open(out)
	if err != nil {
		panic(err)
	}
	to, err := os.OpenFile(back, os.O_WRONLY, 0)
	if err != nil {
		panic(err)
	}
	decoder, encoder := gob.NewDecoder(from), gob.NewEncoder(to)
	for {
		var d protocol.DisplayData
		if decoder.Decode(&d) != nil { // the pipe's end
			return
		}
		if v, ok := d.Data[protocol.MIMECommValue].(protocol.CommValue); ok {
			if encoder.Encode(&protocol.CommValue{Address: protocol.GonbuiSyncAckAddress, Value: v.Value}) != nil {
				return
			}
			continue
		}
		shown := displayed{d.DisplayID, map[string]string{}}
		for kind, content := range d.Data {
			if raw, ok := content.([]byte); ok {
				content = string(raw)
			}
			shown.data[string(kind)] = fmt.Sprint(content)
		}
		k.mu.Lock()
		k.shown = append(k.shown, shown)
		k.mu.Unlock()
	}
}
