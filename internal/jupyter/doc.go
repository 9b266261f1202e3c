// Package jupyter starts a Jupyter kernel and talks with it, as version 5 of the Jupyter messaging protocol has it, in pure Go:
// no Python and no libzmq.
//
// Here belongs what is the same for every kernel and every client: the connection file, signed messages on the wire, the kernel's
// process and its end, executing one piece of code and interrupting it. What is done with the messages that come back does not,
// nor what a notebook file looks like (package notebook), nor where a kernel comes from (package notebook/gonb).
//
// On Unix the sockets are files in a folder that only the user can enter; elsewhere they are ports of the loopback interface.
// The kernel leads a process group of its own, which is killed as a whole at the end.
//
// Files: message.go is the wire format, connection.go the sockets, process*.go the kernel's process, kernel.go the conversation.
// Package fakekernel below is the other side of it, for tests.
package jupyter
