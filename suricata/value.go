package suricata

import (
	"fmt"
	"strconv"
	"strings"
)

// A Value is the parsed argument of an option. Its String is the canonical
// text, without the negation that Option.Negated holds.
type Value interface{ String() string }

// arg is an argument as a Syntax gets it: blanks, negation and quotes are off.
type arg struct {
	text    string
	quoted  bool
	negated bool
}

// Text is an argument kept as it is.
type Text string

// String is the text.
func (t Text) String() string { return string(t) }

// Quoted is text that is written in double quotes.
type Quoted string

// String puts the quotes back and escapes what needs it.
func (q Quoted) String() string {
	return `"` + quoteEscaper.Replace(string(q)) + `"`
}

var quoteEscaper = strings.NewReplacer(`\`, `\\`, `"`, `\"`, `;`, `\;`)

// unescape takes the backslashes off quoted text: the byte after one stands
// for itself.
func unescape(s string) string {
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// List is an argument of parts between commas.
type List []string

// String joins the parts with ", ".
func (l List) String() string { return strings.Join(l, ", ") }

// splitList cuts at commas and trims blanks. Empty parts stay.
func splitList(s string) List {
	parts := strings.Split(s, ",")
	for i := range parts {
		parts[i] = strings.TrimSpace(parts[i])
	}
	return parts
}

// Num is a number, or the name of a variable that byte_extract or byte_math
// sets while the rule is evaluated.
type Num struct {
	N   int64
	Var string
}

// String is the number or the name.
func (n Num) String() string {
	if n.Var != "" {
		return n.Var
	}
	return strconv.FormatInt(n.N, 10)
}

// parseNum reads a number between lo and hi, or a variable's name. Hex is
// written 0x.
func parseNum(s string, lo, hi int64) (Num, error) {
	if isName(s) {
		return Num{Var: s}, nil
	}
	n, err := parseInt(s)
	if err != nil {
		return Num{}, err
	}
	if n < lo || n > hi {
		return Num{}, fmt.Errorf("%s is not between %d and %d", s, lo, hi)
	}
	return Num{N: n}, nil
}

// parseInt reads a signed number, decimal or 0x; leading zeros mean nothing.
func parseInt(s string) (int64, error) {
	body := strings.TrimLeft(s, "+-")
	sign, err := int64(1), error(nil)
	if strings.HasPrefix(s, "-") {
		sign = -1
	}
	var u uint64
	if hex, ok := cutHex(body); ok {
		u, err = strconv.ParseUint(hex, 16, 63)
	} else {
		u, err = strconv.ParseUint(body, 10, 63)
	}
	if err != nil || len(s)-len(body) > 1 {
		return 0, fmt.Errorf("%q is no number", s)
	}
	return sign * int64(u), nil
}

func cutHex(s string) (string, bool) {
	if len(s) > 2 && s[0] == '0' && (s[1] == 'x' || s[1] == 'X') {
		return s[2:], true
	}
	return s, false
}

// isName reports whether s can name a variable: it begins with a letter.
func isName(s string) bool {
	if s == "" || !isAlpha(s[0]) {
		return false
	}
	for i := 1; i < len(s); i++ {
		if !isAlpha(s[i]) && (s[i] < '0' || s[i] > '9') && s[i] != '_' && s[i] != '.' && s[i] != '-' {
			return false
		}
	}
	return true
}

func isAlpha(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }
