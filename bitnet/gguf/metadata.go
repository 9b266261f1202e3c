package gguf

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// KV is one entry of the metadata. Value is a uint8, int8, uint16, int16,
// uint32, int32, uint64, int64, float32, float64, bool or string, or a slice of
// one of these. Strings should be UTF-8, but those that are values are not
// checked: vocabularies may hold pieces of characters.
type KV struct {
	Key   string
	Value any

	at int64 // offset of the entry in the file
}

// valueAt is the offset of the value itself, behind key and type.
func (e KV) valueAt() int64 { return e.at + 8 + int64(len(e.Key)) + 4 }

// Metadata holds a file's typed values by key.
type Metadata struct {
	file    string
	entries []KV
	byKey   index
}

// Entries returns the entries in the order of the file. Values that are slices
// are not copied and must not be changed.
func (m *Metadata) Entries() []KV { return slices.Clone(m.entries) }

// Has reports whether there is an entry of that key.
func (m *Metadata) Has(key string) bool { return m.find(key) != nil }

func (m *Metadata) find(key string) *KV {
	if i, ok := m.byKey.find(key, func(i int32) string { return m.entries[i].Key }); ok {
		return &m.entries[i]
	}
	return nil
}

// need is find with an error if there is no entry.
func (m *Metadata) need(key, want string) (*KV, error) {
	if e := m.find(key); e != nil {
		return e, nil
	}
	return nil, &FormatError{File: m.file, Key: key, Field: "metadata", Offset: -1, Reason: "is missing, want " + want}
}

// mismatch says that an entry has another type.
func (m *Metadata) mismatch(e *KV, want string) error {
	return &FormatError{File: m.file, Key: e.Key, Field: "value type", Offset: e.valueAt() - 4,
		Reason: fmt.Sprintf("is %s, want %s", typeName(e.Value), want)}
}

// Get returns the value of a key, which must have just that type: see KV for
// those there are. A slice is not copied and must not be changed.
func Get[T any](m *Metadata, key string) (T, error) {
	var zero T
	e, err := m.need(key, typeName(zero))
	if err != nil {
		return zero, err
	}
	v, ok := e.Value.(T)
	if !ok {
		return zero, m.mismatch(e, typeName(zero))
	}
	return v, nil
}

// Int returns an integer of any width, since writers differ in it.
func (m *Metadata) Int(key string) (int, error) {
	const want = "an integer"
	e, err := m.need(key, want)
	if err != nil {
		return 0, err
	}
	v, fits, ok := toInt(e.Value)
	if !ok {
		return 0, m.mismatch(e, want)
	}
	if !fits {
		return 0, &FormatError{File: m.file, Key: key, Field: "value", Offset: e.valueAt(), Reason: fmt.Sprintf("%v does not fit this machine's integers", e.Value)}
	}
	return v, nil
}

func toInt(v any) (n int, fits, ok bool) {
	switch v := v.(type) {
	case uint8:
		return int(v), true, true
	case int8:
		return int(v), true, true
	case uint16:
		return int(v), true, true
	case int16:
		return int(v), true, true
	case uint32:
		return int(v), uint64(v) <= math.MaxInt, true
	case int32:
		return int(v), true, true
	case uint64:
		return int(v), v <= math.MaxInt, true
	case int64:
		return int(v), int64(int(v)) == v, true
	}
	return 0, false, false
}

// Float returns a float32 or a float64.
func (m *Metadata) Float(key string) (float64, error) {
	const want = "float32 or float64"
	e, err := m.need(key, want)
	if err != nil {
		return 0, err
	}
	switch v := e.Value.(type) {
	case float32:
		return float64(v), nil
	case float64:
		return v, nil
	}
	return 0, m.mismatch(e, want)
}

// Ints returns a copy of an array of integers of any width up to 32 bits, or of
// int64.
func (m *Metadata) Ints(key string) ([]int, error) {
	const want = "an array of integers"
	e, err := m.need(key, want)
	if err != nil {
		return nil, err
	}
	switch v := e.Value.(type) {
	case []uint8:
		return ints(v), nil
	case []int8:
		return ints(v), nil
	case []uint16:
		return ints(v), nil
	case []int16:
		return ints(v), nil
	case []uint32:
		return ints(v), nil
	case []int32:
		return ints(v), nil
	case []int64:
		return ints(v), nil
	}
	return nil, m.mismatch(e, want)
}

func ints[T uint8 | int8 | uint16 | int16 | uint32 | int32 | int64](values []T) []int {
	out := make([]int, len(values))
	for i, v := range values {
		out[i] = int(v)
	}
	return out
}

// typeName is a value's type in the words of the format: "[]string" is "array
// of string".
func typeName(v any) string {
	name := fmt.Sprintf("%T", v)
	if element, ok := strings.CutPrefix(name, "[]"); ok {
		return "array of " + element
	}
	return name
}

// index holds positions of a list in the order of their names. It is much
// smaller than a map, and a hostile file has many short names.
type index []int32

// newIndex sorts n names. If one is there twice, twice is the position of its
// second, otherwise -1.
func newIndex(n int, name func(i int32) string) (x index, twice int32) {
	x = make(index, n)
	for i := range x {
		x[i] = int32(i)
	}
	slices.SortFunc(x, func(a, b int32) int {
		if c := strings.Compare(name(a), name(b)); c != 0 {
			return c
		}
		return int(a - b)
	})
	for i := 1; i < n; i++ {
		if name(x[i-1]) == name(x[i]) {
			return nil, x[i]
		}
	}
	return x, -1
}

func (x index) find(want string, name func(i int32) string) (position int32, ok bool) {
	i, ok := slices.BinarySearchFunc(x, want, func(i int32, want string) int { return strings.Compare(name(i), want) })
	if !ok {
		return 0, false
	}
	return x[i], true
}
