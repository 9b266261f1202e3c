package notebook

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"time"
)

// Report is one notebook of a JUnit file.
type Report struct {
	Path  string // of the notebook
	Cells []CellResult
	Err   error // why it did not pass
}

type junitSuites struct {
	XMLName  xml.Name     `xml:"testsuites"`
	Name     string       `xml:"name,attr"`
	Tests    int          `xml:"tests,attr"`
	Failures int          `xml:"failures,attr"`
	Errors   int          `xml:"errors,attr"`
	Skipped  int          `xml:"skipped,attr"`
	Time     string       `xml:"time,attr"`
	Suites   []junitSuite `xml:"testsuite"`
}

type junitSuite struct {
	Name     string      `xml:"name,attr"`
	Tests    int         `xml:"tests,attr"`
	Failures int         `xml:"failures,attr"`
	Errors   int         `xml:"errors,attr"`
	Skipped  int         `xml:"skipped,attr"`
	Time     string      `xml:"time,attr"`
	Cases    []junitCase `xml:"testcase"`
}

type junitCase struct {
	Name    string        `xml:"name,attr"`
	Class   string        `xml:"classname,attr"`
	Time    string        `xml:"time,attr"`
	Failure *junitMessage `xml:"failure"`
	Error   *junitMessage `xml:"error"`
	Skipped *junitMessage `xml:"skipped"`
	Stderr  string        `xml:"system-err,omitempty"`
}

type junitMessage struct {
	Message string `xml:"message,attr"`
	Text    string `xml:",chardata"`
}

// WriteJUnit writes what became of notebooks as JUnit XML: a test suite a notebook, a test case a code cell. A notebook that
// failed outside of any cell, as when the kernel does not start, has an error in a case of its own.
func WriteJUnit(w io.Writer, reports []Report) error {
	all := junitSuites{Name: "notebooks"}
	total := time.Duration(0)
	for _, r := range reports {
		s, elapsed := r.suite()
		total += elapsed
		all.Tests, all.Failures, all.Errors, all.Skipped = all.Tests+s.Tests, all.Failures+s.Failures, all.Errors+s.Errors, all.Skipped+s.Skipped
		all.Suites = append(all.Suites, s)
	}
	all.Time = seconds(total)
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	e := xml.NewEncoder(w)
	e.Indent("", " ")
	if err := e.Encode(all); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.3f", d.Seconds()) }

func (r Report) suite() (s junitSuite, elapsed time.Duration) {
	s.Name = r.Path
	for _, c := range r.Cells {
		t := junitCase{Name: fmt.Sprintf("cell %d [%s]: %s", c.Number, c.ID, c.Title), Class: r.Path, Time: seconds(c.Elapsed)}
		switch c.Status {
		case Failed:
			first, _, _ := strings.Cut(c.Reason, "\n")
			t.Failure, t.Stderr = &junitMessage{first, c.Reason}, c.Stderr
			s.Failures++
		case Skipped, NotRun:
			t.Skipped = &junitMessage{Message: string(c.Status)}
			s.Skipped++
		}
		elapsed += c.Elapsed
		s.Cases = append(s.Cases, t)
	}
	if r.Err != nil && s.Failures == 0 {
		s.Cases = append(s.Cases, junitCase{Name: "notebook", Class: r.Path, Time: seconds(0), Error: &junitMessage{"the notebook was not run", r.Err.Error()}})
		s.Errors++
	}
	s.Tests, s.Time = len(s.Cases), seconds(elapsed)
	return s, elapsed
}
