package suricata

import (
	"fmt"
	"strconv"
	"strings"
)

// Op compares a number with the one or two of a Uint.
type Op uint8

const (
	Eq       Op = iota + 1 // x == A
	Ne                     // x != A
	Lt                     // x < A
	Le                     // x <= A
	Gt                     // x > A
	Ge                     // x >= A
	Range                  // A < x < B, or A <= x <= B if Inclusive
	NotRange               // outside of it
	Mask                   // x & A == B
	NotMask                // x & A != B
)

var opText = [...]string{Eq: "", Ne: "!", Lt: "<", Le: "<=", Gt: ">", Ge: ">="}

// Uint is the argument of a number keyword ("Integer keywords" in the user
// guide).
type Uint struct {
	Op        Op
	A, B      uint64
	Inclusive bool
	Name      string // how A was written, if by name
	// Index picks among several numbers of one transaction: "" any, or all,
	// all1, nb, count, an index from 0 or from the end (-1).
	Index string
}

// Match compares x.
func (u *Uint) Match(x uint64) bool {
	switch u.Op {
	case Eq:
		return x == u.A
	case Ne:
		return x != u.A
	case Lt:
		return x < u.A
	case Le:
		return x <= u.A
	case Gt:
		return x > u.A
	case Ge:
		return x >= u.A
	case Range:
		return u.inside(x)
	case NotRange:
		return !u.inside(x)
	case Mask:
		return x&u.A == u.B
	case NotMask:
		return x&u.A != u.B
	}
	return false
}

func (u *Uint) inside(x uint64) bool {
	if u.Inclusive {
		return u.A <= x && x <= u.B
	}
	return u.A < x && x < u.B
}

// String prints the comparison, in decimal.
func (u *Uint) String() string {
	a := u.Name
	if a == "" {
		a = strconv.FormatUint(u.A, 10)
	}
	b := strconv.FormatUint(u.B, 10)
	s := ""
	switch u.Op {
	case Range:
		s = a + "-" + b
	case NotRange:
		s = "!" + a + "-" + b
	case Mask:
		s = "&" + a + "=" + b
	case NotMask:
		s = "&" + a + "!=" + b
	default:
		s = opText[u.Op] + a
	}
	if u.Index != "" {
		s += "," + u.Index
	}
	return s
}

func parseIndexed(s string, bits int, names map[string]uint64) (Value, error) {
	text, index, ok := strings.Cut(s, ",")
	u, err := parseUint(strings.TrimSpace(text), bits, names, false)
	if err == nil && ok {
		u.Index, err = parseIndex(strings.TrimSpace(index))
	}
	return uintValue(u, err)
}

func parseIndex(s string) (string, error) {
	switch s {
	case "any":
		return "", nil
	case "all", "all1", "all_or_absent":
		return s, nil
	}
	if rest, ok := strings.CutPrefix(s, "nb"); ok {
		u, err := parseUint(strings.TrimSpace(rest), 32, nil, false)
		if err != nil {
			return "", err
		}
		return "nb" + u.String(), nil
	}
	n, err := strconv.ParseInt(s, 10, 32)
	if err != nil {
		return "", fmt.Errorf("index %q is none of any, all, all1, nb<comparison> or a number", s)
	}
	return strconv.FormatInt(n, 10), nil
}

