// Package fakekernel is a Jupyter kernel for tests, which does at once what a cell tells it. A test binary becomes one when its
// TestMain calls Main first and the environment has Variable. What a client of kernels does belongs elsewhere, and no code but
// tests may import this.
//
// A cell is lines of a verb and its text:
//
//	out TEXT, err TEXT        print a line; with \c at the end of TEXT without a newline, with \r in it a carriage return
//	show ID TEXT              display text under a display id, - for none
//	show-new TEXT             display text and a new random display id under that id
//	html TEXT                 display HTML
//	update ID TEXT            update what is displayed under that id
//	clear, clear-later        clear the outputs of the cell
//	fail TEXT                 answer with an error
//	sleep DURATION            go on later; an interrupt ends it and the cell
//	stubborn DURATION         go on later, whatever is signalled
//	child                     start a process that lives on
//	ask                       ask for input and print what is answered
//	late TEXT                 print a line after the cell is idle
//	chatter TEXT              print a line every 10 ms from then on
//	forge                     publish a message signed with another key
//	no-idle                   answer, and never become idle
//	die                       kill this process
package fakekernel

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"time"

	"github.com/bitdistill/bitdistill/internal/jupyter"
	"github.com/go-zeromq/zmq4"
)

// Variable makes a test binary this kernel: "1" for one that works, "mute" for one that never answers, "slow" for one that listens
// late, "broken" for one that ends at once.
const Variable = "BITDISTILL_FAKE_KERNEL"

// Command starts this test binary as a kernel.
func Command(mode string) jupyter.Command {
	return jupyter.Command{Argv: []string{os.Args[0], "{connection_file}"}, Env: []string{Variable + "=" + mode}}
}

// Main is the kernel if the environment says so, and does not return then.
func Main() {
	mode := os.Getenv(Variable)
	if mode == "" || len(os.Args) != 2 {
		return
	}
	switch mode {
	case "broken":
		fmt.Fprintln(os.Stderr, "cannot find the gopher")
		os.Exit(7)
	case "slow":
		time.Sleep(time.Second)
	}
	fmt.Fprintln(os.Stderr, serve(os.Args[1], mode == "mute")) // returns with an error only
	os.Exit(1)
}

type kernel struct {
	jupyter.Connection
	shell, control, stdin, output zmq4.Socket
	sending                       sync.Mutex
	count                         int
	signals                       chan os.Signal
	answers                       chan jupyter.Message
}

func serve(file string, mute bool) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	ctx := context.Background()
	k := &kernel{
		shell: zmq4.NewRouter(ctx), control: zmq4.NewRouter(ctx), stdin: zmq4.NewRouter(ctx), output: zmq4.NewPub(ctx),
		signals: make(chan os.Signal, 1), answers: make(chan jupyter.Message, 1),
	}
	if err := json.Unmarshal(data, &k.Connection); err != nil {
		return err
	}
	signal.Notify(k.signals, os.Interrupt)
	for _, end := range []struct {
		socket zmq4.Socket
		port   int
	}{{k.shell, k.Shell}, {k.control, k.Control}, {k.stdin, k.Stdin}, {k.output, k.IOPub}} {
		if err := end.socket.Listen(k.Address(end.port)); err != nil {
			return err
		}
	}
	if mute {
		select {}
	}
	go func() { // the only thing on control is the request to end
		k.receive(k.control)
		os.Exit(0)
	}()
	go func() {
		for {
			_, m, err := k.receive(k.stdin)
			if err != nil {
				return
			}
			k.answers <- m
		}
	}()
	for {
		from, m, err := k.receive(k.shell)
		if err != nil {
			return err
		}
		k.handle(from, m)
	}
}

func (k *kernel) receive(s zmq4.Socket) (from []byte, m jupyter.Message, err error) {
	raw, err := s.Recv()
	if err != nil {
		return nil, m, err
	}
	m, err = jupyter.Decode(raw.Frames, []byte(k.Key))
	return raw.Frames[0], m, err
}

func (k *kernel) send(s zmq4.Socket, to []byte, kind string, parent jupyter.Message, content any, key string) {
	m, err := jupyter.NewMessage(parent.Header.Session, kind, parent.Header, content)
	if err != nil {
		panic(err)
	}
	frames, err := m.Encode([]byte(key))
	if err != nil {
		panic(err)
	}
	k.sending.Lock()
	defer k.sending.Unlock()
	s.SendMulti(zmq4.NewMsgFrom(append([][]byte{to}, frames...)...))
}

