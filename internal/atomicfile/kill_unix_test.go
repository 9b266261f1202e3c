//go:build unix

package atomicfile

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

const envVictim = "ATOMICFILE_TEST_VICTIM"

// TestVictim is not a test: TestSIGKILL runs it in a process of its own, where
// it replaces a folder without end and tells each version it committed.
func TestVictim(t *testing.T) {
	final := os.Getenv(envVictim)
	if final == "" {
		return
	}
	first, _ := strconv.Atoi(os.Getenv(envVictim + "_FIRST"))
	for v := first; ; v++ {
		if err := commitVersion(final, strconv.Itoa(v)); err != nil {
			t.Fatal(err)
		}
		fmt.Println("committed", v)
	}
}

// TestSIGKILL kills a real process at random moments: no version that was
// reported as committed is lost.
func TestSIGKILL(t *testing.T) {
	parent := t.TempDir()
	final := filepath.Join(parent, "model")
	last := 0
	for round := range 6 {
		cmd := exec.Command(os.Args[0], "-test.run=^TestVictim$")
		cmd.Env = append(os.Environ(), envVictim+"="+final, envVictim+"_FIRST="+strconv.Itoa(last+1))
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		timer := time.AfterFunc(30*time.Second, func() { cmd.Process.Kill() }) // in case it never reports
		for lines.Scan() {
			v, ok := strings.CutPrefix(lines.Text(), "committed ")
			if !ok {
				t.Errorf("victim: %s", lines.Text())
				continue
			}
			if last, err = strconv.Atoi(v); err != nil {
				t.Fatal(err)
			}
			timer.Reset(time.Duration(rand.IntN(60_000)) * time.Microsecond)
		}
		cmd.Wait()
		if err := CleanTemp(parent); err != nil {
			t.Fatal(err)
		}
		got, err := strconv.Atoi(versionOf(t, final, strconv.Itoa(last), strconv.Itoa(last+1)))
		if err != nil || len(entries(t, parent)) != 1 {
			t.Fatalf("round %d: %v, left %q", round, err, entries(t, parent))
		}
		t.Logf("round %d: reported %d, found %d", round, last, got)
		last = got
	}
}
