package data

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// endOfText stands between the documents of a .txt file.
const endOfText = "<|endoftext|>"

// maxDocument bounds one document in bytes: it is held and tokenized as a whole. Tests lower it.
var maxDocument = 64 << 20

// errEnough is what a receiver of documents returns when it wants no more.
var errEnough = errors.New("enough")

// readDocuments hands the documents of a file to yield, in order and with white space taken off; with whole, the
// file as it is. An error of yield ends the reading and is returned.
func readDocuments(f File, whole bool, yield func(text string) error) error {
	return readPieces(f, whole, func(number int, piece []byte) error {
		text, err := documentText(f, whole, number, piece)
		if err != nil {
			return err
		}
		return yield(text)
	})
}

// readPieces cuts a file into documents without looking into them: lines of JSON, or text as it stands. They are
// counted from 1, and are the receiver's only until it returns.
func readPieces(f File, whole bool, yield func(number int, piece []byte) error) error {
	format := extension(f.Name)
	switch {
	case format == "" && !whole:
		return fmt.Errorf("%s: not a corpus file; its name must end in one of %s", f.Name, strings.Join(corpusExtensions, ", "))
	case whole && (isLines(f) || isTable(f)):
		return fmt.Errorf("%s: one text is wanted, so the file must be plain text, such as .txt or .txt.gz", f.Name)
	}
	if isTable(f) {
		return readTextColumn(f, yield)
	}
	in, err := f.open()
	if err != nil {
		return err
	}
	defer in.Close()
	parts := documentScanner(in, isLines(f), whole)
	number := 0
	for parts.Scan() {
		number++
		if parts.Err() != nil { // half a document because reading failed: that is the fault to name
			break
		}
		if err := yield(number, parts.Bytes()); err != nil {
			return err
		}
	}
	switch err := parts.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return fmt.Errorf("%s: %s %d is larger than %d MiB; put %s between documents, or use .jsonl", f.Name, unit(f), number+1, maxDocument>>20, endOfText)
	case err == nil && number == 0:
		return fmt.Errorf("%s: the file is empty", f.Name)
	default:
		return err
	}
}

// isLines reports whether a document is the text in a line of JSON.
func isLines(f File) bool { return strings.HasPrefix(extension(f.Name), ".json") }

// textNames are the columns, and fields of objects, that text is looked for in: the first one that is there.
var textNames = []string{"text", "content"}

// isTable reports whether a document is a value of a table's text column.
func isTable(f File) bool { return extension(f.Name) == ".parquet" }

// readTextColumn is readPieces for tables.
func readTextColumn(f File, yield func(number int, piece []byte) error) error {
	return readTable(f, &receiver{
		choose: func(columns []string) ([]field, error) {
			for _, name := range textNames {
				if i := slices.Index(columns, name); i >= 0 {
					return []field{{column: i}}, nil
				}
			}
			return nil, fmt.Errorf("%s: none of the columns %q among %q", f.Name, textNames, columns)
		},
		row: func(number int, values []string) error {
			if len(values[0]) > maxDocument {
				return fmt.Errorf("%s: row %d is larger than %d MiB", f.Name, number, maxDocument>>20)
			}
			return yield(number, []byte(values[0]))
		},
	})
}

// documentScanner cuts a file at line ends, at marks or not at all.
func documentScanner(in io.Reader, lines, whole bool) *bufio.Scanner {
	parts := bufio.NewScanner(in)
	parts.Buffer(make([]byte, 0, 64<<10), maxDocument)
	switch {
	case whole:
		parts.Split(splitNowhere)
	case !lines:
		parts.Split(splitAtMark())
	}
	return parts
}

// documentText is the text of a piece that readPieces gave. Errors name file and number.
func documentText(f File, whole bool, number int, piece []byte) (string, error) {
	text, err := "", error(nil)
	switch {
	case !utf8.Valid(piece): // encoding/json would put replacement characters
		err = errors.New("the text is not UTF-8")
	case isLines(f):
		text, err = jsonText(bytes.TrimPrefix(piece, []byte("\ufeff")))
	default:
		text = string(piece)
	}
	if err != nil {
		return "", fmt.Errorf("%s: %s %d: %w", f.Name, unit(f), number, err)
	}
	if number == 1 {
		text = strings.TrimPrefix(text, "\ufeff")
	}
	if !whole {
		text = strings.TrimSpace(text)
	}
	return text, nil
}

func unit(f File) string {
	switch {
	case isLines(f):
		return "line"
	case isTable(f):
		return "row"
	}
	return "document"
}

// jsonText is the text of a line {"text": …} or {"content": …}; an empty line has none.
func jsonText(line []byte) (string, error) {
	if len(bytes.TrimSpace(line)) == 0 {
		return "", nil
	}
	var object struct {
		Text *string `json:"text"`
	}
	if err := json.Unmarshal(line, &object); err != nil {
		return "", fmt.Errorf("not a JSON object with a text: %w", err)
	}
	if object.Text != nil {
		return *object.Text, nil
	}
	var other struct {
		Content *string `json:"content"`
	}
	if err := json.Unmarshal(line, &other); err != nil || other.Content == nil {
		return "", fmt.Errorf("the object has none of the fields %q, or not as text", textNames)
	}
	return *other.Content, nil
}

// splitAtMark returns a bufio.SplitFunc for documents between marks. It remembers how far it has looked: the scanner
// asks again after every read, and a large document comes in thousands of them.
func splitAtMark() bufio.SplitFunc {
	looked := 0
	return func(data []byte, atEOF bool) (advance int, token []byte, err error) {
		from := max(0, looked-len(endOfText)+1)
		if i := bytes.Index(data[from:], []byte(endOfText)); i >= 0 {
			looked = 0
			return from + i + len(endOfText), data[:from+i], nil
		}
		if !atEOF {
			looked = len(data)
			return 0, nil, nil
		}
		looked = 0
		if len(bytes.TrimSpace(data)) > 0 {
			return len(data), data, nil
		}
		return len(data), nil, nil // white space behind the last mark is no document
	}
}

// splitNowhere is a bufio.SplitFunc for the whole input.
func splitNowhere(data []byte, atEOF bool) (advance int, token []byte, err error) {
	if atEOF && len(data) > 0 {
		return len(data), data, nil
	}
	return 0, nil, nil
}