// parseUint reads a comparison: 5, =5, !5, <5, >=5, 3-9, !3-9, 3<>9, &0xf0=0x10.
// Comparisons that are always or never true are refused, as Suricata does.
func parseUint(s string, bits int, names map[string]uint64, incl bool) (*Uint, error) {
	body := strings.TrimSpace(s)
	if rest, ok := strings.CutPrefix(body, "&"); ok {
		return parseMask(s, rest, bits)
	}
	neg := strings.HasPrefix(body, "!") && !strings.HasPrefix(body, "!=")
	if lo, hi, ok := cutRange(strings.TrimPrefix(body, "!")); ok && (neg || !strings.HasPrefix(body, "!")) {
		if u, err := parseBounds(lo, hi, bits, neg, incl); err == nil {
			return u, nil
		} else if names == nil {
			return nil, err
		}
	}
	u := &Uint{}
	u.Op, body = cutOp(body)
	a, err := parseAmount(body, bits)
	if v, ok := names[strings.ToLower(body)]; err != nil && ok && (u.Op == Eq || u.Op == Ne) {
		u.A, u.Name = v, strings.ToLower(body)
		return u, nil
	}
	if err != nil {
		return nil, err
	}
	u.A = a
	if high := maxUint(bits); a == 0 && (u.Op == Lt || u.Op == Ge) || a == high && (u.Op == Gt || u.Op == Le) {
		return nil, fmt.Errorf("%q is true or false for every number of %d bits", s, bits)
	}
	return u, nil
}

func cutOp(s string) (Op, string) {
	for _, o := range [...]struct {
		text string
		op   Op
	}{{">=", Ge}, {"<=", Le}, {"!=", Ne}, {">", Gt}, {"<", Lt}, {"!", Ne}, {"=", Eq}} {
		if rest, ok := strings.CutPrefix(s, o.text); ok {
			return o.op, strings.TrimSpace(rest)
		}
	}
	return Eq, s
}

func cutRange(s string) (lo, hi string, ok bool) {
	if lo, hi, ok = strings.Cut(s, "<>"); !ok {
		lo, hi, ok = strings.Cut(s, "-")
	}
	return strings.TrimSpace(lo), strings.TrimSpace(hi), ok && lo != ""
}

func parseBounds(lo, hi string, bits int, neg, incl bool) (*Uint, error) {
	a, err := parseAmount(lo, bits)
	if err != nil {
		return nil, err
	}
	b, err := parseAmount(hi, bits)
	if err != nil {
		return nil, err
	}
	if b <= a || !incl && b-a <= 1 {
		return nil, fmt.Errorf("no number is between %d and %d", a, b)
	}
	u := &Uint{Op: Range, A: a, B: b, Inclusive: incl}
	if neg {
		u.Op = NotRange
	}
	return u, nil
}

func parseMask(s, rest string, bits int) (*Uint, error) {
	mask, want, ok := strings.Cut(rest, "=")
	if !ok {
		return nil, fmt.Errorf("mask %q has no =", s)
	}
	u := &Uint{Op: Mask}
	mask, not := strings.CutSuffix(strings.TrimSpace(mask), "!")
	if not {
		u.Op = NotMask
	}
	var err error
	if u.A, err = parseAmount(strings.TrimSpace(mask), bits); err != nil {
		return nil, err
	}
	if u.B, err = parseAmount(strings.TrimSpace(want), bits); err != nil {
		return nil, err
	}
	if u.B&u.A != u.B {
		return nil, fmt.Errorf("mask %q never matches", s)
	}
	return u, nil
}

// parseAmount reads digits with an optional unit (kb, mib, ...), or 0x hex.
func parseAmount(s string, bits int) (uint64, error) {
	digits, hex := cutHex(s)
	base, unit := 16, uint64(1)
	if !hex {
		base = 10
		n := 0
		for n < len(s) && '0' <= s[n] && s[n] <= '9' {
			n++
		}
		digits = s[:n]
		switch strings.ToLower(s[n:]) {
		case "":
		case "kb", "kib":
			unit = 1 << 10
		case "mb", "mib":
			unit = 1 << 20
		case "gb", "gib":
			unit = 1 << 30
		default:
			return 0, fmt.Errorf("%q is no number", s)
		}
	}
	n, err := strconv.ParseUint(digits, base, bits)
	if err != nil || n > maxUint(bits)/unit {
		return 0, fmt.Errorf("%q is no number of %d bits", s, bits)
	}
	return n * unit, nil
}

func maxUint(bits int) uint64 { return 1<<bits - 1 }
