package suricata

import (
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"strconv"
	"strings"
)

// Endian is the byte order of a number in a payload.
type Endian uint8

const (
	Big Endian = iota // network order, the default
	Little
	DCE // that of the DCERPC header
)

var endianNames = [...]string{"big", "little", "dce"}

// Read says how a number is taken from a buffer; byte_test, byte_jump,
// byte_extract and byte_math share it.
type Read struct {
	Bytes    Num // length in the buffer
	Offset   Num // from the start, or from the match before
	Relative bool
	Text     bool // the number is written in digits, in Base
	Base     int  // 8, 10 or 16; 0: by prefix, as strtoull does
	Endian   Endian
	Bitmask  uint64 // 0: none; the result is shifted right to the mask's lowest bit
}

// Shift is how far a masked number is shifted right.
func (r *Read) Shift() int {
	if r.Bitmask == 0 {
		return 0
	}
	return bits.TrailingZeros64(r.Bitmask)
}

// flags reads one of the words all four keywords know. It reports whether it was one.
func (r *Read) flag(word string) (bool, error) {
	switch word {
	case "relative":
		r.Relative = true
	case "string":
		r.Text = true
	case "hex":
		r.Base = 16
	case "dec":
		r.Base = 10
	case "oct":
		r.Base = 8
	case "big":
		r.Endian = Big
	case "little":
		r.Endian = Little
	case "dce":
		r.Endian = DCE
	default:
		mask, ok := strings.CutPrefix(word, "bitmask")
		if !ok {
			return false, nil
		}
		return true, r.bitmask(strings.TrimSpace(mask))
	}
	return true, nil
}

func (r *Read) bitmask(s string) error {
	digits, hex := cutHex(s)
	base := 10
	if hex {
		base = 16
	}
	mask, err := strconv.ParseUint(digits, base, 32)
	if err != nil {
		return fmt.Errorf("bitmask %q is no number", s)
	}
	r.Bitmask = mask
	return nil
}

// check holds the limits of Suricata: 1 to 8 binary bytes, up to 23 digits.
func (r *Read) check(minBytes int64) error {
	limit := int64(8)
	if r.Text {
		limit = 23
	}
	if r.Text {
		minBytes = 0 // as many digits as there are
	}
	if r.Bytes.Var == "" && (r.Bytes.N < minBytes || r.Bytes.N > limit) {
		return fmt.Errorf("cannot read %d bytes, only %d to %d", r.Bytes.N, minBytes, limit)
	}
	if !r.Text && r.Base != 0 {
		return errors.New("hex, dec and oct need string")
	}
	return nil
}

// tail prints the words of a Read, each with ", " before it.
func (r *Read) tail(sep string) string {
	var b strings.Builder
	add := func(on bool, word string) {
		if on {
			b.WriteString(sep + word)
		}
	}
	add(r.Relative, "relative")
	add(r.Endian != Big, endianNames[r.Endian])
	add(r.Text, "string")
	add(r.Base == 16, "hex")
	add(r.Base == 10, "dec")
	add(r.Base == 8, "oct")
	add(r.Bitmask != 0, fmt.Sprintf("bitmask 0x%x", r.Bitmask))
	return b.String()
}

const (
	maxOffset = 65535
	anyNumber = 1<<62 - 1
)

// head reads "bytes" and "offset", which may be variables.
func (r *Read) head(nbytes, offset string) error {
	var err1, err2 error
	r.Bytes, err1 = parseNum(nbytes, 0, 23)
	r.Offset, err2 = parseNum(offset, -maxOffset, maxOffset)
	return errors.Join(err1, err2)
}

// ByteTest compares a number of the buffer.
type ByteTest struct {
	Read
	Not   bool
	Op    string // one of = < > <= >= & ^
	Value Num
}

