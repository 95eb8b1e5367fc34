// Package jsonw appends JSON to a byte slice, without reflection and without
// allocation: the events of the sensor are written by it.
//
// Every method takes the key of the member it writes; with the empty key it
// writes an element of an array, or the root. Keys are the program's own and
// need no escaping. Values are whatever came from the wire: bytes that are not
// UTF-8 are shown as the text \xNN, as Suricata's EVE does, so that every line
// is valid JSON.
package jsonw

import (
	"encoding/base64"
	"math"
	"strconv"
	"unicode/utf8"
)

// maxDepth is how deep objects and arrays may nest: one bit each tells which.
const maxDepth = 64

// Writer appends values to a buffer. The zero value is ready. A comma is due
// wherever the last byte ends a value, so the writer keeps no more state than
// the open brackets.
type Writer struct {
	buf    []byte
	arrays uint64 // bit i: the bracket at depth i is of an array
	depth  int
}

// Mark is a place to come back to.
type Mark struct {
	size   int
	arrays uint64
	depth  int
}

// Reset starts anew at the end of buf, which may be nil.
func (w *Writer) Reset(buf []byte) { *w = Writer{buf: buf} }

// Bytes is everything written so far.
func (w *Writer) Bytes() []byte { return w.buf }

// Len is the length of what was written so far, in bytes.
func (w *Writer) Len() int { return len(w.buf) }

// Mark is the present place.
func (w *Writer) Mark() Mark { return Mark{len(w.buf), w.arrays, w.depth} }

// Back forgets what was written since the mark.
func (w *Writer) Back(m Mark) {
	w.buf, w.arrays, w.depth = w.buf[:m.size], m.arrays, m.depth
}

// Empty reports whether the object or array opened last has no members yet.
func (w *Writer) Empty() bool {
	n := len(w.buf)
	return n > 0 && (w.buf[n-1] == '{' || w.buf[n-1] == '[')
}

// Newline ends a document, so that another may follow.
func (w *Writer) Newline() { w.buf = append(w.buf, '\n') }

// Object opens an object.
func (w *Writer) Object(key string) { w.open(key, '{') }

// Array opens an array.
func (w *Writer) Array(key string) { w.open(key, '[') }

func (w *Writer) open(key string, bracket byte) {
	if w.depth == maxDepth {
		panic("jsonw: nested too deep")
	}
	w.key(key)
	w.buf = append(w.buf, bracket)
	w.arrays &^= 1 << w.depth
	if bracket == '[' {
		w.arrays |= 1 << w.depth
	}
	w.depth++
}

// Close closes the object or array opened last.
func (w *Writer) Close() {
	w.depth--
	if w.arrays>>w.depth&1 == 1 {
		w.buf = append(w.buf, ']')
	} else {
		w.buf = append(w.buf, '}')
	}
}

// key writes the comma that is due, and the key unless it is empty.
func (w *Writer) key(key string) {
	if n := len(w.buf); n > 0 {
		switch w.buf[n-1] {
		case '{', '[', '\n':
		default:
			w.buf = append(w.buf, ',')
		}
	}
	if key != "" {
		w.buf = append(w.buf, '"')
		w.buf = append(w.buf, key...)
		w.buf = append(w.buf, '"', ':')
	}
}

// Uint writes a number.
func (w *Writer) Uint(key string, n uint64) {
	w.key(key)
	w.buf = strconv.AppendUint(w.buf, n, 10)
}

// Int writes a number.
func (w *Writer) Int(key string, n int64) {
	w.key(key)
	w.buf = strconv.AppendInt(w.buf, n, 10)
}

// Float writes a number; what JSON cannot say becomes null.
func (w *Writer) Float(key string, f float64) {
	w.key(key)
	if math.IsNaN(f) || math.IsInf(f, 0) {
		w.buf = append(w.buf, "null"...)
		return
	}
	w.buf = strconv.AppendFloat(w.buf, f, 'f', -1, 64)
}

// Bool writes true or false.
func (w *Writer) Bool(key string, b bool) {
	w.key(key)
	w.buf = strconv.AppendBool(w.buf, b)
}

