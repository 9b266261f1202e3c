package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"syscall"

	"github.com/bitdistill/bitdistill/distill"
	"github.com/bitdistill/bitdistill/internal/backend"
	"github.com/spf13/cobra"
	"k8s.io/klog/v2"
)

// Exit codes.
const (
	exitDone        = 0
	exitFailed      = 1
	exitInput       = 2
	exitInterrupted = 130 // 128 + SIGINT, as shells have it
)

// debugEnv shows the stack of an internal error when it is "1".
const debugEnv = "BITDISTILL_DEBUG"

// cli is one call of the program.
type cli struct {
	out   io.Writer // data
	log   io.Writer // everything else
	began bool      // a command has started, so its arguments were understood
}

// run is the program: it parses the arguments, does what they say and returns the exit code. When ctx ends it stops, leaving a
// checkpoint if it is training.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) (code int) {
	silenceLibraries()
	defer func() {
		if fault := recover(); fault != nil {
			code = exitFailed
			report(stderr, fmt.Errorf("internal error: %v; %s=1 shows where", fault, debugEnv))
			if os.Getenv(debugEnv) == "1" {
				stderr.Write(debug.Stack())
			}
		}
	}()
	c := &cli{out: stdout, log: stderr}
	root := c.root()
	root.SetArgs(args)
	root.SetIn(stdin)
	err := root.ExecuteContext(ctx)
	if err != nil {
		report(stderr, err)
	}
	return c.exitCode(ctx, err)
}

// root is the command without a name, which has all others.
func (c *cli) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "bitdistill",
		Short: "Turn a pretrained decoder into a 1.58-bit model for one task",
		Long: `bitdistill turns a pretrained decoder into a model with ternary weights and int8
activations for one task, and measures it against the full-precision fine-tune
and the direct ternary fine-tune of the same model.

Data go to stdout, everything else to stderr.
Exit codes: 0 done, 1 failed, 2 wrong input, 130 interrupted.`,
		Example: `  bitdistill run                                     all stages on what is in the binary
  bitdistill eval --model bitdistill-run --json      judge what came out
  bitdistill doctor                                  which backend would be used, and how fast it is`,
		Version:       distill.Version(),
		SilenceErrors: true, SilenceUsage: true,
		Args:             noSuchCommand,
		RunE:             func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		PersistentPreRun: func(*cobra.Command, []string) { c.began = true },
	}
	root.SetOut(c.out) // before the commands that cobra adds are made
	root.SetErr(c.log)
	root.SetFlagErrorFunc(flagError)
	root.AddCommand(c.runCommand(), c.evalCommand(), c.perplexityCommand(), c.tokenizeCommand(), c.exportCommand(), c.inspectCommand(), c.classifyCommand(), c.generateCommand(), c.chatCommand(), c.reportCommand(), c.notebookCommand(), c.benchCommand(), c.doctorCommand(), c.versionCommand())
	root.InitDefaultCompletionCmd()
	root.InitDefaultHelpCmd()
	for _, cmd := range root.Commands() {
		switch cmd.Name() {
		case "completion": // cobra answers an unknown shell with help and success
			cmd.Args = noSuchCommand
			cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
		case "help": // and an unknown command too
			cmd.Args = func(_ *cobra.Command, args []string) error {
				found, rest, err := root.Find(args)
				if err == nil && len(rest) > 0 {
					err = noSuchCommand(found, rest)
				}
				return err
			}
		}
	}
	return root
}

// silenceLibraries drops what GoMLX says through klog: it would stand in the middle of our own lines.
func silenceLibraries() {
	klog.LogToStderr(false)
	klog.SetOutput(io.Discard)
}

// wrongInput marks an error whose cause is what the user gave.
type wrongInput struct{ error }

func (e wrongInput) Is(target error) bool { return target == distill.ErrInput }
func (e wrongInput) Unwrap() error        { return e.error }

func inputf(format string, args ...any) error { return wrongInput{fmt.Errorf(format, args...)} }

// exitCode tells failures apart. What goes wrong before a command begins is the arguments' fault.
func (c *cli) exitCode(ctx context.Context, err error) int {
	is := func(target error) bool { return errors.Is(err, target) }
	switch {
	case err == nil:
		return exitDone
	case is(syscall.ENOSPC): // also while stopping, or while looking at what was given
		return exitFailed
	case is(distill.ErrInterrupted), ctx.Err() != nil && (is(ctx.Err()) || is(context.Cause(ctx))):
		return exitInterrupted
	case !c.began, is(distill.ErrInput), is(backend.ErrConfig), is(backend.ErrUnavailable):
		return exitInput
	}
	return exitFailed
}

// writeJSON writes data for programs: one line, or indented if it is for reading too.
func (c *cli) writeJSON(v any, indent string) error {
	e := json.NewEncoder(c.out)
	e.SetEscapeHTML(false)
	e.SetIndent("", indent)
	return e.Encode(v)
}

// jsonFlag adds --json.
func jsonFlag(cmd *cobra.Command, to *bool) {
	cmd.Flags().BoolVar(to, "json", false, "write JSON to stdout")
}
