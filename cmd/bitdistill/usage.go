package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// report writes an error: its one line, or a heading and a line for each fault.
func report(w io.Writer, err error) {
	lines := strings.Split(strings.TrimSpace(err.Error()), "\n")
	if len(lines) > 1 && !strings.HasSuffix(lines[0], ":") {
		lines = append([]string{fmt.Sprintf("%d faults:", len(lines))}, lines...)
	}
	fmt.Fprintf(w, "bitdistill: %s\n", lines[0])
	for _, line := range lines[1:] {
		fmt.Fprintf(w, "  %s\n", strings.TrimSpace(line))
	}
}

// noSuchCommand refuses words that are not commands.
func noSuchCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	var names []string
	for _, sub := range cmd.Commands() {
		if sub.IsAvailableCommand() {
			names = append(names, sub.Name())
		}
	}
	return fmt.Errorf("no command %q%s; %s --help lists them", args[0], didYouMean(args[0], names, ""), cmd.CommandPath())
}

// noArguments refuses words that belong to no flag.
func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return fmt.Errorf("%s: %q belongs to no flag; %s --help lists them", cmd.CommandPath(), args[0], cmd.CommandPath())
}

// flagError adds to an error about a flag which one may have been meant.
func flagError(cmd *cobra.Command, err error) error {
	hint := ""
	var unknown *pflag.NotExistError
	if errors.As(err, &unknown) {
		var names []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
		hint = didYouMean(unknown.GetSpecifiedName(), names, "--")
	}
	return fmt.Errorf("%w%s; %s --help lists the flags", err, hint, cmd.CommandPath())
}

// didYouMean names the word that is nearest to what was typed, if one is near.
func didYouMean(typed string, words []string, prefix string) string {
	best, nearest := "", max(1, len(typed)/2)
	for _, w := range words {
		if d := distance(typed, w); d <= nearest && (best == "" || d < nearest) {
			best, nearest = w, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(" (did you mean %s%s?)", prefix, best)
}

// distance is the number of characters to insert, delete or replace to turn a into b (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1) // of the matrix over prefixes of a and b
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