// String is bytes, [!]op, value, offset, words.
func (t *ByteTest) String() string {
	op := t.Op
	if t.Not {
		op = "!" + op
	}
	value := t.Value.String()
	if t.Value.Var == "" {
		value = strconv.FormatUint(uint64(t.Value.N), 10)
	}
	return fmt.Sprintf("%s, %s, %s, %s%s", t.Bytes, op, value, t.Offset, t.tail(", "))
}

var testOps = []string{"=", "<", ">", "<=", ">=", "&", "^"}

func parseByteTest(a arg) (Value, error) {
	part := splitList(a.text)
	if len(part) < 4 {
		return nil, errors.New("needs bytes, operator, value, offset")
	}
	t := &ByteTest{Op: part[1]}
	if op, ok := strings.CutPrefix(t.Op, "!"); ok {
		t.Not, t.Op = true, strings.TrimSpace(op)
		if t.Op == "" {
			t.Op = "="
		}
	}
	if !slices.Contains(testOps, t.Op) {
		return nil, fmt.Errorf("unknown operator %q", part[1])
	}
	if err := t.head(part[0], part[3]); err != nil {
		return nil, err
	}
	var err error
	if t.Value, err = parseTestValue(part[2]); err != nil {
		return nil, err
	}
	for _, word := range part[4:] {
		if ok, err := t.flag(word); err != nil || !ok {
			return nil, errors.Join(err, unknownWord(ok, word))
		}
	}
	return t, t.check(1)
}

// parseTestValue reads 64 unsigned bits into a Num, or a variable.
func parseTestValue(s string) (Num, error) {
	if isName(s) {
		return Num{Var: s}, nil
	}
	digits, hex := cutHex(s)
	base := 10
	if hex {
		base = 16
	}
	u, err := strconv.ParseUint(digits, base, 64)
	if err != nil {
		return Num{}, fmt.Errorf("value %q is no number", s)
	}
	return Num{N: int64(u)}, nil
}

func unknownWord(known bool, word string) error {
	if known {
		return nil
	}
	return fmt.Errorf("unknown word %q", word)
}

// ByteJump moves the place relative matches start from.
type ByteJump struct {
	Read
	Multiplier int64 // 0: 1
	Post       int64 // added after everything else
	Align      bool  // up to a multiple of 4
	FromStart  bool  // jumps from the start of the buffer
	FromEnd    bool
}

// String is bytes, offset, words.
func (j *ByteJump) String() string {
	s := fmt.Sprintf("%s, %s%s", j.Bytes, j.Offset, j.tail(", "))
	if j.Multiplier != 0 {
		s += fmt.Sprintf(", multiplier %d", j.Multiplier)
	}
	if j.Align {
		s += ", align"
	}
	if j.FromStart {
		s += ", from_beginning"
	}
	if j.FromEnd {
		s += ", from_end"
	}
	if j.Post != 0 {
		s += fmt.Sprintf(", post_offset %d", j.Post)
	}
	return s
}

func parseByteJump(a arg) (Value, error) {
	part := splitList(a.text)
	if len(part) < 2 {
		return nil, errors.New("needs bytes, offset")
	}
	j := &ByteJump{}
	if err := j.head(part[0], part[1]); err != nil {
		return nil, err
	}
	for _, word := range part[2:] {
		if err := j.word(word); err != nil {
			return nil, err
		}
	}
	if j.FromStart && j.FromEnd {
		return nil, errors.New("from_beginning contradicts from_end")
	}
	return j, j.check(0)
}

func (j *ByteJump) word(word string) (err error) {
	name, value, _ := strings.Cut(word, " ")
	switch name {
	case "align":
		j.Align = true
	case "from_beginning":
		j.FromStart = true
	case "from_end":
		j.FromEnd = true
	case "multiplier":
		if j.Multiplier, err = parseInt(strings.TrimSpace(value)); err == nil && (j.Multiplier < 1 || j.Multiplier > 65535) {
			return fmt.Errorf("multiplier %d is not between 1 and 65535", j.Multiplier)
		}
	case "post_offset":
		if j.Post, err = parseInt(strings.TrimSpace(value)); err == nil && (j.Post < -65535 || j.Post > 65535) {
			return fmt.Errorf("post_offset %d is not between -65535 and 65535", j.Post)
		}
	default:
		ok, err := j.flag(word)
		return errors.Join(err, unknownWord(ok, word))
	}
	return err
}

