package distill

import "context"

// The stages by the names that the command line and messages use.
const (
	StageTeacher  = "teacher"
	StageBaseline = "baseline"
	StageConvert  = "1"
	StageCorpus   = "2"
	StageTask     = "3"
	StageEval     = "eval"
)

// Stages are the names of the stages, in the order in which [Run.Do] runs them.
func Stages() []string {
	return []string{StageTeacher, StageBaseline, StageConvert, StageCorpus, StageTask, StageEval}
}

// Needs is the stage that has to be done before another, "" if it starts from the config alone.
func Needs(stage string) string {
	switch stage {
	case StageCorpus:
		return StageConvert
	case StageTask:
		return StageCorpus
	case StageEval:
		return StageBaseline
	}
	return ""
}

// Stage runs the stage of that name alone, from what the folder holds. Results are those of "eval", else nil. A stage
// that is done is left as it is.
func (r *Run) Stage(ctx context.Context, name string) (*Results, error) {
	switch name {
	case StageTeacher:
		return nil, r.Teacher(ctx)
	case StageBaseline:
		return nil, r.Baseline(ctx)
	case StageConvert:
		return nil, r.Stage1(ctx)
	case StageCorpus:
		return nil, r.Stage2(ctx)
	case StageTask:
		return nil, r.Stage3(ctx)
	case StageEval:
		return r.Evaluate(ctx)
	}
	return nil, wrongInput("stage: %q is not one of %v", name, Stages())
}

// Done reports whether all that a stage makes is there, and the folder that it left last. "eval" is never done: it can
// always be repeated.
func (r *Run) Done(stage string) (folder string, done bool, err error) {
	dirs := map[string][]string{
		StageTeacher: {TeacherDir}, StageBaseline: {FullDir, BitNetDir}, StageConvert: {Stage1Dir}, StageCorpus: {Stage2Dir}, StageTask: {StudentDir},
	}[stage]
	if stage == StageBaseline && r.Config.Teacher == "" {
		dirs = dirs[1:] // the teacher is the full-precision baseline
	}
	for _, dir := range dirs {
		if ok, err := r.done(dir); !ok || err != nil {
			return "", false, err
		}
		folder = r.path(dir)
	}
	return folder, len(dirs) > 0, nil
}
