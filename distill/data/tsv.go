package data

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// readTSV reads lines of fields between tabs, the first of them the header. There is no quoting. An empty line is a row where
// there is one column, else nothing.
func readTSV(in io.Reader, to *receiver) error {
	return allLines(in, to.name, func(number int, line []byte) error {
		if len(line) == 0 && len(to.columns) != 1 {
			return nil
		}
		if !utf8.Valid(line) {
			return fmt.Errorf("%s:%d: the text is not UTF-8", to.name, number)
		}
		if to.columns == nil {
			return to.header(number, strings.Split(string(line), "\t"))
		}
		fields := bytes.Split(line, []byte("\t"))
		if len(fields) != len(to.columns) {
			return fmt.Errorf("%s:%d: %d columns, the header has %d (%s)", to.name, number, len(fields), len(to.columns), strings.Join(to.columns, ", "))
		}
		values := make([]string, len(to.fields))
		for i, f := range to.fields {
			values[i] = string(fields[f.column])
		}
		return to.add(number, values)
	})
}

// readCSV reads records of fields between commas (RFC 4180), the first of them the header. Quoted fields may hold commas, line
// ends and doubled quotes. An empty line is a row where there is one column, else nothing.
func readCSV(in io.Reader, to *receiver) error {
	text := bufio.NewReader(in)
	if mark, _ := text.Peek(3); string(mark) == "\ufeff" {
		text.Discard(3) // has been peeked at
	}
	record := &recordLimit{in: text}
	table := csv.NewReader(record)
	table.FieldsPerRecord = -1 // checked here, to say more
	table.ReuseRecord = true
	line, next := 0, 0
	for {
		record.read = 0
		fields, err := table.Read()
		if err == io.EOF {
			return to.empty(next, record.lines+1)
		} else if err != nil {
			return csvError(to.name, line, err)
		}
		line, _ = table.FieldPos(0)
		if to.columns == nil {
			if err := to.header(line, fields); err != nil {
				return err
			}
			next = line + 1 + strings.Count(fields[0], "\n")
			continue
		}
		if err := to.empty(next, line); err != nil {
			return err
		}
		next = line + 1 + strings.Count(fields[0], "\n")
		if len(fields) != len(to.columns) {
			return fmt.Errorf("%s:%d: %d columns, the header has %d (%s)", to.name, line, len(fields), len(to.columns), strings.Join(to.columns, ", "))
		}
		values := make([]string, len(to.fields))
		for i, f := range to.fields {
			values[i] = strings.Clone(fields[f.column]) // the record is one string, unwanted fields included
		}
		if err := to.add(line, values); err != nil {
			return err
		}
	}
}

// empty adds the rows of empty lines, which the reader of CSV passes over, if there is one column: the lines from next to line, and
// without it.
func (to *receiver) empty(next, line int) error {
	if len(to.columns) != 1 {
		return nil
	}
	for ; next < line; next++ {
		if err := to.add(next, make([]string, len(to.fields))); err != nil {
			return err
		}
	}
	return nil
}

// csvError puts the place of a fault in front; what failed while reading has named the file itself. line is that of the record before.
func csvError(name string, line int, err error) error {
	var parse *csv.ParseError
	switch {
	case errors.Is(err, errRecord):
		return fmt.Errorf("%s:%d: what follows this line is a record longer than %d MiB; is a quote not closed?", name, line, maxLine>>20)
	case !errors.As(err, &parse):
		return err
	case errors.Is(err, csv.ErrQuote), errors.Is(err, csv.ErrBareQuote):
		return fmt.Errorf("%s:%d: column %d: %w; write a quote inside a quoted field twice, or save the table as TSV or JSONL", name, parse.Line, parse.Column, parse.Err)
	}
	return fmt.Errorf("%s:%d: column %d: %w", name, parse.Line, parse.Column, parse.Err)
}

var errRecord = errors.New("the record is too long")

// recordLimit ends a text in which one record, such as one with a quote that is never closed, would take in all that follows.
type recordLimit struct {
	in    io.Reader
	read  int // bytes of this record, and of what was read ahead
	lines int // ends of lines in all of the text
}

func (r *recordLimit) Read(p []byte) (int, error) {
	n, err := r.in.Read(p)
	r.lines += bytes.Count(p[:n], []byte("\n"))
	if r.read += n; r.read > maxLine {
		return 0, errRecord
	}
	return n, err
}
