package jupyter_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/bitdistill/bitdistill/internal/jupyter"
	"github.com/bitdistill/bitdistill/internal/jupyter/fakekernel"
)

func TestMain(m *testing.M) {
	fakekernel.Main()
	os.Exit(m.Run())
}

// begin starts a fake kernel whose private folder lies in a folder of this test.
func begin(t *testing.T, mode string) (k *jupyter.Kernel, temp string) {
	t.Helper()
	temp, err := os.MkdirTemp("", "t") // t.TempDir would be too long a name for sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(temp) })
	t.Setenv("TMPDIR", temp)
	k, err = jupyter.Start(t.Context(), fakekernel.Command(mode), 20*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	k.Grace = 2 * time.Second
	t.Cleanup(func() { k.Close() })
	return k, temp
}

// execute runs code and returns what was printed and shown, a line a message.
func execute(t *testing.T, ctx context.Context, k *jupyter.Kernel, code string) (jupyter.Reply, string, error) {
	t.Helper()
	var b strings.Builder
	reply, err := k.Execute(ctx, code, nil, func(m jupyter.Message) {
		var c struct{ Text string }
		if json.Unmarshal(m.Content, &c); c.Text != "" {
			b.WriteString(c.Text)
		}
	})
	return reply, b.String(), err
}

func TestExecute(t *testing.T) {
	k, temp := begin(t, "1")
	for i := range 3 {
		reply, text, err := execute(t, t.Context(), k, "out a\nerr b\\c\nout c")
		if err != nil || text != "a\nbc\n" || reply.Status != "ok" || reply.Count != i+1 {
			t.Fatalf("%+v %q %v", reply, text, err)
		}
	}
	reply, text, err := execute(t, t.Context(), k, "fail no good\nout never")
	if err != nil || text != "" || reply.Status != "error" || reply.Name != "Error" || reply.Value != "no good" {
		t.Errorf("%+v %q %v", reply, text, err)
	}
	files, _ := filepath.Glob(temp + "/kernel-*/kernel-*.json")
	if len(files) != 1 {
		t.Fatalf("connection files: %v", files)
	}
	if runtime.GOOS != "windows" {
		info, err := os.Stat(files[0])
		folder, err2 := os.Stat(filepath.Dir(files[0]))
		if err != nil || err2 != nil || info.Mode().Perm() != 0o600 || folder.Mode().Perm() != 0o700 {
			t.Errorf("connection file %v, folder %v: %v", info, folder, errors.Join(err, err2))
		}
	}
	if err := k.Close(); err != nil {
		t.Error(err)
	}
	if k.Alive() {
		t.Error("the kernel lives after Close")
	}
	if left, _ := os.ReadDir(temp); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestEveryOutputComesBeforeTheEnd(t *testing.T) {
	k, _ := begin(t, "1")
	code := strings.Repeat("out x\\c\n", 5000)
	if _, text, err := execute(t, t.Context(), k, code); err != nil || len(text) != 5000 {
		t.Errorf("%d bytes, %v", len(text), err)
	}
}

func TestSlowStart(t *testing.T) {
	k, _ := begin(t, "slow")
	if _, text, err := execute(t, t.Context(), k, "out here"); err != nil || text != "here\n" {
		t.Errorf("%q %v", text, err)
	}
}

func TestStartFails(t *testing.T) {
	start := time.Now()
	_, err := jupyter.Start(t.Context(), fakekernel.Command("mute"), 300*time.Millisecond)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("mute: %v", err)
	}
	_, err = jupyter.Start(t.Context(), fakekernel.Command("broken"), time.Minute)
	var death *jupyter.DeathError
	if !errors.As(err, &death) || death.State != "exit status 7" || death.Log != "cannot find the gopher" {
		t.Errorf("broken: %v", err)
	}
	if _, err = jupyter.Start(t.Context(), jupyter.Command{Argv: []string{"no-such-kernel"}}, time.Minute); err == nil {
		t.Error("a program that is not there was started")
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("enough"))
	if _, err = jupyter.Start(ctx, fakekernel.Command("mute"), 0); err == nil || err.Error() != "enough" {
		t.Errorf("cancelled: %v", err)
	}
	if d := time.Since(start); d > 50*time.Second { // not the minute that is allowed
		t.Errorf("took %v", d)
	}
}

func TestInterrupt(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("signals are for Unix")
	}
	k, _ := begin(t, "1")
	ctx, cancel := context.WithTimeoutCause(t.Context(), 100*time.Millisecond, errors.New("too slow"))
	defer cancel()
	_, _, err := execute(t, ctx, k, "sleep 1m")
	if err == nil || err.Error() != "too slow" || !k.Alive() {
		t.Errorf("alive %v: %v", k.Alive(), err)
	}
	if _, text, err := execute(t, t.Context(), k, "out again"); err != nil || text != "again\n" {
		t.Errorf("after an interrupt: %q %v", text, err)
	}
}

func TestInterruptThenKill(t *testing.T) {
	k, _ := begin(t, "1")
	k.Grace = 200 * time.Millisecond
	ctx, cancel := context.WithTimeoutCause(t.Context(), 2*time.Second, errors.New("too slow"))
	defer cancel()
	start := time.Now()
	_, text, err := execute(t, ctx, k, "out first\nstubborn 1m")
	if err == nil || !strings.HasPrefix(err.Error(), "too slow; it did not stop") || k.Alive() || text != "first\n" {
		t.Errorf("alive %v: %q %v", k.Alive(), text, err)
	}
	if d := time.Since(start); d > 50*time.Second { // not its minute
		t.Errorf("took %v", d)
	}
}

func TestDeadKernelIsNoticedAtOnce(t *testing.T) {
	k, _ := begin(t, "1")
	_, text, err := execute(t, t.Context(), k, "out last words\ndie")
	var death *jupyter.DeathError
	if !errors.As(err, &death) || death.State != "signal: killed" || text != "last words\n" || k.Alive() {
		t.Errorf("%q %v", text, err)
	}
}

func TestInputIsRefused(t *testing.T) {
	k, _ := begin(t, "1")
	_, text, err := execute(t, t.Context(), k, "ask")
	if !errors.Is(err, jupyter.ErrAsksInput) || !strings.Contains(text, `"status":"error"`) || !k.Alive() {
		t.Errorf("%q %v", text, err)
	}
}

func TestForgedMessageIsRefused(t *testing.T) {
	k, _ := begin(t, "1")
	if _, text, err := execute(t, t.Context(), k, "forge"); err == nil || !strings.Contains(err.Error(), "signature") || text != "" {
		t.Errorf("%q %v", text, err)
	}
}

func TestLateOutput(t *testing.T) {
	k, _ := begin(t, "1")
	reply, _, err := execute(t, t.Context(), k, "late after all")
	if err != nil {
		t.Fatal(err)
	}
	found := ""
	k.Drain(t.Context(), 500*time.Millisecond, func(m jupyter.Message) {
		if m.Parent.ID == reply.ID {
			found += string(m.Content)
		}
	})
	if !strings.Contains(found, "after all") {
		t.Errorf("%q", found)
	}
}

func TestDrainEnds(t *testing.T) {
	k, _ := begin(t, "1")
	if _, _, err := execute(t, t.Context(), k, "chatter again"); err != nil {
		t.Fatal(err)
	}
	drain := func(ctx context.Context) (messages int) {
		k.Drain(ctx, 5*time.Second, func(jupyter.Message) { messages++ })
		return messages
	}
	if n := drain(t.Context()); n == 0 {
		t.Error("no messages")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	drain(ctx) // the kernel would chatter on
}
