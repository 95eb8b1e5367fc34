package suricata

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/hauberk/hauberk/suricata/pcre"
)

// URILen is the argument of urilen.
type URILen struct {
	Uint
	Raw bool // counts http.uri.raw; else http.uri
}

// String is the comparison and ",raw".
func (u *URILen) String() string {
	if u.Raw {
		return u.Uint.String() + ",raw"
	}
	return u.Uint.String()
}

func parseURILen(a arg) (Value, error) {
	part := splitList(a.text)
	u, err := parseUint(part[0], 16, nil, false)
	if err != nil {
		return nil, err
	}
	out := &URILen{Uint: *u}
	for _, word := range part[1:] {
		if word != "raw" && word != "norm" {
			return nil, unknownWord(false, word)
		}
		out.Raw = word == "raw"
	}
	return out, nil
}

// Entropy is the argument of entropy: a comparison of the bytes' Shannon
// entropy, 0 to 8 bits.
type Entropy struct {
	Bytes, Offset int
	Op            string
	Value, High   float64 // High: of a range, Op "-"
}

// String is key value pairs.
func (e *Entropy) String() string {
	s := ""
	if e.Bytes != 0 {
		s += fmt.Sprintf("bytes %d, ", e.Bytes)
	}
	if e.Offset != 0 {
		s += fmt.Sprintf("offset %d, ", e.Offset)
	}
	f := func(x float64) string { return strconv.FormatFloat(x, 'g', -1, 64) }
	if e.Op == "-" {
		return s + "value " + f(e.Value) + "-" + f(e.High)
	}
	return s + "value " + e.Op + " " + f(e.Value)
}

func parseEntropy(a arg) (Value, error) {
	e := &Entropy{}
	for _, part := range splitList(a.text) {
		key, value, _ := strings.Cut(part, " ")
		value = strings.TrimSpace(value)
		var err error
		switch key {
		case "bytes":
			e.Bytes, err = strconv.Atoi(value)
		case "offset":
			e.Offset, err = strconv.Atoi(value)
		case "value":
			err = e.value(value)
		default:
			err = unknownWord(false, key)
		}
		if err != nil || e.Bytes < 0 || e.Offset < 0 {
			return nil, fmt.Errorf("%s: %w", key, errors.Join(err, errors.New("not understood")))
		}
	}
	if e.Op == "" {
		return nil, errors.New("value is missing")
	}
	return e, nil
}

func (e *Entropy) value(s string) (err error) {
	if lo, hi, ok := strings.Cut(s, "-"); ok && lo != "" {
		e.Op = "-"
		if e.Value, err = strconv.ParseFloat(strings.TrimSpace(lo), 64); err != nil {
			return err
		}
		e.High, err = strconv.ParseFloat(strings.TrimSpace(hi), 64)
		if err == nil && e.High <= e.Value {
			return errors.New("range is empty")
		}
	} else {
		for _, op := range [...]string{">=", "<=", "!=", ">", "<", "!", "=", ""} {
			if rest, ok := strings.CutPrefix(s, op); ok {
				e.Op, s = op, strings.TrimSpace(rest)
				break
			}
		}
		switch e.Op {
		case "":
			e.Op = "="
		case "!":
			e.Op = "!="
		}
		e.Value, err = strconv.ParseFloat(s, 64)
	}
	if err == nil && (!(e.Value >= 0 && e.Value <= 8) || !(e.High >= 0 && e.High <= 8)) {
		return errors.New("entropy is 0 to 8 bits")
	}
	return err
}

// FlowCount is the argument of flow.pkts and flow.bytes.
type FlowCount struct {
	Side string // toserver, toclient, either, both
	Size Uint
}

// String is side,comparison.
func (f *FlowCount) String() string { return f.Side + "," + f.Size.String() }

func parseFlowCount(a arg) (Value, error) {
	side, rest, ok := strings.Cut(a.text, ",")
	f := &FlowCount{Side: strings.TrimSpace(side)}
	switch f.Side {
	case "toserver", "toclient", "either", "both":
	default:
		ok = false
	}
	if !ok {
		return nil, errors.New("needs toserver, toclient, either or both, and a number")
	}
	u, err := parseUint(strings.TrimSpace(rest), 64, nil, false)
	if err != nil {
		return nil, err
	}
	f.Size = *u
	return f, nil
}

// HTTP2Setting is the argument of http2.settings: a setting, and perhaps its value.
type HTTP2Setting struct {
	ID    uint64
	Name  string // upper case
	Value *Uint  // nil: any
}

// String is the name with the comparison.
func (s *HTTP2Setting) String() string {
	if s.Value == nil {
		return s.Name
	}
	if s.Value.Op == Eq {
		return s.Name + "=" + s.Value.String()
	}
	return s.Name + s.Value.String()
}

func parseHTTP2Setting(a arg) (Value, error) {
	n := strings.IndexAny(a.text, "<>=!& ")
	if n < 0 {
		n = len(a.text)
	}
	s := &HTTP2Setting{Name: strings.ToUpper(a.text[:n])}
	id, ok := http2SettingNames[strings.ToLower(s.Name)]
	if s.ID = id; !ok {
		return nil, fmt.Errorf("unknown setting %q", s.Name)
	}
	if rest := strings.TrimSpace(a.text[n:]); rest != "" {
		u, err := parseUint(rest, 32, nil, false)
		if err != nil {
			return nil, err
		}
		s.Value = u
	}
	return s, nil
}

// parseSigned wants a signed number.
func parseSigned(a arg) (Value, error) {
	n, err := parseInt(a.text)
	return Num{N: n}, err
}

// TOS is the argument of tos.
type TOS uint8

// String is the value in decimal.
func (t TOS) String() string { return strconv.Itoa(int(t)) }

func parseTOS(a arg) (Value, error) {
	digits, base := a.text, 10
	if hex := strings.TrimLeft(a.text, "xX"); hex != a.text {
		digits, base = hex, 16
	}
	n, err := strconv.ParseUint(digits, base, 8)
	if err != nil {
		return nil, fmt.Errorf("%q is no number of 8 bits", a.text)
	}
	return TOS(n), nil
}

// TransformRegexp is the argument of pcrexform: the first group of the match
// becomes the buffer.
type TransformRegexp struct {
	Pattern string
	Regexp  *pcre.Regexp
}

// String is the pattern in quotes, without escapes of its own.
func (t *TransformRegexp) String() string { return `"` + t.Pattern + `"` }

func parseTransformRegexp(a arg) (Value, error) {
	re, err := pcre.Compile(a.text, 0)
	if err != nil {
		return nil, err
	}
	if re.Groups() == 0 {
		return nil, errors.New("pattern has no group to keep")
	}
	return &TransformRegexp{a.text, re}, nil
}

// parseMaxSize reads gunzip and zlib_deflate: "max-size N".
func parseMaxSize(a arg) (Value, error) {
	size, ok := strings.CutPrefix(a.text, "max-size")
	n, err := strconv.ParseUint(strings.TrimSpace(size), 10, 32)
	if !ok || err != nil {
		return nil, fmt.Errorf("%q is not max-size and a number", a.text)
	}
	return Text(fmt.Sprintf("max-size %d", n)), nil
}
