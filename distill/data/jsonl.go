package data

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// readJSONL reads lines of JSON objects. The columns are the fields of the first one; the others need the wanted fields only.
func readJSONL(in io.Reader, to *receiver) error {
	return eachLine(in, to.name, func(number int, line []byte) error {
		names, fields, err := jsonFields(line)
		if err != nil {
			return fmt.Errorf("%s:%d: %w", to.name, number, err)
		}
		if to.columns == nil {
			if err := to.header(number, names); err != nil {
				return err
			}
		}
		values := make([]string, len(to.fields))
		for i, f := range to.fields {
			name := to.columns[f.column]
			at := slices.Index(names, name)
			if at < 0 {
				return fmt.Errorf("%s:%d: no field %q; it has %s", to.name, number, name, strings.Join(names, ", "))
			}
			if values[i], err = jsonValue(fields[at], f.nested); err != nil {
				return fmt.Errorf("%s:%d: field %q: %w", to.name, number, name, err)
			}
		}
		return to.add(number, values)
	})
}

// jsonFields takes an object apart, in its order.
func jsonFields(line []byte) (names []string, values []json.RawMessage, err error) {
	if !utf8.Valid(line) { // encoding/json would put replacement characters
		return nil, nil, errors.New("the text is not UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(line))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, nil, errors.New("not a JSON object; every line holds one, such as {\"text\": \"…\"}")
	}
	for d.More() {
		name, err := d.Token()
		var value json.RawMessage
		if err == nil {
			err = d.Decode(&value)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("byte %d: %w", d.InputOffset(), jsonEnd(err))
		}
		text, _ := name.(string) // the decoder takes nothing else for a name
		if slices.Contains(names, text) {
			return nil, nil, fmt.Errorf("the object has field %q twice", text)
		}
		names, values = append(names, text), append(values, value)
	}
	if _, err := d.Token(); err != nil { // }
		return nil, nil, fmt.Errorf("byte %d: %w", d.InputOffset(), jsonEnd(err))
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, nil, fmt.Errorf("byte %d: something follows the object", d.InputOffset())
	}
	return names, values, nil
}

// jsonEnd says what an early end means.
func jsonEnd(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("the object is cut off")
	}
	return err
}

// jsonValue is a value as text.
func jsonValue(raw json.RawMessage, nested bool) (string, error) {
	switch {
	case raw[0] == '"':
		var text string
		err := json.Unmarshal(raw, &text)
		return text, err
	case raw[0] == 'n':
		return "", errors.New("is null; give it a value, or take the row out")
	case (raw[0] == '{' || raw[0] == '[') && !nested:
		return "", errors.New("holds a list or an object; want text, a number, true or false")
	}
	return string(raw), nil
}
