package notebook

import (
	"fmt"
	"go/ast"
	"go/token"
	"math"
	"strconv"
	"strings"
)

// kinds are the types that a parameter can have, with the size of numbers in bits; 0 stands for what has none.
var kinds = map[string]int{
	"string": 0, "bool": 0, "int": 64, "int8": 8, "int16": 16, "int32": 32, "rune": 32, "int64": 64,
	"uint": 64, "uint8": 8, "byte": 8, "uint16": 16, "uint32": 32, "uint64": 64, "float32": 32, "float64": 64,
}

// literalType is the type of a literal as Go infers it, or "" for what is no literal that a parameter can have.
func literalType(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.BasicLit:
		return map[token.Token]string{token.INT: "int", token.FLOAT: "float64", token.STRING: "string"}[e.Kind]
	case *ast.Ident:
		if e.Name == "true" || e.Name == "false" {
			return "bool"
		}
	case *ast.UnaryExpr:
		if of := literalType(e.X); (e.Op == token.SUB || e.Op == token.ADD) && (of == "int" || of == "float64") {
			return of
		}
	}
	return ""
}

// literal is value as a Go literal of a type. Value is as on a command line: text without quotes, true or false, a number as Go
// writes them.
func literal(kind, value string) (string, error) {
	bits := kinds[kind]
	fault := func(err error) error {
		if e, ok := err.(*strconv.NumError); ok {
			err = e.Err
		}
		return fmt.Errorf("%q is not a %s: %w", value, kind, err)
	}
	switch {
	case kind == "string":
		return strconv.Quote(value), nil
	case kind == "bool":
		if value != "true" && value != "false" {
			return "", fmt.Errorf("%q is not a bool: use true or false", value)
		}
		return value, nil
	case strings.HasPrefix(kind, "float"):
		f, err := strconv.ParseFloat(value, bits)
		if err != nil {
			return "", fault(err)
		}
		if math.IsNaN(f) || math.IsInf(f, 0) {
			return "", fmt.Errorf("%q is not a number that Go has a literal for", value)
		}
		s := strconv.FormatFloat(f, 'g', -1, bits)
		if !strings.ContainsAny(s, ".e") {
			s += ".0" // or it would be an int
		}
		return s, nil
	case kind == "byte" || strings.HasPrefix(kind, "uint"):
		n, err := strconv.ParseUint(value, 0, bits)
		if err != nil {
			return "", fault(err)
		}
		return strconv.FormatUint(n, 10), nil
	}
	n, err := strconv.ParseInt(value, 0, bits)
	if err != nil {
		return "", fault(err)
	}
	return strconv.FormatInt(n, 10), nil
}
