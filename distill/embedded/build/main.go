// Command build cuts the embedded slices of text from the full files:
//
//	go run ./distill/embedded/build -sst2 FOLDER -stories FILE -out distill/embedded/text
//
// FOLDER holds GLUE's SST-2 as train.tsv.gz and dev.tsv, FILE is TinyStories text.
package main

import (
	"compress/gzip"
	"flag"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"path/filepath"

	"github.com/bitdistill/bitdistill/distill/data"
	"github.com/bitdistill/bitdistill/distill/embedded"
	"github.com/bitdistill/bitdistill/internal/atomicfile"
)

const (
	sentences = 1000      // held out, with all that is part of them
	heldOut   = 5000      // rows kept of what was held out
	training  = 32000     // rows kept for training
	stories   = 1_000_000 // bytes of text
	seed      = 1
)

func main() {
	sst2 := flag.String("sst2", "", "folder with train.tsv.gz and dev.tsv")
	text := flag.String("stories", "", "TinyStories text, plain or gzip")
	out := flag.String("out", "", "folder to write to")
	flag.Parse()
	log.SetFlags(0)
	if err := build(*sst2, *text, *out); err != nil {
		log.Fatal(err)
	}
}

func build(sst2, text, out string) error {
	task := embedded.Task()
	all, err := task.Read(data.OnDisk(filepath.Join(sst2, "train.tsv.gz")))
	if err != nil {
		return err
	}
	dev, err := task.Read(data.OnDisk(filepath.Join(sst2, "dev.tsv")))
	if err != nil {
		return err
	}
	// What overlaps with dev goes first. Then whole sentences are held out; the phrases of them that are long enough
	// to be trained on are held out with them, and training loses all that overlaps with any of those.
	left, removed := data.Disjoint(all, dev)
	fmt.Printf("%d training rows, %d overlap with dev\n", len(all.Rows), removed)
	rest, chosen, counts, err := data.Split(left, sentences, seed)
	if err != nil {
		return err
	}
	fmt.Println(counts)
	phrases := subtract(left, rest, task.MinChars)
	train, removed := data.Disjoint(left, phrases)
	train = shuffled(long(train, task.MinChars), training)
	held := shuffled(phrases, heldOut)
	fmt.Printf("%d sentences and %d phrases held out, %d more training rows removed; %d kept for training, %d held out\n",
		len(chosen.Rows), len(phrases.Rows), removed, len(train.Rows), len(held.Rows))
	if err := writeTSV(filepath.Join(out, "train.tsv.gz"), train); err != nil {
		return err
	}
	if err := writeTSV(filepath.Join(out, "dev.tsv.gz"), dev, held); err != nil {
		return err
	}
	return writeStories(filepath.Join(out, "tinystories.txt.gz"), text)
}

// subtract is the rows of all that are not in rest, of at least so many characters.
func subtract(all, rest *data.Dataset, min int) *data.Dataset {
	kept := map[int]bool{}
	for _, r := range rest.Rows {
		kept[r.Line] = true
	}
	d := *all
	d.Rows = nil
	for _, r := range all.Rows {
		if !kept[r.Line] {
			d.Rows = append(d.Rows, r)
		}
	}
	return long(&d, min)
}

func long(all *data.Dataset, min int) *data.Dataset {
	d := *all
	d.Rows = nil
	for _, r := range all.Rows {
		if len([]rune(r.Values[0])) >= min {
			d.Rows = append(d.Rows, r)
		}
	}
	return &d
}

func shuffled(all *data.Dataset, n int) *data.Dataset {
	d := *all
	d.Rows = append([]data.Row{}, all.Rows...)
	rand.New(rand.NewPCG(seed, 0)).Shuffle(len(d.Rows), func(i, j int) { d.Rows[i], d.Rows[j] = d.Rows[j], d.Rows[i] })
	d.Rows = d.Rows[:min(n, len(d.Rows))]
	return &d
}

func writeTSV(path string, parts ...*data.Dataset) error {
	return writeGzip(path, func(w io.Writer) error {
		if _, err := fmt.Fprintln(w, "sentence\tlabel"); err != nil {
			return err
		}
		for _, d := range parts {
			for _, r := range d.Rows {
				if _, err := fmt.Fprintf(w, "%s\t%d\n", r.Values[0], r.Label); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

func writeStories(path, from string) error {
	r, err := data.OnDisk(from).Open()
	if err != nil {
		return err
	}
	defer r.Close()
	unzipped, err := gzip.NewReader(r)
	if err != nil {
		return err
	}
	return writeGzip(path, func(w io.Writer) error {
		_, err := io.Copy(w, io.LimitReader(unzipped, stories))
		return err
	})
}

func writeGzip(path string, write func(io.Writer) error) error {
	return atomicfile.WriteFile(path, func(w io.Writer) error {
		z, err := gzip.NewWriterLevel(w, gzip.BestCompression)
		if err != nil {
			return err
		}
		if err := write(z); err != nil {
			return err
		}
		return z.Close()
	})
}