// Raw writes a value that is JSON already.
func (w *Writer) Raw(key string, json []byte) {
	w.key(key)
	w.buf = append(w.buf, json...)
}

// String writes a string.
func (w *Writer) String(key, s string) {
	w.key(key)
	w.buf = appendString(w.buf, s)
}

// Text writes bytes as a string.
func (w *Writer) Text(key string, b []byte) {
	w.key(key)
	w.buf = appendString(w.buf, b)
}

// Texts writes a list of strings, if it has any.
func (w *Writer) Texts(key string, list [][]byte) {
	if len(list) == 0 {
		return
	}
	w.Array(key)
	for _, b := range list {
		w.Text("", b)
	}
	w.Close()
}

// Member writes a string under a key that comes from the wire.
func (w *Writer) Member(key, value []byte) {
	w.key("")
	w.buf = appendString(w.buf, key)
	w.buf = append(w.buf, ':')
	w.buf = appendString(w.buf, value)
}

// Printable writes bytes as a string in which a dot stands for every byte that
// is not printable ASCII, a line feed or a carriage return.
func (w *Writer) Printable(key string, b []byte) {
	w.key(key)
	w.buf = append(w.buf, '"')
	for _, c := range b {
		switch {
		case c == '\r' || c == '\n' || c == '"' || c == '\\':
			w.buf = append(w.buf, '\\', escapes[c])
		case c < 0x20 || c >= 0x7f:
			w.buf = append(w.buf, '.')
		default:
			w.buf = append(w.buf, c)
		}
	}
	w.buf = append(w.buf, '"')
}

// Base64 writes bytes in base64 with padding.
func (w *Writer) Base64(key string, b []byte) {
	w.key(key)
	w.buf = append(w.buf, '"')
	w.buf = base64.StdEncoding.AppendEncode(w.buf, b)
	w.buf = append(w.buf, '"')
}

// Hex writes bytes in lower-case hexadecimal.
func (w *Writer) Hex(key string, b []byte) { w.HexSep(key, b, "") }

// HexSep writes bytes in lower-case hexadecimal with a separator between them.
func (w *Writer) HexSep(key string, b []byte, sep string) {
	w.key(key)
	w.buf = append(w.buf, '"')
	for i, c := range b {
		if i > 0 {
			w.buf = append(w.buf, sep...)
		}
		w.buf = append(w.buf, digits[c>>4], digits[c&15])
	}
	w.buf = append(w.buf, '"')
}

const digits = "0123456789abcdef"

// escapes tells how a byte is written in a string: 0 as it is, u as \u00NN,
// else behind a backslash.
var escapes = func() (t [256]byte) {
	for i := range 0x20 {
		t[i] = 'u'
	}
	t['\b'], t['\t'], t['\n'], t['\f'], t['\r'] = 'b', 't', 'n', 'f', 'r'
	t['"'], t['\\'] = '"', '\\'
	return t
}()

// appendString appends s in quotes. The text is copied in runs between the
// bytes that need an escape.
func appendString[T string | []byte](buf []byte, s T) []byte {
	buf = append(buf, '"')
	valid, known, from := true, false, 0
	for i := 0; i < len(s); i++ {
		c := s[i]
		e := escapes[c]
		if c >= utf8.RuneSelf && !known {
			valid, known = validUTF8(s[i:]), true
		}
		if e == 0 && (valid || c < utf8.RuneSelf) {
			continue
		}
		buf = append(buf, s[from:i]...)
		if e == 0 {
			buf = append(buf, '\\', '\\', 'x', digits[c>>4], digits[c&15])
		} else {
			buf = appendEscape(buf, c, e)
		}
		from = i + 1
	}
	buf = append(buf, s[from:]...)
	return append(buf, '"')
}

func appendEscape(buf []byte, c, e byte) []byte {
	if e == 'u' {
		return append(buf, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
	}
	return append(buf, '\\', e)
}

// validUTF8 is utf8.Valid for both kinds of text.
func validUTF8[T string | []byte](s T) bool {
	switch s := any(s).(type) {
	case string:
		return utf8.ValidString(s)
	case []byte:
		return utf8.Valid(s)
	}
	return false
}
