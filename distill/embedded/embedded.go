// Package embedded is what the binary carries so that a run needs nothing else: a real pretrained model of 260 thousand
// parameters, a teacher made from it, a slice of a real task and of a real corpus. README.md in this folder says where
// each comes from, under which licence, and how it was made.
package embedded

import (
	"embed"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/bitdistill/bitdistill/distill/data"
)

//go:embed model teacher text
var files embed.FS

// Model writes the pretrained model, a Hugging Face folder, into dir.
func Model(dir string) error { return unpack("model", dir) }

// Teacher writes the model fine-tuned on the task, a Hugging Face folder, into dir.
func Teacher(dir string) error { return unpack("teacher", dir) }

// Task is sentiment of film reviews. Its answers are single tokens of the model's vocabulary of 512.
func Task() data.Task {
	return data.Task{
		Name: "sst2", Prompt: "{sentence} It was", LabelColumn: "label", MinChars: 21,
		Labels: []data.Label{{Value: "0", Answer: " little"}, {Value: "1", Answer: " happy"}},
	}
}

// Train is the training split of the task.
func Train() data.File { return text("train.tsv.gz") }

// Dev is what results are reported on: the task's dev set, and training rows that were held out together with the
// sentences they are from.
func Dev() data.File { return text("dev.tsv.gz") }

// Corpus is text for stage 2.
func Corpus() data.File { return text("tinystories.txt.gz") }

func text(name string) data.File {
	content, err := files.ReadFile("text/" + name)
	if err != nil { // the compiler has checked that the folder is there
		panic(fmt.Sprintf("embedded: %v", err))
	}
	return data.InMemory("embedded "+name, content)
}

func unpack(from, dir string) error {
	return fs.WalkDir(files, from, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		content, err := files.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(dir, filepath.Base(path)), content, 0o666)
	})
}
