package event

import (
	"bytes"
	"unsafe"
)

// Field is a searchable field; its zero value is invalid.
type Field uint16

// FieldInfo describes a field: its name in the Elastic Common Schema, where
// OCSF has it, and the kind of its values.
type FieldInfo struct {
	Field Field
	ECS   string
	OCSF  string
	Kind  Kind
}

// Info returns the description of f; the zero FieldInfo for an unknown field.
func (f Field) Info() FieldInfo {
	if f == FieldInvalid || int(f) > len(Fields) {
		return FieldInfo{}
	}
	return Fields[f-1]
}

// String returns the ECS name.
func (f Field) String() string { return f.Info().ECS }

// BodyKind is the kind of an event's body.
type BodyKind uint8

// Fields returns the fields that events with such a body can have, by ECS
// name. It must not be changed.
func (k BodyKind) Fields() []Field {
	if k >= bodyCount {
		k = BodyNone
	}
	return bodyFields[k]
}

// Kind is the type of a field's value.
type Kind uint8

// The kinds, with the member of Value that holds them.
const (
	KindInvalid Kind = iota
	KindText         // Bytes, UTF-8 or not
	KindEnum         // Bytes, one of a closed set of words
	KindIP           // Bytes, 4 or 16
	KindInt          // Int
	KindUint         // Int, to be read as uint64
	KindBool         // Int, 1: a false bool is absent
	KindTime         // Int, Unix ns
	KindList         // List, each like KindText
	KindMap          // Map
)

var kindWords = [...]string{"", "text", "enum", "ip", "int", "uint", "bool", "time", "list", "map"}

// String returns the word used in docs/formats/fields.md.
func (k Kind) String() string {
	if int(k) < len(kindWords) {
		return kindWords[k]
	}
	return ""
}

// Value is the value of a field.
type Value struct {
	Kind  Kind
	Int   int64
	Bytes []byte
	List  [][]byte
	Map   map[string]string
}

// view gives the bytes of a string without a copy; they must only be read.
func view(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }

func textValue(v []byte) Value   { return Value{Kind: KindText, Bytes: v} }
func stringValue(v string) Value { return Value{Kind: KindText, Bytes: view(v)} }
func enumValue(v string) Value   { return Value{Kind: KindEnum, Bytes: view(v)} }
func uintValue(v uint64) Value   { return Value{Kind: KindUint, Int: int64(v)} }
func intValue(v int64) Value     { return Value{Kind: KindInt, Int: v} }
func timeValue(v int64) Value    { return Value{Kind: KindTime, Int: v} }
func boolValue(bool) Value       { return Value{Kind: KindBool, Int: 1} }

// choose gives one of two words.
func choose(v bool, yes, no string) Value {
	if v {
		return enumValue(yes)
	}
	return enumValue(no)
}

// word gives the text of an enum's number; "unknown" for a number that only a
// newer writer knows.
func word(words []string, v int32) Value {
	if v > 0 && int(v) < len(words) {
		return enumValue(words[v])
	}
	return enumValue("unknown")
}

// first returns the first of list, nil if there is none.
func first[T any](list []*T) *T {
	if len(list) == 0 {
		return nil
	}
	return list[0]
}

// scratch is the memory for values that are not in the event as they are. It
// grows to what the largest event needs and is then reused.
type scratch struct {
	text []byte
	list [][]byte
}

func (s *scratch) reset() { s.text, s.list = s.text[:0], s.list[:0] }

// split gives the texts between NULs; a NUL at the end ends the last text.
func (r *Record) split(v []byte) Value {
	start := len(r.scratch.list)
	v = bytes.TrimSuffix(v, []byte{0})
	for {
		i := bytes.IndexByte(v, 0)
		if i < 0 {
			break
		}
		r.scratch.list = append(r.scratch.list, v[:i])
		v = v[i+1:]
	}
	r.scratch.list = append(r.scratch.list, v)
	return Value{Kind: KindList, List: r.scratch.list[start:len(r.scratch.list):len(r.scratch.list)]}
}

// strings gives a list of strings as a list of bytes.
func (r *Record) strings(v []string) Value {
	start := len(r.scratch.list)
	for _, s := range v {
		r.scratch.list = append(r.scratch.list, view(s))
	}
	return Value{Kind: KindList, List: r.scratch.list[start:len(r.scratch.list):len(r.scratch.list)]}
}

// join gives argv as one line: a space for each NUL but the last. What has no
// NUL inside is given as it is.
func (r *Record) join(argv []byte) []byte {
	argv = bytes.TrimSuffix(argv, []byte{0})
	if bytes.IndexByte(argv, 0) < 0 {
		return argv
	}
	start := len(r.scratch.text)
	r.scratch.text = append(r.scratch.text, argv...)
	line := r.scratch.text[start:len(r.scratch.text):len(r.scratch.text)]
	for i := 0; i < len(line); {
		n := bytes.IndexByte(line[i:], 0)
		if n < 0 {
			break
		}
		line[i+n] = ' '
		i += n + 1
	}
	return line
}
