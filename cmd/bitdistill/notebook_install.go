package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/bitdistill/bitdistill/internal/atomicfile"
	"github.com/bitdistill/bitdistill/internal/notebook/gonb"
	"github.com/spf13/cobra"
)

// dataFolder is the Jupyter data folder of a checkout, for JUPYTER_PATH.
const dataFolder = ".jupyter"

func (c *cli) notebookInstallCommand() *cobra.Command {
	user, name := false, ""
	cmd := &cobra.Command{
		Use:   "install",
		Short: "Install the Go kernel for Jupyter, for this checkout or for the user",
		Long: `install builds the Go kernel and writes a kernel spec, which tells Jupyter how to
start it: into .jupyter of the Go module around this folder, which JUPYTER_PATH has
to name, or with --user where Jupyter looks by itself. Notebooks import the packages
of that module from disk.`,
		Example: `  bitdistill notebook install
  bitdistill notebook install --user --name bitdistill`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			data, folder, err := c.install(cmd.Context(), user, name)
			if err != nil {
				return err
			}
			if _, err := fmt.Fprintln(c.out, folder); err != nil || user {
				return err
			}
			_, err = fmt.Fprintf(c.log, "Jupyter finds it with JUPYTER_PATH=%s, which bitdistill notebook lab sets\n", data)
			return err
		},
	}
	cmd.Flags().BoolVar(&user, "user", false, "for the user, in every folder")
	cmd.Flags().StringVar(&name, "name", gonb.DefaultName, "`NAME` of the kernel; notebooks ask for it by that")
	return cmd
}

// install builds the tools and writes the kernel spec.
func (c *cli) install(ctx context.Context, user bool, name string) (data, folder string, err error) {
	if name == "" || strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") != "" || strings.HasPrefix(name, ".") {
		return "", "", inputf("--name: %q is not of letters, digits and .-_, as Jupyter wants it", name)
	}
	module := gonb.Module(".")
	switch {
	case user:
		data, err = gonb.UserData()
	case module == "":
		err = inputf("this folder lies in no Go module, so there is none to install the kernel for; use --user")
	default:
		data = filepath.Join(module, dataFolder)
		err = ignore(data)
	}
	if err != nil {
		return "", "", err
	}
	tools, err := gonb.Find(ctx, ".", true, c.log)
	if err != nil {
		return "", "", err
	}
	folder, err = tools.Install(data, name, module)
	if errors.Is(err, gonb.ErrForeign) {
		err = inputf("%w; --name gives this one another", err)
	}
	return data, folder, err
}

// ignore makes a folder that keeps itself out of the repository.
func ignore(folder string) error {
	if err := os.MkdirAll(folder, 0o777); err != nil {
		return err
	}
	return atomicfile.WriteFile(filepath.Join(folder, ".gitignore"), func(w io.Writer) error {
		_, err := io.WriteString(w, "*\n")
		return err
	})
}

// jupyterCommand starts one of Jupyter's servers with the kernel.
func (c *cli) jupyterCommand(name string) *cobra.Command {
	product := map[string]string{"lab": "JupyterLab", "classic": "the classic Jupyter Notebook"}[name]
	return &cobra.Command{
		Use:     name + " [-- ARGUMENT...]",
		Short:   "Start " + product + " with the Go kernel, which is installed first if need be",
		Example: "  bitdistill notebook " + name + "\n  bitdistill notebook " + name + " -- notebooks --no-browser --port 9000",
		Args:    cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.startJupyter(cmd.Context(), name, product, args)
		},
	}
}

// startJupyter runs the server until it ends.
func (c *cli) startJupyter(ctx context.Context, name, product string, args []string) error {
	sub := map[string]string{"lab": "lab", "classic": "notebook"}[name]
	program, err := exec.LookPath("jupyter-" + sub)
	if err != nil {
		return fmt.Errorf("%s is not installed: there is no program jupyter-%s on PATH; %s; or run notebooks without it: bitdistill notebook run",
			product, sub, howToInstall[name])
	}
	module := gonb.Module(".")
	data, _, err := c.install(ctx, module == "", gonb.DefaultName)
	if err != nil {
		return err
	}
	server := exec.Command(program, args...) // Ctrl-C reaches it by the terminal, and it asks before it ends
	server.Env = append(os.Environ(), "JUPYTER_PATH="+strings.TrimSuffix(data+string(os.PathListSeparator)+os.Getenv("JUPYTER_PATH"), string(os.PathListSeparator)))
	server.Stdin, server.Stdout, server.Stderr = os.Stdin, c.out, c.log
	if err := server.Start(); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { server.Process.Signal(os.Interrupt) })
	defer stop()
	if err := server.Wait(); err != nil && ctx.Err() == nil {
		return fmt.Errorf("jupyter %s: %w", sub, err)
	}
	return context.Cause(ctx)
}

// howToInstall says where Jupyter comes from.
var howToInstall = map[string]string{
	"lab":     "pipx install jupyterlab, or python3 -m pip install jupyterlab in a virtual environment",
	"classic": "apt install jupyter-notebook on Debian and Ubuntu, or pipx install nbclassic",
}
