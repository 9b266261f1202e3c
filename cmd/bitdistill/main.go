package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/bitdistill/bitdistill/internal/backend"
)

func main() {
	backend.WithFastEnvironment()
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(50) // memory is large buffers without pointers: collections are cheap, and a fifth of the peak is saved
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, func() {
		stop() // the next signal ends the program at once
		fmt.Fprintln(os.Stderr, "bitdistill: stopping as soon as the state is saved; Ctrl-C again stops at once")
	})
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
