package distill

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/bitdistill/bitdistill/internal/atomicfile"
)

// damage makes a file of a folder other than its manifest says.
type damage struct {
	file string
	do   func(raw []byte) []byte // nil removes the file
}

var damages = map[string]damage{
	"truncated weights":        {weightsFile, func(raw []byte) []byte { return raw[:len(raw)/2] }},
	"empty weights":            {weightsFile, func([]byte) []byte { return nil }},
	"flipped bit in a weight":  {weightsFile, flip},
	"flipped bit in a moment":  {optimizerFile, flip},
	"flipped bit in the state": {stateFile, flip},
	"longer state":             {stateFile, func(raw []byte) []byte { return append(raw, ' ') }},
	"no weights":               {weightsFile, nil},
	"no moments":               {optimizerFile, nil},
	"no state":                 {stateFile, nil},
	"no manifest":              {atomicfile.ManifestName, nil},
	"truncated manifest":       {atomicfile.ManifestName, func(raw []byte) []byte { return raw[:len(raw)-9] }},
}

func flip(raw []byte) []byte {
	raw = slices.Clone(raw)
	raw[len(raw)-len(raw)/3] ^= 4
	return raw
}

func (d damage) in(t testing.TB, folder string) {
	t.Helper()
	path := filepath.Join(folder, d.file)
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if d.do == nil {
		return
	}
	if err := os.WriteFile(path, d.do(raw), 0o666); err != nil {
		t.Fatal(err)
	}
}

// killed is the folder of a training that was killed behind step 6 of 8, with checkpoints every 3 steps; and what the training
// comes to.
func killed(t testing.TB) (dir string, want map[string][]float32) {
	t.Helper()
	_, want = finish(t, testTrainings[Stage3Label](t, t.TempDir()))
	dir = t.TempDir()
	tr := testTrainings[Stage3Label](t, dir)
	tr.config.CheckpointEvery = 3
	interruptAt(t, tr, 13) // at step 6
	if got := folders(t, dir); !slices.Equal(got, []string{"step-00000003", "step-00000006"}) {
		t.Fatalf("checkpoints %v", got)
	}
	return dir, want
}

func folders(t testing.TB, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func duplicate(t testing.TB, dir string) string {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return to
}

// goOn resumes in the folder, with checkpoints every so many steps, and returns the log.
func goOn(t testing.TB, dir string, every int, want map[string][]float32) string {
	t.Helper()
	j := newJournal(t)
	tr := j.of(testTrainings[Stage3Label](t, dir))
	tr.config.CheckpointEvery = every
	_, got := finish(t, tr)
	sameBits(t, "weights", got, want)
	return j.text.String()
}

// A newest checkpoint that is damaged in any way is told about and passed over; what comes out is the same.
func TestDamagedCheckpoint(t *testing.T) {
	dir, want := killed(t)
	if log := goOn(t, duplicate(t, dir), 0, want); !strings.Contains(log, "at step 6") || strings.Contains(log, "warning") {
		t.Errorf("undamaged:\n%s", log)
	}
	for name, d := range damages {
		t.Run(name, func(t *testing.T) {
			dir := duplicate(t, dir)
			d.in(t, filepath.Join(dir, "step-00000006"))
			log := goOn(t, dir, 2, want) // over the damaged one's step
			for _, words := range []string{"warning", "step-00000006", "falling back to the checkpoint before", "at step 3"} {
				if !strings.Contains(log, words) {
					t.Errorf("the log lacks %q:\n%s", words, log)
				}
			}
			for _, name := range folders(t, dir) {
				if err := atomicfile.Verify(filepath.Join(dir, name)); err != nil {
					t.Errorf("left behind: %v", err)
				}
			}
		})
	}
}

// Without any checkpoint that is whole the training starts anew, and says so.
func TestAllCheckpointsDamaged(t *testing.T) {
	dir, want := killed(t)
	for _, name := range folders(t, dir) {
		damages["no manifest"].in(t, filepath.Join(dir, name))
	}
	if log := goOn(t, dir, 3, want); !strings.Contains(log, "starts anew") || strings.Contains(log, "going on") {
		t.Errorf("the log:\n%s", log)
	}
	if got := folders(t, dir); !slices.Equal(got, []string{"step-00000006", "step-00000008"}) {
		t.Errorf("checkpoints %v", got)
	}
}

// After a damaged checkpoint was passed over, the two newest that are kept are whole ones: the damaged one does not push
// them out.
func TestDamagedIsReplaced(t *testing.T) {
	dir, _ := killed(t)
	damages["no state"].in(t, filepath.Join(dir, "step-00000006"))
	tr := testTrainings[Stage3Label](t, dir)
	tr.config.CheckpointEvery = 1
	interruptAt(t, tr, 9) // at step 4
	if got := folders(t, dir); !slices.Equal(got, []string{"step-00000003", "step-00000004"}) {
		t.Errorf("checkpoints %v", got)
	}
}

// What a killed program left half-written is cleared away.
func TestHalfWritten(t *testing.T) {
	dir, want := killed(t)
	d, err := atomicfile.CreateDir(filepath.Join(dir, "step-00000007"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(d.Path(), weightsFile), []byte("half"), 0o666); err != nil {
		t.Fatal(err)
	}
	goOn(t, dir, 0, want)
	if got := folders(t, dir); !slices.Equal(got, []string{"step-00000006", "step-00000008"}) {
		t.Errorf("left behind: %v", got)
	}
}

// The best weights are checked before they are put back.
func TestDamagedBest(t *testing.T) {
	dir := t.TempDir()
	scores := map[int]float64{2: 0.9, 4: 0.1, 6: 0.1, 8: 0.1}
	begin := func() *trainer {
		tr := testTrainings[FullLabel](t, dir)
		graded(t, tr, scores)
		return tr
	}
	interruptAt(t, begin(), 13)
	best := filepath.Join(dir, folderOf(bestPrefix, 2))
	damages["flipped bit in a weight"].in(t, best)
	_, err := begin().run(t.Context())
	wantError(t, err, "best weights, of step 2", filepath.Join(best, weightsFile), "remove "+dir)
}

// A folder that cannot be written to ends the training with an error that names it, and leaves the last checkpoint.
func TestCheckpointCannotBeWritten(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "file", "in between")
	if err := os.WriteFile(filepath.Dir(dir), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	tr := testTrainings[FullLabel](t, dir)
	tr.config.CheckpointEvery = 1
	if _, err := tr.run(t.Context()); err == nil || errors.Is(err, ErrInterrupted) || !strings.Contains(err.Error(), filepath.Dir(dir)) {
		t.Errorf("got %v", err)
	}
}
