package notebook

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/printer"
	"go/token"
	"os"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// The tags that set parameters.
const (
	tagParameters = "parameters"
	tagInjected   = "injected-parameters"
)

// Parameter is a variable or constant of the cell that is tagged "parameters".
type Parameter struct {
	Name    string
	Type    string // a basic Go type
	Default string // the literal, as in the cell
	About   string // the comment above or beside it, on one line

	token    token.Token // var or const
	explicit bool        // the cell names the type
}

// Value is what a parameter is to be.
type Value struct {
	Name, Text string
	// Kind is what a YAML file says of the value: "string", "int", "float" or "bool"; empty where text may be anything.
	Kind string
}

// taggedCell is the index of the cell with a tag, or -1. More than one is an error.
func (nb *Notebook) taggedCell(tag string) (int, error) {
	at := -1
	for i, c := range nb.Cells {
		if c.Kind != "code" || !c.HasTag(tag) {
			continue
		}
		if at >= 0 {
			return 0, fmt.Errorf("cells %d and %d are both tagged %q; only one may be", at+1, i+1, tag)
		}
		at = i
	}
	return at, nil
}

// Parameters lists the parameters of a notebook with their defaults; none, if no cell is tagged "parameters". Declarations whose
// value is not a literal are none.
func (nb *Notebook) Parameters() ([]Parameter, error) {
	at, err := nb.taggedCell(tagParameters)
	if at < 0 || err != nil {
		return nil, err
	}
	parameters, err := parseParameters(nb.Cells[at].Source)
	if err != nil {
		return nil, fmt.Errorf("cell %d, tagged %q: %w", at+1, tagParameters, err)
	}
	return parameters, nil
}

// parseParameters reads declarations out of the source of a cell. Lines for the kernel, % and !, are skipped.
func parseParameters(source string) ([]Parameter, error) {
	lines := strings.Split(source, "\n")
	for i, line := range lines {
		if l := strings.TrimSpace(line); strings.HasPrefix(l, "%") || strings.HasPrefix(l, "!") {
			lines[i] = ""
		}
	}
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, "cell", "package cell\n//line cell:1\n"+strings.Join(lines, "\n"), parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, fmt.Errorf("is not Go declarations: %w", err)
	}
	var found []Parameter
	for _, d := range file.Decls {
		g, ok := d.(*ast.GenDecl)
		if !ok || g.Tok != token.VAR && g.Tok != token.CONST {
			continue
		}
		for _, s := range g.Specs {
			found = append(found, specParameters(set, g, s.(*ast.ValueSpec))...)
		}
	}
	return found, nil
}

func specParameters(set *token.FileSet, g *ast.GenDecl, s *ast.ValueSpec) (found []Parameter) {
	if len(s.Values) != len(s.Names) {
		return nil
	}
	for i, name := range s.Names {
		p := Parameter{Name: name.Name, Type: literalType(s.Values[i]), token: g.Tok, About: about(s.Comment, s.Doc, g.Doc)}
		if p.Type != "" && s.Type != nil {
			t, _ := s.Type.(*ast.Ident)
			if t == nil {
				continue
			}
			p.Type, p.explicit = t.Name, true
		}
		var b strings.Builder
		if _, known := kinds[p.Type]; !known || printer.Fprint(&b, set, s.Values[i]) != nil {
			continue
		}
		p.Default = b.String()
		found = append(found, p)
	}
	return found
}

// about is the first comment that there is.
func about(comments ...*ast.CommentGroup) string {
	for _, c := range comments {
		if text := strings.Join(strings.Fields(c.Text()), " "); text != "" {
			return text
		}
	}
	return ""
}

