package report

import (
	"context"
	"path/filepath"

	"github.com/bitdistill/bitdistill/plots"
)

// Page is the report of one run: results, settings, curves, weights, samples and environment, as far as the run has come. Models
// that are there are loaded, one at a time, and a few held-out rows run through them on the pure-Go backend. Where held-out data
// are not to be found any more, the page says so. Other errors name the file that is wrong.
func (r *Run) Page(ctx context.Context) (*plots.Page, error) {
	f, err := r.examine(ctx)
	if err != nil {
		return nil, err
	}
	b := &builder{title: r.name(), from: r.Dir}
	b.text("Model %s, task %s; %s.", r.Config.Model, r.Config.Task.Name, r.state())
	b.results(r)
	b.settings(r)
	b.training(r)
	b.weights(r, f)
	b.seen(r, f)
	b.samples(f)
	b.environment(r)
	return b.page()
}

// name is that of the folder.
func (r *Run) name() string {
	if path, err := filepath.Abs(r.Dir); err == nil {
		return filepath.Base(path)
	}
	return r.Dir
}
