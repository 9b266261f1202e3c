package jupyter

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"
)

// Kernel is a running kernel, ready to execute code. Its methods are for one goroutine.
type Kernel struct {
	// Grace is how long a cell may go on after it was interrupted before the kernel is killed, and how long the kernel may take
	// to end. GoNB itself gives the program of a cell five seconds.
	Grace time.Duration

	process              *process
	sockets              *sockets
	folder, session      string
	shell, output, stdin chan received
	cancel               context.CancelFunc
	closed               bool
}

// Errors of Execute.
var (
	ErrAsksInput = errors.New("the cell asks for input, and nobody is there to answer")
	errNoIdle    = errors.New("the kernel answered, but did not say that it is idle; outputs may be lost")
)

const (
	defaultGrace = 10 * time.Second
	resend       = 250 * time.Millisecond // between requests while nobody answers
	silence      = 10 * time.Second       // after an answer, before the missing idle message is given up
	longestRest  = 2 * time.Second        // for reading late messages, however many come
	afterDeath   = 200 * time.Millisecond // for what a dead kernel had sent
)

// Start starts a kernel and waits until it answers on all sockets, at most for timeout; 0 is for ever. Errors wrap [*DeathError]
// when it ended, context.DeadlineExceeded when it took too long, or the cause of the end of ctx. Whoever got a kernel has to
// call Close.
func Start(ctx context.Context, command Command, timeout time.Duration) (*Kernel, error) {
	folder, err := os.MkdirTemp("", "kernel-") // mode 0700
	if err != nil {
		return nil, err
	}
	k, err := start(command, folder)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(folder))
	}
	if err := k.connect(ctx, timeout); err != nil {
		k.stop()
		return nil, err
	}
	return k, nil
}

// start starts the process.
func start(command Command, folder string) (*Kernel, error) {
	c, err := newConnection(folder)
	if err != nil {
		return nil, err
	}
	file, err := c.write(folder)
	if err != nil {
		return nil, err
	}
	k := &Kernel{Grace: defaultGrace, folder: folder, session: NewID(), sockets: &sockets{connection: c}, cancel: func() {}}
	k.process, err = startProcess(command, folder, file)
	return k, err
}

// connect opens the sockets and asks until both the shell and the output socket have answered: what is published before the
// kernel knows of a subscription is lost.
func (k *Kernel) connect(parent context.Context, timeout time.Duration) error {
	live, cancel := context.WithCancel(context.Background())
	k.cancel = cancel
	k.shell, k.output, k.stdin = make(chan received), make(chan received), make(chan received)

	ctx, stop := parent, context.CancelFunc(func() {})
	if timeout > 0 {
		ctx, stop = context.WithTimeoutCause(parent, timeout, fmt.Errorf("the kernel does not answer after %v: %w", timeout, context.DeadlineExceeded))
	}
	defer stop()
	ctx, died := context.WithCancelCause(ctx)
	defer died(nil)
	go func() {
		select {
		case <-k.process.ended:
			died(k.process.death())
		case <-ctx.Done():
		}
	}()
	if err := k.sockets.dial(ctx, live, k.session); err != nil {
		return err
	}
	go k.sockets.listen(live, k.sockets.shell, k.shell)
	go k.sockets.listen(live, k.sockets.output, k.output)
	go k.sockets.listen(live, k.sockets.stdin, k.stdin)
	return k.greet(ctx)
}