// SetParameters puts a cell with values behind the one with the defaults, in place of one from an earlier run. It refuses names
// that are no parameters and values that do not fit the type of the default, all at once. Of two values of a name the last wins.
func (nb *Notebook) SetParameters(values []Value) error {
	if len(values) == 0 {
		return nil
	}
	at, err := nb.taggedCell(tagParameters)
	if err != nil {
		return err
	}
	if at < 0 {
		return fmt.Errorf("no cell is tagged %q, so there is nothing that parameters could set", tagParameters)
	}
	parameters, err := nb.Parameters()
	if err != nil {
		return err
	}
	source, err := injected(parameters, values)
	if err != nil {
		return err
	}
	old, err := nb.taggedCell(tagInjected)
	if err != nil {
		return err
	}
	if old >= 0 {
		nb.Cells = slices.Delete(nb.Cells, old, old+1)
		at, _ = nb.taggedCell(tagParameters)
	}
	cell := &Cell{ID: tagInjected, Kind: "code", Source: source, Metadata: map[string]any{"tags": []any{tagInjected}}}
	nb.Cells = slices.Insert(nb.Cells, at+1, cell)
	nb.completeIDs()
	return nil
}

// injected is the source of the cell with the values, in the order of the defaults.
func injected(parameters []Parameter, values []Value) (string, error) {
	lines := map[string]string{}
	var faults []error
	for _, v := range values {
		i := slices.IndexFunc(parameters, func(p Parameter) bool { return p.Name == v.Name })
		if i < 0 {
			faults = append(faults, fmt.Errorf("parameter %s: the notebook has none of that name; it has %s", v.Name, names(parameters)))
			continue
		}
		line, err := parameters[i].declare(v)
		if err != nil {
			faults = append(faults, fmt.Errorf("parameter %s: %w", v.Name, err))
		}
		lines[v.Name] = line
	}
	var b strings.Builder
	b.WriteString("// Parameters of this run.")
	for _, p := range parameters {
		if line := lines[p.Name]; line != "" {
			b.WriteString("\n" + line)
		}
	}
	return b.String(), errors.Join(faults...)
}

func names(parameters []Parameter) string {
	all := make([]string, len(parameters))
	for i, p := range parameters {
		all[i] = p.Name
	}
	if len(all) == 0 {
		return "none at all"
	}
	return strings.Join(all, ", ")
}

// declare is the declaration that gives a parameter a value.
func (p Parameter) declare(v Value) (string, error) {
	text, isText := p.Type == "string", v.Kind == "string"
	if v.Kind != "" && text != isText {
		return "", fmt.Errorf("is a %s, and the value %s is a %s", p.Type, v.Text, v.Kind)
	}
	value, err := literal(p.Type, v.Text)
	if err != nil {
		return "", err
	}
	kind := ""
	if p.explicit {
		kind = " " + p.Type
	}
	return fmt.Sprintf("%s %s%s = %s", p.token, p.Name, kind, value), nil
}

// ParseValue reads name=value.
func ParseValue(s string) (Value, error) {
	name, value, found := strings.Cut(s, "=")
	if !found || !token.IsIdentifier(name) {
		return Value{}, fmt.Errorf("%q is not name=value", s)
	}
	return Value{Name: name, Text: value}, nil
}

// ReadValues reads parameters from a YAML file: one mapping of names to text, numbers, true or false.
func ReadValues(path string) ([]Value, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(doc.Content) == 0 {
		return nil, nil // an empty file
	}
	mapping := doc.Content[0]
	if mapping.Kind != yaml.MappingNode {
		return nil, fmt.Errorf("%s: is not a list of name: value", path)
	}
	var values []Value
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		name, value := mapping.Content[i], mapping.Content[i+1]
		kind := map[string]string{"!!str": "string", "!!int": "int", "!!float": "float", "!!bool": "bool"}[value.Tag]
		if value.Kind != yaml.ScalarNode || kind == "" {
			return nil, fmt.Errorf("%s:%d: %s is neither text nor a number nor true or false", path, value.Line, name.Value)
		}
		if slices.ContainsFunc(values, func(v Value) bool { return v.Name == name.Value }) {
			return nil, fmt.Errorf("%s:%d: %s stands there twice", path, name.Line, name.Value)
		}
		text := value.Value
		if kind == "bool" {
			text = strings.ToLower(text) // YAML has True, too
		}
		values = append(values, Value{name.Value, text, kind})
	}
	return values, nil
}
