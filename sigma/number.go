package sigma

import (
	"math"
	"strconv"
)

// number is an integer where it can be one, else a float.
type number struct {
	i     int64
	f     float64
	isInt bool
}

// parseNumber reads a decimal or 0x integer, or a decimal fraction.
func parseNumber(s string) (number, bool) {
	if s == "" || len(s) > maxNumberText {
		return number{}, false
	}
	base := 10
	digits := s
	if len(s) > 2 && s[0] == '0' && (s[1] == 'x' || s[1] == 'X') {
		base, digits = 16, s[2:]
	}
	if i, err := strconv.ParseInt(digits, base, 64); err == nil {
		return number{i: i, f: float64(i), isInt: true}, true
	}
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && c != '-' && c != '+' && c != '.' && c != 'e' && c != 'E' {
			return number{}, false // no "inf", "nan", hexadecimal floats, underscores
		}
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsInf(f, 0) || math.IsNaN(f) {
		return number{}, false
	}
	return number{f: f}, true
}

// maxNumberText bounds the digits of a number, so that a conversion from bytes
// stays on the stack.
const maxNumberText = 32

func compareNumbers(op Comparison, a, b number) bool {
	if !a.isInt || !b.isInt {
		return op.Holds(a.f, b.f)
	}
	switch op {
	case Equal:
		return a.i == b.i
	case NotEqual:
		return a.i != b.i
	case Less:
		return a.i < b.i
	case LessEqual:
		return a.i <= b.i
	case Greater:
		return a.i > b.i
	case GreaterEqual:
		return a.i >= b.i
	}
	return false
}
