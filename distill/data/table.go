package data

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"unicode/utf8"
)

// Limits of a table: what is wanted of it is held in memory, so a file that is not what it seems must end early.
const (
	maxLine  = 16 << 20 // bytes of a line or record
	maxTable = 4 << 30  // bytes of the wanted values together

	valueBytes = 16 // what a value takes besides its text
)

// field is a column that is wanted of a table.
type field struct {
	column int  // index into the table's columns
	nested bool // lists and objects are taken too, as JSON
}

// receiver takes a table row by row. choose is called once, with the names of the columns, and says which are wanted;
// row is called with the values of those. Both may end the reading with an error.
type receiver struct {
	choose func(columns []string) ([]field, error)
	row    func(line int, values []string) error

	stream bool // rows are not kept, so that there may be any number of them

	name    string
	columns []string
	fields  []field
	rows    int
	size    int64 // bytes of all values
}

// tableFormats by the ending of a file's name. Parquet is not read from the start to the end.
var tableFormats = map[string]func(in io.Reader, to *receiver) error{
	".tsv": readTSV, ".csv": readCSV, ".jsonl": readJSONL, ".ndjson": readJSONL, ".parquet": nil,
}

// readTable hands the rows of a table to a receiver. The ending of the name says which format it is, before .gz or .zst
// for packed files; where it says nothing, the first bytes do: TSV, CSV, JSONL or Parquet. Values are text as it stands
// there, numbers as they are written, true and false. Lines are those of the file, and in Parquet the numbers of the rows.
//
// Refused, with file and line: no header, a column named twice, no rows, values that are missing or nested, text that is
// not UTF-8, lines and tables beyond all measure, damaged data.
func readTable(f File, to *receiver) error {
	in, err := f.open()
	if err != nil {
		return err
	}
	defer in.Close()
	to.name = f.Name
	rest := bufio.NewReaderSize(in, 64<<10)
	format := tableExtension(f.Name)
	if f.Format != "" {
		format = "." + f.Format
	}
	if _, known := tableFormats[format]; !known {
		head, err := rest.Peek(32 << 10)
		if err != nil && err != io.EOF {
			return err
		}
		if format = formatOf(head); format == "" {
			return fmt.Errorf("%s: a JSON array; write one object a line (JSONL)", f.Name)
		}
	}
	if read := tableFormats[format]; read != nil {
		err = read(rest, to)
	} else {
		err = readParquet(in, rest, to)
	}
	if err != nil {
		return err
	}
	switch {
	case to.columns == nil:
		return fmt.Errorf("%s: the file is empty; a table begins with the names of its columns", f.Name)
	case to.rows == 0:
		return fmt.Errorf("%s: no rows below the header", f.Name)
	}
	return nil
}

// tableExtension is the ending of a name that tells the format, without that of a compression.
func tableExtension(name string) string {
	name = strings.ToLower(name)
	for _, p := range packings {
		name = strings.TrimSuffix(name, p.extension)
	}
	return path.Ext(name)
}

// formatOf tells the format by the beginning of a file: one of tableFormats, or "" for a JSON array.
func formatOf(head []byte) string {
	text := bytes.TrimLeft(bytes.TrimPrefix(head, []byte("\ufeff")), " \r\n")
	first, _, _ := bytes.Cut(text, []byte("\n"))
	switch {
	case bytes.HasPrefix(head, []byte(parquetMagic)):
		return ".parquet"
	case bytes.HasPrefix(text, []byte("{")):
		return ".jsonl"
	case bytes.HasPrefix(text, []byte("[")):
		return ""
	case !bytes.ContainsRune(first, '\t') && bytes.ContainsRune(first, ','):
		return ".csv"
	}
	return ".tsv"
}

// header takes the names of the columns.
func (to *receiver) header(line int, columns []string) error {
	if len(columns) == 0 {
		return fmt.Errorf("%s:%d: no columns are named here; a row has at least one value", to.name, line)
	}
	seen := map[string]bool{}
	for _, column := range columns {
		if !utf8.ValidString(column) {
			return fmt.Errorf("%s:%d: the header is not UTF-8", to.name, line)
		}
		if seen[column] {
			return fmt.Errorf("%s:%d: the header names column %q twice", to.name, line, column)
		}
		seen[column] = true
	}
	to.columns = slices.Clone(columns)
	var err error
	to.fields, err = to.choose(to.columns)
	return err
}

// add takes the wanted values of one row, which are the receiver's to keep.
func (to *receiver) add(line int, values []string) error {
	for i, v := range values {
		if !utf8.ValidString(v) {
			return fmt.Errorf("%s:%d: column %q: the text is not UTF-8", to.name, line, to.columns[to.fields[i].column])
		}
		to.size += int64(len(v)) + valueBytes
	}
	if to.size > maxTable && !to.stream {
		return fmt.Errorf("%s:%d: the table is larger than %d MiB; split it", to.name, line, maxTable>>20)
	}
	to.rows++
	return to.row(line, values)
}

// eachLine hands on the lines of a text, counted from 1: without LF or CR LF, a byte order mark and empty lines.
func eachLine(in io.Reader, name string, line func(number int, line []byte) error) error {
	return allLines(in, name, func(number int, text []byte) error {
		if len(text) == 0 {
			return nil
		}
		return line(number, text)
	})
}

// allLines is eachLine with empty ones.
func allLines(in io.Reader, name string, line func(number int, line []byte) error) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(make([]byte, 0, 64<<10), maxLine)
	number := 0
	for lines.Scan() {
		number++
		text := lines.Bytes()
		if number == 1 {
			text = bytes.TrimPrefix(text, []byte("\ufeff"))
		}
		if err := line(number, text); err != nil {
			// The line may be half a line because reading failed; then that is the fault to name.
			return cmp.Or(lines.Err(), err)
		}
	}
	if err := lines.Err(); errors.Is(err, bufio.ErrTooLong) {
		return fmt.Errorf("%s:%d: the line is longer than %d MiB; is this a table?", name, number+1, maxLine>>20)
	} else {
		return err
	}
}