func (k *Kernel) greet(ctx context.Context) error {
	request, err := NewMessage(k.session, "kernel_info_request", Header{}, struct{}{})
	if err != nil {
		return err
	}
	again := time.NewTicker(resend)
	defer again.Stop()
	if err := k.sockets.send(k.sockets.shell, request); err != nil {
		return err
	}
	for onShell, onOutput := false, false; !onShell || !onOutput; {
		select {
		case r := <-k.shell:
			if r.err != nil {
				return r.err
			}
			onShell = onShell || r.Header.Type == "kernel_info_reply"
		case r := <-k.output:
			if r.err != nil {
				return r.err
			}
			onOutput = onOutput || r.Parent.ID == request.Header.ID
		case <-again.C:
			if err := k.sockets.send(k.sockets.shell, request); err != nil {
				return err
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// Reply is how the kernel answered a piece of code.
type Reply struct {
	ID     string // of the request: messages that belong to it have it as Parent.ID
	Status string `json:"status"` // ok, error or aborted
	Count  int    `json:"execution_count"`
	Name   string `json:"ename"`
	Value  string `json:"evalue"`
}

// Execute runs code and hands all that the kernel publishes meanwhile to handle, in order; late messages of earlier code are among
// it. It returns when the kernel has both answered and become idle. Began, if not nil, is told the request's id first.
//
// When ctx ends, or the code asks for input, the kernel is interrupted, and killed unless the code ends within Grace; the error
// is then the cause of ctx's end, or [ErrAsksInput]. An error that wraps [*DeathError] says that the kernel ended by itself.
// Whether another piece of code can be executed after an error, Alive tells.
func (k *Kernel) Execute(ctx context.Context, code string, began func(id string), handle func(Message)) (Reply, error) {
	request, err := NewMessage(k.session, "execute_request", Header{}, map[string]any{
		"code": code, "silent": false, "store_history": true, "user_expressions": map[string]any{}, "allow_stdin": false, "stop_on_error": true,
	})
	if err != nil {
		return Reply{}, err
	}
	e := &execution{Kernel: k, id: request.Header.ID, handle: handle, done: ctx.Done(), reply: Reply{ID: request.Header.ID}}
	if began != nil {
		began(e.id)
	}
	if err := k.sockets.send(k.sockets.shell, request); err != nil {
		return e.reply, err
	}
	for !e.replied || !e.idle {
		if over, err := e.step(ctx); over {
			return e.reply, err
		}
	}
	return e.reply, e.stopping
}

// execution is one request on its way.
type execution struct {
	*Kernel
	id            string
	handle        func(Message)
	reply         Reply
	replied, idle bool
	stopping      error            // why the code was interrupted
	done          <-chan struct{}  // the end of the context, until it was seen
	patience      <-chan time.Time // how long to wait for the code's end, or for the idle message
}

// step waits for whatever comes next. It reports whether nothing more will come, and why.
func (e *execution) step(ctx context.Context) (over bool, err error) {
	select {
	case r := <-e.output:
		if r.err != nil {
			return true, r.err
		}
		e.published(r.Message)
	case r := <-e.shell:
		if r.err != nil {
			return true, r.err
		}
		if r.Parent.ID == e.id && r.Header.Type == "execute_reply" {
			return e.answered(r.Message)
		}
	case r := <-e.stdin:
		if r.err == nil && r.Header.Type == "input_request" {
			return false, e.refuseInput(r.Message)
		}
	case <-e.process.ended:
		e.readRest()
		return true, errors.Join(e.stopping, e.process.death())
	case <-e.done:
		e.done = nil
		e.interrupt(context.Cause(ctx))
	case <-e.patience:
		if e.stopping == nil {
			return true, errNoIdle
		}
		e.process.kill()
		return true, fmt.Errorf("%w; it did not stop within %v after an interrupt, so the kernel was killed", e.stopping, e.Grace)
	}
	return false, nil
}

func (e *execution) published(m Message) {
	var status struct {
		State string `json:"execution_state"`
	}
	if m.Header.Type == "status" && m.Parent.ID == e.id && json.Unmarshal(m.Content, &status) == nil && status.State == "idle" {
		e.idle = true
		return
	}
	e.handle(m)
}

func (e *execution) answered(m Message) (over bool, err error) {
	id := e.reply.ID
	if err := json.Unmarshal(m.Content, &e.reply); err != nil {
		return true, fmt.Errorf("message %s: %w", m.Header.Type, err)
	}
	e.reply.ID, e.replied = id, true
	e.patience = time.After(silence)
	return false, nil
}

// interrupt asks the code to stop.
func (e *execution) interrupt(why error) {
	if e.stopping != nil {
		return
	}
	e.stopping, e.patience = why, time.After(e.Grace)
	if interrupt(e.process.cmd.Process) {
		return
	}
	if m, err := NewMessage(e.session, "interrupt_request", Header{}, struct{}{}); err == nil {
		e.sockets.send(e.sockets.control, m)
	}
}

// refuseInput answers a question with an error, and with the empty line that kernels without such answers read, and stops the
// code, which might ask for ever.
func (e *execution) refuseInput(question Message) error {
	e.interrupt(ErrAsksInput)
	answer, err := NewMessage(e.session, "input_reply", question.Header, map[string]any{
		"status": "error", "ename": "NoInput", "evalue": ErrAsksInput.Error(), "traceback": []string{}, "value": "",
	})
	if err != nil {
		return err
	}
	return e.sockets.send(e.sockets.stdin, answer)
}

// readRest handles what a kernel that is dead had published, also after a cancellation.
func (e *execution) readRest() { e.Drain(context.Background(), afterDeath, e.handle) }

// Drain handles what the kernel still publishes, until nothing comes for as long as quiet, at most for two seconds, or until ctx
// ends.
func (k *Kernel) Drain(ctx context.Context, quiet time.Duration, handle func(Message)) {
	ctx, stop := context.WithTimeout(ctx, longestRest)
	defer stop()
	for ctx.Err() == nil {
		select {
		case r := <-k.output:
			if r.err == nil {
				handle(r.Message)
			}
		case <-time.After(quiet):
			return
		case <-ctx.Done():
		}
	}
}

// Alive reports whether the kernel can execute more.
func (k *Kernel) Alive() bool { return k.process.alive() }

// PID is the kernel's process.
func (k *Kernel) PID() int { return k.process.cmd.Process.Pid }

// Close asks the kernel to end, kills it and all that it started if it does not, and removes its connection file. A second call does nothing.
func (k *Kernel) Close() error {
	if k.closed {
		return nil
	}
	k.closed = true
	if m, err := NewMessage(k.session, "shutdown_request", Header{}, map[string]any{"restart": false}); err == nil && k.Alive() {
		k.sockets.send(k.sockets.control, m)
		deadline := time.After(k.Grace)
		for open := true; open; {
			select { // what it says while it ends must not block it
			case <-k.output:
			case <-k.shell:
			case <-k.stdin:
			case <-k.process.ended:
				open = false
			case <-deadline:
				open = false
			}
		}
	}
	return k.stop()
}

// stop ends everything at once.
func (k *Kernel) stop() error {
	k.process.kill()
	k.cancel()
	k.sockets.close()
	return os.RemoveAll(k.folder)
}
