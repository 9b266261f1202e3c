package data

import (
	"bufio"
	"fmt"
	"io"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

// maxPageValues are the values of one page. Writers begin a new page after some thousands, or a megabyte.
const maxPageValues = 1 << 26

// checkPages walks the headers of the pages of the wanted columns: the library would allocate what is claimed there.
func checkPages(file io.ReaderAt, table *parquet.File, to *receiver) error {
	for _, group := range table.Metadata().RowGroups {
		for _, f := range to.fields {
			leaf := table.Root().Columns()[f.column].Index()
			if leaf < 0 || leaf >= len(group.Columns) {
				return fmt.Errorf("column %q is not in every row group", to.columns[f.column])
			}
			if err := checkChunk(file, table.Size(), &group.Columns[leaf].MetaData); err != nil {
				return fmt.Errorf("column %q: %w", to.columns[f.column], err)
			}
		}
	}
	return nil
}

// checkChunk walks the pages of a column in one row group.
func checkChunk(file io.ReaderAt, size int64, chunk *format.ColumnMetaData) error {
	at := chunk.DataPageOffset
	if dictionary := chunk.DictionaryPageOffset; dictionary > 0 {
		at = min(at, dictionary)
	}
	if at < 0 || chunk.TotalCompressedSize < 0 || chunk.TotalCompressedSize > size || at > size-chunk.TotalCompressedSize {
		return fmt.Errorf("%d bytes from byte %d on, in a file of %d", chunk.TotalCompressedSize, at, size)
	}
	for end := at + chunk.TotalCompressedSize; at < end; {
		section := &countReader{r: io.NewSectionReader(file, at, end-at), n: new(int64)}
		buffered := bufio.NewReader(section)
		var header format.PageHeader
		if err := thrift.NewDecoder(new(thrift.CompactProtocol).NewReader(buffered)).Decode(&header); err != nil {
			return fmt.Errorf("page header at byte %d: %w", at, err)
		}
		begin := at + *section.n - int64(buffered.Buffered())
		packed, plain := int64(header.CompressedPageSize), int64(header.UncompressedPageSize)
		switch values := pageValues(&header); {
		case packed < 0 || packed > end-begin:
			return fmt.Errorf("page header at byte %d: a page of %d bytes, %d are left", at, packed, end-begin)
		case plain < 0 || plain > max(bombFree, bombRatio*packed):
			return fmt.Errorf("page header at byte %d: %d bytes that unpack to %d; refused", at, packed, plain)
		case values < 0 || values > maxPageValues:
			return fmt.Errorf("page header at byte %d: %d values in a page, at most %d are supported", at, values, maxPageValues)
		}
		at = begin + packed
	}
	return nil
}

// pageValues is the number of values that a page claims to hold, whichever kind it is of.
func pageValues(header *format.PageHeader) int32 {
	for _, n := range []int32{header.DataPageHeader.V.NumValues, header.DataPageHeaderV2.V.NumValues, header.DictionaryPageHeader.V.NumValues} {
		if n != 0 {
			return n
		}
	}
	return 0
}
