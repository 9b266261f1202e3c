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
	defer stop()
	context.AfterFunc(ctx, func() {
		again := make(chan os.Signal, 1)
		signal.Notify(again, os.Interrupt, syscall.SIGTERM)
		fmt.Fprintln(os.Stderr, "bitdistill: stopping after what is being computed; Ctrl-C again stops at once")
		<-again
		os.Exit(exitInterrupted)
	})
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