// ByteExtract stores a number of the buffer in a variable.
type ByteExtract struct {
	Read
	Name       string
	Multiplier int64 // 0: 1
	Align      int64 // 0, 2 or 4: rounded up to a multiple
}

// String is bytes, offset, name, words.
func (e *ByteExtract) String() string {
	s := fmt.Sprintf("%s, %s, %s%s", e.Bytes, e.Offset, e.Name, e.tail(", "))
	if e.Multiplier != 0 {
		s += fmt.Sprintf(", multiplier %d", e.Multiplier)
	}
	if e.Align != 0 {
		s += fmt.Sprintf(", align %d", e.Align)
	}
	return s
}

func parseByteExtract(a arg) (Value, error) {
	part := splitList(a.text)
	if len(part) < 3 || !isName(part[2]) {
		return nil, errors.New("needs bytes, offset, name")
	}
	e := &ByteExtract{Name: part[2]}
	if err := e.head(part[0], part[1]); err != nil {
		return nil, err
	}
	for _, word := range part[3:] {
		name, value, _ := strings.Cut(word, " ")
		n, err := int64(0), error(nil)
		switch name {
		case "multiplier":
			n, err = parseInt(strings.TrimSpace(value))
			if e.Multiplier = n; err == nil && (n < 1 || n > 65535) {
				err = fmt.Errorf("multiplier %d is not between 1 and 65535", n)
			}
		case "align":
			n, err = parseInt(strings.TrimSpace(value))
			if e.Align = n; err == nil && n != 2 && n != 4 {
				err = fmt.Errorf("align %d is neither 2 nor 4", n)
			}
		default:
			var ok bool
			ok, err = e.flag(word)
			err = errors.Join(err, unknownWord(ok, word))
		}
		if err != nil {
			return nil, err
		}
	}
	return e, e.check(1)
}

// ByteMath computes with a number of the buffer and stores the result.
type ByteMath struct {
	Read
	Op     string // one of + - * / << >>
	Value  Num
	Result string
}

// String is key value pairs.
func (m *ByteMath) String() string {
	s := fmt.Sprintf("bytes %s, offset %s, oper %s, rvalue %s, result %s", m.Bytes, m.Offset, m.Op, m.Value, m.Result)
	if m.Relative {
		s += ", relative"
	}
	if m.Endian != Big {
		s += ", endian " + endianNames[m.Endian]
	}
	if m.Text {
		s += ", string " + map[int]string{8: "oct", 10: "dec", 16: "hex"}[m.Base]
	}
	if m.Bitmask != 0 {
		s += fmt.Sprintf(", bitmask 0x%x", m.Bitmask)
	}
	return s
}

var mathOps = []string{"+", "-", "*", "/", "<<", ">>"}

func parseByteMath(a arg) (Value, error) {
	m := &ByteMath{}
	seen := map[string]bool{}
	for _, part := range splitList(a.text) {
		key, value, _ := strings.Cut(part, " ")
		value = strings.TrimSpace(value)
		if seen[key] {
			return nil, fmt.Errorf("%s is given twice", key)
		}
		seen[key] = true
		if err := m.pair(key, value); err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
	}
	for _, key := range [...]string{"bytes", "offset", "oper", "rvalue", "result"} {
		if !seen[key] {
			return nil, fmt.Errorf("%s is missing", key)
		}
	}
	if m.Op == "/" && m.Value.Var == "" && m.Value.N == 0 {
		return nil, errors.New("division by zero")
	}
	if m.Op[0] == m.Op[len(m.Op)-1] && len(m.Op) == 2 && m.Bytes.Var == "" && m.Bytes.N > 4 {
		return nil, errors.New("shifts take at most 4 bytes")
	}
	return m, m.check(1)
}

