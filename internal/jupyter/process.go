package jupyter

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Command is how a kernel is started.
type Command struct {
	Argv []string // {connection_file} stands for the connection file
	Env  []string // KEY=value, in addition to this program's environment
	Dir  string   // the working folder; empty for this program's own
}

// process is a started kernel with its private folder.
type process struct {
	cmd    *exec.Cmd
	folder string
	ended  chan struct{} // closed when the process has ended
	end    error         // why, once it has
}

// logName is where the kernel's own stdout and stderr go. A file, not a pipe, which what the kernel started might hold open.
const logName = "kernel.log"

func startProcess(c Command, folder, connectionFile string) (*process, error) {
	if len(c.Argv) == 0 {
		return nil, errors.New("kernel: no command")
	}
	argv := make([]string, len(c.Argv))
	for i, a := range c.Argv {
		argv[i] = strings.ReplaceAll(a, "{connection_file}", connectionFile)
	}
	log, err := os.OpenFile(filepath.Join(folder, logName), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close() // the child has its own
	p := &process{cmd: exec.Command(argv[0], argv[1:]...), folder: folder, ended: make(chan struct{})}
	p.cmd.Env, p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = append(os.Environ(), c.Env...), c.Dir, log, log
	ownGroup(p.cmd)
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("kernel: start %s: %w", argv[0], err)
	}
	go func() {
		p.end = p.cmd.Wait()
		close(p.ended)
	}()
	return p, nil
}

// kill ends the process and all that it started.
func (p *process) kill() {
	killGroup(p.cmd.Process)
	<-p.ended
}

// alive reports whether the process has not ended.
func (p *process) alive() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// death is the error for a process that has ended.
func (p *process) death() *DeathError {
	state := "exit status 0"
	if p.end != nil {
		state = p.end.Error()
	}
	return &DeathError{State: state, Log: p.lastWords()}
}

// lastWords are the last lines that the kernel wrote itself.
func (p *process) lastWords() string {
	const most = 2000 // bytes
	data, err := os.ReadFile(filepath.Join(p.folder, logName))
	if err != nil {
		return ""
	}
	if len(data) > most {
		data = data[len(data)-most:]
		if i := bytes.IndexByte(data, '\n'); i >= 0 {
			data = data[i+1:]
		}
	}
	return strings.ToValidUTF8(strings.TrimSpace(string(data)), "?")
}

// DeathError says that the kernel ended although nobody had told it to.
type DeathError struct {
	State string // how, such as "signal: killed"
	Log   string // the last lines that it wrote itself
}

func (e *DeathError) Error() string {
	text := "the kernel died: " + e.State
	if e.Log != "" {
		text += "; its last lines: " + strings.ReplaceAll(e.Log, "\n", " | ")
	}
	return text
}
