package data

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"

	"github.com/parquet-go/parquet-go"
)

const (
	parquetMagic = "PAR1"
	maxParquet   = 1 << 30 // bytes of a file that has to be held in memory: packed, or not on disk
	parquetBlock = 256     // rows read at a time
)

// readParquet reads the wanted columns of a Parquet file: text, whole numbers, floats and booleans that are not part of lists or
// groups. rest is what was not read of in yet.
func readParquet(in, rest io.Reader, to *receiver) error {
	file, size, err := randomAccess(in, rest, to.name)
	if err != nil {
		return err
	}
	if size == 0 {
		return nil
	}
	if err := checkFooter(file, size); err != nil {
		return fmt.Errorf("%s: Parquet: %w", to.name, err)
	}
	var table *parquet.File
	err = guarded(to.name, func() (err error) {
		table, err = parquet.OpenFile(file, size, parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
		return err
	})
	if err != nil {
		return err
	}
	var columns []string
	for _, c := range table.Root().Columns() {
		columns = append(columns, c.Name())
	}
	if err := to.header(1, columns); err != nil {
		return err
	}
	err = guarded(to.name, func() error {
		for _, f := range to.fields {
			if err := checkParquet(table.Root().Columns()[f.column]); err != nil {
				return fmt.Errorf("column %q: %w", columns[f.column], err)
			}
		}
		return checkPages(file, table, to)
	})
	if err != nil {
		return err
	}
	number := 0
	for _, group := range table.RowGroups() {
		if err := readGroup(group, table, size, &number, to); err != nil {
			return err
		}
	}
	return nil
}

// checkFooter checks the end of a file, which says how much of it describes the rest: the library would allocate what is claimed there.
func checkFooter(file io.ReaderAt, size int64) error {
	const frame = int64(len(parquetMagic) + 4 + len(parquetMagic)) // magic in front; length and magic behind
	if size < frame {
		return fmt.Errorf("%d bytes are too few for a file of this format", size)
	}
	var tail [8]byte
	if _, err := file.ReadAt(tail[:], size-int64(len(tail))); err != nil && err != io.EOF {
		return err
	}
	if string(tail[4:]) != parquetMagic {
		return fmt.Errorf("ends in %q, not in %s; the file is truncated, encrypted or of another format", tail[4:], parquetMagic)
	}
	if claimed := int64(binary.LittleEndian.Uint32(tail[:4])); claimed > size-frame {
		return fmt.Errorf("footer length at byte %d: %d, but the file has %d bytes before it", size-int64(len(tail)), claimed, size-frame)
	}
	return nil
}

// checkParquet refuses columns whose values are not plain.
func checkParquet(c *parquet.Column) error {
	if !c.Leaf() || c.Repeated() {
		return errors.New("holds lists or groups; want text, numbers or booleans, or write the table as JSONL")
	}
	if k := c.Type().Kind(); k == parquet.Int96 || k == parquet.FixedLenByteArray {
		return fmt.Errorf("holds values of type %s; want text, numbers or booleans", c.Type())
	}
	return nil
}

// readGroup reads the wanted columns of a row group. number counts the rows of the file.
func readGroup(group parquet.RowGroup, table *parquet.File, size int64, number *int, to *receiver) error {
	var rows parquet.RowReadSeekCloser
	err := guarded(to.name, func() error {
		chunks := make([]parquet.ColumnChunk, len(to.fields))
		for i, f := range to.fields {
			chunks[i] = group.ColumnChunks()[table.Root().Columns()[f.column].Index()]
		}
		rows = parquet.NewColumnChunkRowReader(chunks)
		return nil
	})
	if err != nil {
		return err
	}
	defer guarded(to.name, rows.Close) // of a reader, closing says nothing
	block := make([]parquet.Row, parquetBlock)
	for more := true; more; {
		var texts [][]string
		err := guarded(to.name, func() error {
			n, err := rows.ReadRows(block)
			more = err == nil && n > 0
			if err == io.EOF {
				err = nil
			}
			if err == nil {
				texts, err = parquetTexts(block[:n], *number, to)
			}
			return err
		})
		if err != nil {
			return err
		}
		for _, values := range texts {
			*number++
			if err := to.add(*number, values); err != nil {
				return err
			}
		}
		if to.size > bombFree && to.size/bombRatio > size {
			return fmt.Errorf("%s: unpacks to more than %d times its size, which text does not; refused", to.name, bombRatio)
		}
	}
	return nil
}

// parquetTexts turns the values of rows into text, before the reader's memory is used again.
func parquetTexts(block []parquet.Row, before int, to *receiver) ([][]string, error) {
	texts := make([][]string, len(block))
	for i, row := range block {
		if len(row) != len(to.fields) {
			return nil, fmt.Errorf("row %d has %d values in %d columns", before+i+1, len(row), len(to.fields))
		}
		texts[i] = make([]string, len(row))
		for k, v := range row {
			if v.IsNull() {
				return nil, fmt.Errorf("row %d: column %q: is null; give it a value, or take the row out", before+i+1, to.columns[to.fields[k].column])
			}
			texts[i][k] = parquetText(v)
		}
	}
	return texts, nil
}

func parquetText(v parquet.Value) string {
	switch v.Kind() {
	case parquet.Boolean:
		return strconv.FormatBool(v.Boolean())
	case parquet.Int32:
		return strconv.FormatInt(int64(v.Int32()), 10)
	case parquet.Int64:
		return strconv.FormatInt(v.Int64(), 10)
	case parquet.Float:
		return strconv.FormatFloat(float64(v.Float()), 'g', -1, 32)
	case parquet.Double:
		return strconv.FormatFloat(v.Double(), 'g', -1, 64)
	}
	return string(v.ByteArray())
}

// randomAccess gives access to all bytes of an input: where they are, or else held in memory.
func randomAccess(in, rest io.Reader, name string) (io.ReaderAt, int64, error) {
	if p, ok := in.(*plainReader); ok && p.packed == "" {
		if file, ok := p.raw.(*os.File); ok {
			if info, err := file.Stat(); err == nil && info.Mode().IsRegular() {
				return file, info.Size(), nil
			}
		}
	}
	content, err := io.ReadAll(io.LimitReader(rest, maxParquet+1))
	if err == nil && len(content) > maxParquet {
		err = fmt.Errorf("%s: over %d MiB that would have to be held in memory; unpack the file first", name, maxParquet>>20)
	}
	return bytes.NewReader(content), int64(len(content)), err
}

// guarded puts the file's name in front of errors, and makes errors of panics: the Parquet library trusts much of what a file says
// about itself.
func guarded(name string, do func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%s: damaged Parquet data: %v", name, p)
		}
	}()
	if err := do(); err != nil {
		return fmt.Errorf("%s: Parquet: %w", name, err)
	}
	return nil
}