type object = map[string]any

func (k *kernel) publish(kind string, parent jupyter.Message, content any) {
	k.send(k.output, []byte("topic."+kind), kind, parent, content, k.Key)
}

func (k *kernel) status(parent jupyter.Message, state string) {
	k.publish("status", parent, object{"execution_state": state})
}

func (k *kernel) handle(from []byte, m jupyter.Message) {
	k.status(m, "busy")
	switch m.Header.Type {
	case "kernel_info_request":
		k.send(k.shell, from, "kernel_info_reply", m, object{"status": "ok"}, k.Key)
	case "execute_request":
		var request struct{ Code string }
		json.Unmarshal(m.Content, &request)
		k.count++
		c := &cell{kernel: k, from: from, request: m, reply: object{"status": "ok", "execution_count": k.count}}
		for line := range strings.Lines(request.Code) {
			verb, text, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
			if c.do(verb, text); c.ended {
				break
			}
		}
		k.send(k.shell, from, "execute_reply", m, c.reply, k.Key)
		if c.noIdle {
			return
		}
		defer c.after()
	}
	k.status(m, "idle")
}

// cell is a piece of code on its way.
type cell struct {
	*kernel
	from          []byte
	request       jupyter.Message
	reply         object
	ended, noIdle bool
	late          string
}

func (c *cell) stream(name, text string) {
	text, open := strings.CutSuffix(strings.ReplaceAll(text, `\r`, "\r"), `\c`)
	if !open {
		text += "\n"
	}
	c.publish("stream", c.request, object{"name": name, "text": text})
}

func (c *cell) display(kind, id, mime, text string) {
	transient := object{}
	if id != "-" {
		transient["display_id"] = id
	}
	c.publish(kind, c.request, object{"data": object{mime: text}, "metadata": object{}, "transient": transient})
}

func (c *cell) do(verb, text string) {
	id, rest, _ := strings.Cut(text, " ")
	switch verb {
	case "out":
		c.stream("stdout", text)
	case "err":
		c.stream("stderr", text)
	case "show":
		c.display("display_data", id, "text/plain", rest)
	case "show-new":
		id := "id_" + jupyter.NewID()[:8]
		c.display("display_data", id, "text/plain", text+" "+id)
	case "html":
		c.display("display_data", "-", "text/html", text)
	case "update":
		c.display("update_display_data", id, "text/plain", rest)
	case "clear", "clear-later":
		c.publish("clear_output", c.request, object{"wait": verb == "clear-later"})
	case "fail":
		c.fail("Error", text)
	case "sleep":
		d, _ := time.ParseDuration(text)
		select {
		case <-time.After(d):
		case <-c.signals:
			c.fail("Interrupted", "signal: interrupt")
		}
	case "stubborn":
		d, _ := time.ParseDuration(text)
		time.Sleep(d)
	case "child":
		child := exec.Command("sleep", "60")
		if err := child.Start(); err != nil {
			panic(err)
		}
		c.stream("stdout", fmt.Sprint(child.Process.Pid))
	case "ask":
		c.send(c.stdin, c.from, "input_request", c.request, object{"prompt": "?", "password": false}, c.Key)
		answer := <-c.answers
		c.stream("stdout", "answered "+string(answer.Content))
	case "late":
		c.late = text
	case "chatter":
		go func() {
			for range time.Tick(10 * time.Millisecond) {
				c.stream("stdout", text)
			}
		}()
	case "forge":
		c.send(c.output, []byte("x"), "stream", c.request, object{"name": "stdout", "text": "forged"}, "another key")
	case "no-idle":
		c.noIdle = true
	case "die":
		time.Sleep(100 * time.Millisecond) // what was published is sent in the background
		p, _ := os.FindProcess(os.Getpid())
		p.Kill()
		select {}
	}
}

func (c *cell) fail(name, text string) {
	content := object{"ename": name, "evalue": text, "traceback": []string{text}}
	c.publish("error", c.request, content)
	content["status"], content["execution_count"] = "error", c.count
	c.reply, c.ended = content, true
}

// after publishes what comes too late.
func (c *cell) after() {
	if c.late == "" {
		return
	}
	go func() {
		time.Sleep(20 * time.Millisecond)
		c.stream("stdout", c.late)
	}()
}
