package yamlconf

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// String is the value at a path, or def where there is none.
func (t *Tree) String(path, def string) string {
	if n := t.Node(path); n != nil && !n.Null {
		return n.Value
	}
	return def
}

// Bool is the value at a path read as Suricata reads it: 1, yes, true and on
// in any case are true, all else is false.
func (t *Tree) Bool(path string, def bool) bool {
	n := t.Node(path)
	if n == nil || n.Null {
		return def
	}
	return IsTrue(n.Value)
}

// IsTrue says whether a value is one of the words for true.
func IsTrue(value string) bool {
	switch strings.ToLower(value) {
	case "1", "yes", "true", "on":
		return true
	}
	return false
}

// Int is the whole number at a path, decimal, or hexadecimal after 0x.
func (t *Tree) Int(path string, def int64) (int64, error) {
	n := t.Node(path)
	if n == nil || n.Null {
		return def, nil
	}
	v, err := strconv.ParseInt(n.Value, 0, 64)
	if err != nil {
		return def, n.fault(path, "a whole number")
	}
	return v, nil
}

// Size is the number of bytes at a path: a number, perhaps with a fraction,
// perhaps with kb, kib, mb, mib, gb or gib after it, all powers of 1024.
func (t *Tree) Size(path string, def uint64) (uint64, error) {
	n := t.Node(path)
	if n == nil || n.Null {
		return def, nil
	}
	v, ok := ParseSize(n.Value)
	if !ok {
		return def, n.fault(path, "a size such as 64kb")
	}
	return v, nil
}

// ParseSize reads a size as [Tree.Size] does.
func ParseSize(text string) (uint64, bool) {
	text = strings.ToLower(strings.TrimSpace(text))
	digits := strings.TrimRight(text, "bgikm ")
	unit, ok := units[strings.TrimSpace(text[len(digits):])]
	v, err := strconv.ParseFloat(digits, 64)
	if !ok || err != nil || !(v >= 0) || v*unit >= math.MaxUint64 {
		return 0, false
	}
	return uint64(v * unit), true
}

var units = map[string]float64{
	"": 1, "b": 1, "kb": 1 << 10, "kib": 1 << 10, "mb": 1 << 20, "mib": 1 << 20, "gb": 1 << 30, "gib": 1 << 30,
}

func (n *Node) fault(path, want string) error {
	return fmt.Errorf("%s:%d: %s: want %s, not %q", n.File, n.Line, path, want, n.Value)
}
