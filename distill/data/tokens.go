package data

import (
	"fmt"
	"math/big"
	"regexp"
	"strings"
)

// tokenPattern bounds the digits so that a short text cannot ask for a long computation.
var tokenPattern = regexp.MustCompile(`^([0-9]{1,18}(?:\.[0-9]{1,18})?)([kKmMbB]?)$`)

// ParseTokens reads a token budget: a positive whole number, or one with K (thousand), M (million) or B (billion)
// behind it, such as 500K, 1.5M or 10B.
func ParseTokens(text string) (int64, error) {
	m := tokenPattern.FindStringSubmatch(strings.TrimSpace(text))
	if m == nil {
		return 0, fmt.Errorf("token budget %q: want a number such as 500K, 2M, 10B or 123", text)
	}
	n, _ := new(big.Rat).SetString(m[1])
	unit := map[string]int64{"": 1, "K": 1e3, "M": 1e6, "B": 1e9}[strings.ToUpper(m[2])]
	n.Mul(n, new(big.Rat).SetInt64(unit))
	switch {
	case !n.IsInt():
		return 0, fmt.Errorf("token budget %q: not a whole number of tokens", text)
	case n.Sign() == 0:
		return 0, fmt.Errorf("token budget %q: want more than none", text)
	case !n.Num().IsInt64():
		return 0, fmt.Errorf("token budget %q: too large", text)
	}
	return n.Num().Int64(), nil
}

// FormatTokens writes a number of tokens with two decimals and the largest of K, M and B in which it is at least a
// tenth: 0.20B, 1.50M, 12.30K.
func FormatTokens(n int64) string {
	for _, unit := range []struct {
		size int64
		name string
	}{{1e9, "B"}, {1e6, "M"}} {
		if n >= unit.size/10 {
			return fmt.Sprintf("%.2f%s", float64(n)/float64(unit.size), unit.name)
		}
	}
	return fmt.Sprintf("%.2fK", float64(n)/1e3)
}