func (m *ByteMath) pair(key, value string) (err error) {
	switch key {
	case "bytes":
		m.Bytes, err = parseNum(value, 1, 10)
	case "offset":
		m.Offset, err = parseNum(value, -maxOffset, maxOffset)
	case "oper":
		if m.Op = value; !slices.Contains(mathOps, value) {
			err = fmt.Errorf("unknown operator %q", value)
		}
	case "rvalue":
		if m.Value, err = parseNum(value, 0, 1<<32-1); err == nil && m.Value.Var == "" && m.Value.N == 0 {
			err = errors.New("zero")
		}
	case "result":
		if m.Result = value; !isName(value) {
			err = fmt.Errorf("%q is no name", value)
		}
	case "endian", "string":
		ok, _ := m.flag(value)
		m.Text = m.Text || key == "string"
		err = unknownWord(ok && value != "relative" && value != "string", value)
	case "bitmask":
		err = m.bitmask(value)
	case "relative", "dce":
		_, err = m.flag(key)
	default:
		err = errors.New("unknown word")
	}
	return err
}

// IsDataAt asks whether the buffer reaches so far.
type IsDataAt struct {
	Not      bool
	At       Num
	Relative bool
	Raw      bool
}

// String is [!]offset and words.
func (d *IsDataAt) String() string {
	s := d.At.String()
	if d.Not {
		s = "!" + s
	}
	if d.Relative {
		s += ",relative"
	}
	if d.Raw {
		s += ",rawbytes"
	}
	return s
}

func parseIsDataAt(a arg) (Value, error) {
	text, not := strings.CutPrefix(a.text, "!")
	part := splitList(text)
	d := &IsDataAt{Not: not}
	var err error
	if d.At, err = parseNum(part[0], 0, maxOffset); err != nil {
		return nil, err
	}
	for _, word := range part[1:] {
		switch word {
		case "relative":
			d.Relative = true
		case "rawbytes":
			d.Raw = true
		default:
			return nil, unknownWord(false, word)
		}
	}
	return d, nil
}

// Base64 is the argument of base64_decode and of the transform from_base64.
type Base64 struct {
	Bytes    Num // at most so many are decoded; 0: all
	Offset   Num
	Relative bool
	Mode     string // of the transform: rfc4648 (default), rfc2045, strict
}

// String is key value pairs, none if all are defaults.
func (d *Base64) String() string {
	var out List
	if d.Bytes != (Num{}) {
		out = append(out, "bytes "+d.Bytes.String())
	}
	if d.Offset != (Num{}) {
		out = append(out, "offset "+d.Offset.String())
	}
	if d.Relative {
		out = append(out, "relative")
	}
	if d.Mode != "" {
		out = append(out, "mode "+d.Mode)
	}
	return out.String()
}

func parseBase64(a arg) (Value, error) {
	d := &Base64{}
	for _, part := range splitList(a.text) {
		key, value, _ := strings.Cut(part, " ")
		value = strings.TrimSpace(value)
		var err error
		switch key {
		case "bytes":
			if d.Bytes, err = parseNum(value, 1, maxOffset); err != nil {
				return nil, err
			}
		case "offset":
			if d.Offset, err = parseNum(value, 0, maxOffset); err != nil {
				return nil, err
			}
		case "relative":
			d.Relative = true
		case "mode":
			if d.Mode = value; !slices.Contains([]string{"rfc4648", "rfc2045", "strict"}, value) {
				return nil, fmt.Errorf("unknown mode %q", value)
			}
		default:
			return nil, unknownWord(false, key)
		}
	}
	return d, nil
}
