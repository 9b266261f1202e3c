package data

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Limits of a table: it is held in memory, so a file that is not what it seems must end early.
const (
	maxLine  = 1 << 20 // bytes of a line
	maxTable = 1 << 30 // bytes of all lines
)

// table is a TSV file: a header line with column names, then rows split on tabs alone, without any quoting.
type table struct {
	name    string
	columns []string
	rows    []tableRow
}

type tableRow struct {
	line   int // 1 is the header
	fields []string
}

// readTSV reads a whole table. Lines end in LF or CR LF, a byte order mark is dropped and empty lines are passed
// over. Refused, with file and line: no header, a column named twice, no rows, a row with more or fewer fields than
// the header, text that is not UTF-8, a line over maxLine, a table over maxTable.
func readTSV(f File) (*table, error) {
	in, err := f.open()
	if err != nil {
		return nil, err
	}
	defer in.Close()
	return parseTSV(f.Name, in)
}

func parseTSV(name string, r io.Reader) (*table, error) {
	t := &table{name: name}
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 64<<10), maxLine)
	number, size := 0, 0
	for lines.Scan() {
		number++
		line := lines.Bytes() // the scanner has taken LF or CR LF away
		if number == 1 {
			line = bytes.TrimPrefix(line, []byte("\ufeff"))
		}
		if size += len(line); size > maxTable {
			return nil, fmt.Errorf("%s:%d: the table is larger than %d MiB", name, number, maxTable>>20)
		}
		if len(line) == 0 {
			continue
		}
		if err := t.add(number, line); err != nil {
			// The line may be half a line because reading failed; then that is the fault to name.
			return nil, cmp.Or(lines.Err(), err)
		}
	}
	if err := lines.Err(); errors.Is(err, bufio.ErrTooLong) {
		return nil, fmt.Errorf("%s:%d: the line is longer than %d bytes; is this a TSV file?", name, number+1, maxLine)
	} else if err != nil {
		return nil, err
	}
	switch {
	case t.columns == nil:
		return nil, fmt.Errorf("%s: the file is empty; the first line must name the columns", name)
	case len(t.rows) == 0:
		return nil, fmt.Errorf("%s: no rows below the header", name)
	}
	return t, nil
}

// add takes the header, then one row.
func (t *table) add(number int, line []byte) error {
	if !utf8.Valid(line) {
		return fmt.Errorf("%s:%d: the text is not UTF-8", t.name, number)
	}
	fields := strings.Split(string(line), "\t")
	if t.columns != nil {
		if len(fields) != len(t.columns) {
			return fmt.Errorf("%s:%d: %d columns, the header has %d (%s)", t.name, number, len(fields), len(t.columns), strings.Join(t.columns, ", "))
		}
		t.rows = append(t.rows, tableRow{number, fields})
		return nil
	}
	seen := map[string]bool{}
	for _, column := range fields {
		if seen[column] {
			return fmt.Errorf("%s:%d: the header names column %q twice", t.name, number, column)
		}
		seen[column] = true
	}
	t.columns = fields
	return nil
}
