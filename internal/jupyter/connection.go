package jupyter

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/go-zeromq/zmq4"
)

// Connection is what a connection file says: where the kernel listens, and the key that signs messages.
type Connection struct {
	Transport  string `json:"transport"` // ipc or tcp
	IP         string `json:"ip"`        // with ipc the beginning of a path, which "-PORT" ends
	Shell      int    `json:"shell_port"`
	IOPub      int    `json:"iopub_port"`
	Stdin      int    `json:"stdin_port"`
	Control    int    `json:"control_port"`
	Heartbeat  int    `json:"hb_port"`
	Key        string `json:"key"`
	Scheme     string `json:"signature_scheme"`
	KernelName string `json:"kernel_name"`
}

// longestSocketPath is what the paths of Unix sockets can hold everywhere.
const longestSocketPath = 100

// newConnection picks where a kernel is to listen. Folder is one that only the user can enter.
func newConnection(folder string) (Connection, error) {
	c := Connection{
		Transport: "ipc", IP: filepath.Join(folder, "s"), Shell: 1, IOPub: 2, Stdin: 3, Control: 4, Heartbeat: 5,
		Key: NewID(), Scheme: "hmac-sha256", KernelName: "gonb",
	}
	if runtime.GOOS != "windows" && len(c.IP)+2 < longestSocketPath {
		return c, nil
	}
	c.Transport, c.IP = "tcp", "127.0.0.1"
	return c, c.freePorts()
}

// freePorts fills in ports that nobody listens on now; another program may take one before the kernel does, which then ends.
func (c *Connection) freePorts() error {
	for _, port := range []*int{&c.Shell, &c.IOPub, &c.Stdin, &c.Control, &c.Heartbeat} {
		l, err := net.Listen("tcp", c.IP+":0")
		if err != nil {
			return fmt.Errorf("kernel: no free port: %w", err)
		}
		defer l.Close() // all stay open until all are found, so that they differ
		*port = l.Addr().(*net.TCPAddr).Port
	}
	return nil
}

// Address is the ZeroMQ address of one of the ports.
func (c Connection) Address(port int) string {
	if c.Transport == "ipc" {
		return fmt.Sprintf("ipc://%s-%d", c.IP, port)
	}
	return fmt.Sprintf("tcp://%s:%d", c.IP, port)
}

// write writes the connection file into folder: nobody else may read it, since who has the key can run code.
func (c Connection) write(folder string) (string, error) {
	data, err := json.MarshalIndent(c, "", " ")
	if err != nil {
		return "", err
	}
	path := filepath.Join(folder, "kernel-"+NewID()+".json") // GoNB reads an id out of such a name
	return path, os.WriteFile(path, append(data, '\n'), 0o600)
}

// sendTimeout is how long a message may wait for a kernel that does not read.
const sendTimeout = 10 * time.Second

// sockets are this side's ends.
type sockets struct {
	connection                    Connection
	shell, control, stdin, output zmq4.Socket
}

// dial opens all sockets as soon as the kernel listens, which takes as long as it takes, until ctx ends. They stay open until
// live ends.
func (s *sockets) dial(ctx, live context.Context, session string) error {
	quiet := zmq4.WithLogger(log.New(io.Discard, "", 0))
	once := zmq4.WithDialerMaxRetries(0)
	timeout := zmq4.WithTimeout(sendTimeout)
	// The same identity on all three: some kernels answer on shell what came over control.
	id := zmq4.WithID(zmq4.SocketIdentity(session))
	s.shell = zmq4.NewDealer(live, quiet, once, timeout, id)
	s.control = zmq4.NewDealer(live, quiet, once, timeout, id)
	s.stdin = zmq4.NewDealer(live, quiet, once, timeout, id)
	s.output = zmq4.NewSub(live, quiet, once)
	if err := s.output.SetOption(zmq4.OptionSubscribe, ""); err != nil {
		return err
	}
	connected := make(chan struct{})
	go func() { // a kernel that accepts a connection and says nothing blocks Dial until it is killed
		s.reach(ctx)
		close(connected)
	}()
	select {
	case <-connected:
	case <-ctx.Done():
	}
	return context.Cause(ctx)
}

// reach tries until all sockets are connected or ctx ends.
func (s *sockets) reach(ctx context.Context) {
	c := s.connection
	for _, end := range []struct {
		socket zmq4.Socket
		port   int
	}{{s.output, c.IOPub}, {s.shell, c.Shell}, {s.control, c.Control}, {s.stdin, c.Stdin}} {
		for end.socket.Dial(c.Address(end.port)) != nil {
			select {
			case <-ctx.Done():
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}
}

func (s *sockets) close() {
	for _, socket := range []zmq4.Socket{s.shell, s.control, s.stdin, s.output} {
		if socket != nil {
			socket.Close() // nothing is left to send
		}
	}
}

// send signs and sends a message.
func (s *sockets) send(socket zmq4.Socket, m Message) error {
	frames, err := m.Encode([]byte(s.connection.Key))
	if err != nil {
		return err
	}
	if err := socket.SendMulti(zmq4.NewMsgFrom(frames...)); err != nil {
		return fmt.Errorf("send %s: %w", m.Header.Type, err)
	}
	return nil
}

// received is a message or why there is none.
type received struct {
	Message
	err error
}

// listen reads a socket until it closes.
func (s *sockets) listen(ctx context.Context, socket zmq4.Socket, to chan<- received) {
	for {
		raw, err := socket.Recv()
		if err != nil {
			return // closed, or the kernel is gone, which its process tells
		}
		m, err := Decode(raw.Frames, []byte(s.connection.Key))
		select {
		case to <- received{m, err}:
		case <-ctx.Done():
			return
		}
	}
}
