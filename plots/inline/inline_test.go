//go:build unix

package inline

import (
	"strings"
	"testing"
	"time"

	"github.com/bitdistill/bitdistill/plots"
	"github.com/janpfeifer/gonb/gonbui"
)

func curve(n int) *plots.Chart {
	y := make([]float64, n)
	for i := range y {
		y[i] = 1 / float64(i+1)
	}
	return plots.Loss("loss", "nats", plots.Curve{Name: "CE", Y: y})
}

// TestSilentOutsideNotebooks: nothing is drawn, and no chart is made.
func TestSilentOutsideNotebooks(t *testing.T) {
	if gonbui.IsNotebook {
		t.Skip("runs in a notebook")
	}
	start := time.Now()
	if err := Display(curve(1000)); err != nil {
		t.Error(err)
	}
	KeepLive()
	live := NewLive()
	for i := range 100_000 {
		live.Update(i, 100_000, "", func() *plots.Chart {
			t.Fatal("a chart was made that nobody sees")
			return nil
		})
	}
	if err := live.Close(); err != nil {
		t.Error(err)
	}
	t.Logf("100000 updates in %v", time.Since(start))
}

// TestInNotebook plays GoNB's part: it takes what is sent through the pipe.
func TestInNotebook(t *testing.T) {
	kernel := playKernel(t)
	live := NewLive()
	made := 0
	start := time.Now()
	for i := 0; time.Since(start) < 12*interval; i++ {
		live.Update(i, 1000, "loss <b>0.5", func() *plots.Chart { made++; return curve(i + 1) })
		time.Sleep(time.Millisecond)
	}
	took := time.Since(start)
	if err := live.Close(); err != nil {
		t.Fatal(err)
	}
	if err := live.Close(); err != nil {
		t.Fatal(err)
	}
	var updates []map[string]string
	for _, d := range kernel.taken() {
		if d.id == live.id {
			updates = append(updates, d.data)
		}
	}
	if least, most := 10, int(took/interval)+3; len(updates) < least || len(updates) > most {
		t.Fatalf("%d updates in %v, want %d to %d", len(updates), took, least, most)
	}
	if made > len(updates) {
		t.Errorf("%d charts made for %d updates", made, len(updates))
	}
	first, last := updates[0]["text/html"], updates[len(updates)-1]
	if !strings.Contains(first, "<progress") || !strings.Contains(first, "loss &lt;b&gt;0.5") || strings.Contains(first, "<img") {
		t.Errorf("the first update is not a progress bar with a chart without picture: %.300s", first)
	}
	if strings.Contains(last["text/html"], "<progress") || !strings.Contains(last["text/html"], "<img") || !strings.HasPrefix(last["image/png"], "\x89PNG") {
		t.Errorf("the last update is not a chart with its picture: %.300s", last["text/html"])
	}

	if err := Display(curve(10), curve(20)); err != nil {
		t.Fatal(err)
	}
	libraries, shown := 0, 0
	for _, d := range kernel.taken() {
		if strings.Contains(d.data["text/html"], "Apache Software Foundation") {
			libraries++
		}
		if d.id == "" && strings.Contains(d.data["text/html"], "bitdistill.show") {
			shown++
		}
	}
	if libraries != 1 || shown != 2 {
		t.Errorf("echarts was sent %d times, want once; %d charts shown, want 2", libraries, shown)
	}
	if err := Display(plots.Accuracy("bad").Resized(-1, 1)); err == nil {
		t.Error("a chart with an error was shown")
	}
}
