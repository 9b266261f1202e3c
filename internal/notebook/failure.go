package notebook

import (
	"regexp"
	"slices"
	"strings"
)

// signs are the lines of stderr by which the Go kernel tells that a cell has failed while it answers "ok". The kernel prints the
// first two itself; the others are what the Go runtime ends a program with.
var signs = []struct {
	line *regexp.Regexp
	what string
}{
	{regexp.MustCompile(`^"%.*" unknown or not implemented yet\.`), "unknown command"},
	{regexp.MustCompile(`^panic: |^fatal error: |^SIG[A-Z]+: `), "the program panicked"},
	{regexp.MustCompile(`^(exit status [1-9][0-9]*|signal: [a-z ]+( \(core dumped\))?)$`), "the program or a command failed"},
}

// terminal matches what colours text in a terminal.
var terminal = regexp.MustCompile(`\x1b\[[0-9;?]*[ -/]*[@-~]`)

// Failure tells why a cell has failed to whose stderr these chunks came, although its kernel answered "ok", or "" if it has not.
// Each chunk is looked at alone, since the kernel may begin its own behind a line that the program did not end, and then all of
// them joined, since a chunk may be cut anywhere.
//
// A cell that prints such a line itself is taken for failed, too: who runs a program whose failure is expected gives the cell
// the tag raises-exception.
func Failure(stderr []string) string {
	whole := strings.Join(stderr, "")
	for _, sign := range signs {
		for _, chunk := range append(slices.Clip(stderr), whole) {
			for line := range strings.Lines(terminal.ReplaceAllString(chunk, "")) {
				if line = strings.TrimSpace(line); sign.line.MatchString(line) {
					return sign.what + ": " + line
				}
			}
		}
	}
	return ""
}
