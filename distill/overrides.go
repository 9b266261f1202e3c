package distill

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
)

// ReadConfig reads a config file. It is JSON; what it leaves out keeps the value of the preset it names, or of base when it
// names none. Unknown fields are refused.
func ReadConfig(path string, base Config) (Config, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return Config{}, fmt.Errorf("config: %w", err)
	}
	var named struct {
		Preset string `json:"preset"`
	}
	if err := json.Unmarshal(raw, &named); err != nil {
		return Config{}, jsonError(path, raw, err)
	}
	c := base.clone()
	if named.Preset != "" && named.Preset != base.Preset {
		if c, err = Preset(named.Preset); err != nil {
			return Config{}, fmt.Errorf("%s: %w", path, err)
		}
	}
	c.unsetLengths(raw)
	if err := decodeStrictly(raw, &c); err != nil {
		return Config{}, jsonError(path, raw, err)
	}
	return c, nil
}

// unsetLengths unsets the lengths of those trainings that a config file gives another.
func (c *Config) unsetLengths(raw []byte) {
	var fields map[string]json.RawMessage
	_ = json.Unmarshal(raw, &fields) // here and below, faults show when all is decoded
	for name, field := range fields {
		var part map[string]json.RawMessage
		_ = json.Unmarshal(field, &part)
		for _, length := range lengths {
			if value, ok := part[length]; ok {
				_ = c.set([]string{name, length}, strings.Trim(string(value), `"`))
			}
		}
	}
}

// Set changes fields by their JSON names, as in "stage2.tokens=2M" or "loss.relations.alpha=[1,1,0]". Values are JSON, or text
// where the quotes are left out.
func (c *Config) Set(overrides ...string) error {
	for _, o := range overrides {
		key, value, ok := strings.Cut(o, "=")
		if !ok {
			return fmt.Errorf("--set %s: want key=value", o)
		}
		if err := c.set(strings.Split(strings.TrimSpace(key), "."), strings.TrimSpace(value)); err != nil {
			return fmt.Errorf("--set %s: %w", o, err)
		}
	}
	return nil
}

// lengths are the ways to say how long a training is. Setting one of them unsets the others.
var lengths = []string{"steps", "epochs", "tokens"}

// set nests the value under its keys and decodes that over the config. Whether the text is JSON or plain is decided by
// trying the one first, since only the field's type can tell.
func (c *Config) set(keys []string, value string) error {
	last := len(keys) - 1
	if last == 1 && slices.Contains(lengths, keys[last]) && value != "0" {
		for _, other := range lengths {
			if other != keys[last] {
				if err := c.set([]string{keys[0], other}, "0"); err != nil {
					return err
				}
			}
		}
	}
	var first error
	for _, literal := range []string{value, quoted(value)} {
		if !json.Valid([]byte(literal)) {
			continue
		}
		patch := literal
		for i := last; i >= 0; i-- {
			patch = "{" + quoted(keys[i]) + ":" + patch + "}"
		}
		changed := c.clone()
		err := decodeStrictly([]byte(patch), &changed)
		if err == nil {
			*c = changed
			return nil
		}
		if strings.Contains(err.Error(), "unknown field") {
			return fmt.Errorf("no such setting; --dry-run lists them all")
		}
		first = cmp.Or(first, err)
	}
	return plainly(first)
}

// plainly says what a JSON value should have been without words of Go.
func plainly(err error) error {
	var wrong *json.UnmarshalTypeError
	if !errors.As(err, &wrong) {
		return err
	}
	want := map[reflect.Kind]string{
		reflect.Int: "a whole number", reflect.Int64: "a whole number", reflect.Uint64: "a whole number, not negative", reflect.Float64: "a number",
		reflect.String: "text", reflect.Slice: "a list", reflect.Array: "a list", reflect.Struct: "an object", reflect.Bool: "true or false",
	}[wrong.Type.Kind()]
	return fmt.Errorf("%s: want %s, not %s", wrong.Field, cmp.Or(want, wrong.Type.String()), wrong.Value)
}

// clone copies what decoding into the config would change in place.
func (c Config) clone() Config {
	c.Corpus.Files, c.Hub = slices.Clone(c.Corpus.Files), maps.Clone(c.Hub)
	return c
}

// Difference is a setting in which two configs are not the same.
type Difference struct {
	Setting     string // JSON name, such as "stage2.steps"
	This, Other string // JSON values; "" where a field is left out
}

// Differences lists the settings in which other is not c, by name.
func (c Config) Differences(other Config) []Difference {
	these, others := map[string]string{}, map[string]string{}
	c.flatten(these)
	other.flatten(others)
	names := map[string]bool{}
	for _, values := range []map[string]string{these, others} {
		for name := range values {
			names[name] = true
		}
	}
	var all []Difference
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if these[name] != others[name] {
			all = append(all, Difference{name, these[name], others[name]})
		}
	}
	return all
}

// flatten puts the settings into values, by their JSON names.
func (c Config) flatten(values map[string]string) {
	raw, _ := json.Marshal(c) // settings hold numbers and text only
	var walk func(name string, raw json.RawMessage)
	walk = func(name string, raw json.RawMessage) {
		var fields map[string]json.RawMessage
		if json.Unmarshal(raw, &fields) != nil {
			values[name] = string(raw)
			return
		}
		for key, value := range fields {
			walk(strings.TrimPrefix(name+"."+key, "."), value)
		}
	}
	walk("", raw)
}

func quoted(text string) string {
	raw, _ := json.Marshal(text) // text always encodes
	return string(raw)
}

func decodeStrictly(raw []byte, c *Config) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(c); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("text after the end of the JSON object")
	}
	return nil
}

// jsonError adds the line of a syntax or type error.
func jsonError(path string, raw []byte, err error) error {
	offset := int64(-1)
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		offset = syntax.Offset
	case errors.As(err, &kind):
		offset = kind.Offset
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = errors.New("is empty or cut off")
	}
	if offset < 0 || offset > int64(len(raw)) {
		return fmt.Errorf("%s: %w", path, plainly(err))
	}
	return fmt.Errorf("%s:%d: %w", path, 1+bytes.Count(raw[:offset], []byte("\n")), plainly(err))
}
