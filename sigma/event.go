package sigma

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// FieldID numbers the fields of a Schema, from 0.
type FieldID int32

// Kind is the type of a field's values.
type Kind uint8

// The kinds of values.
const (
	KindInvalid Kind = iota
	KindText         // Value.Bytes, UTF-8 or not
	KindList         // Value.List, each like KindText; an empty list is an absent field
	KindInt          // Value.Int
	KindBool         // Value.Int, 0 or 1; its text is "false" or "true"
	KindIP           // Value.Bytes, 4 or 16 bytes
	KindTime         // Value.Int, Unix nanoseconds; its text is RFC 3339 in UTC
)

var kindNames = [...]string{"", "text", "list", "number", "bool", "ip", "time"}

// String gives the word used in mapping files.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return ""
}

// Value is a field's value. It is only read, and only until Set.Match (or
// Correlator.Observe) returns, so that an Event may reuse what it points to for
// its next event.
type Value struct {
	Kind  Kind
	Bytes []byte
	List  [][]byte
	Int   int64
}

func (v *Value) isNothing() bool {
	return v.Kind == KindInvalid || v.Kind == KindList && len(v.List) == 0
}

// Event is what rules are matched against. Value is called at most once per
// field and match.
type Event interface {
	// Value stores the value of a field in v and reports whether the event
	// has it. The kind may differ from the schema's; it is then converted.
	Value(id FieldID, v *Value) bool
}

// Field is one field of a Schema.
type Field struct {
	Name string
	Kind Kind
}

// Schema numbers the fields that events can have.
type Schema struct {
	fields []Field
	byName map[string]FieldID
}

// NewSchema numbers fields by their place. Names must differ and not be empty.
func NewSchema(fields []Field) (*Schema, error) {
	s := &Schema{fields: slices.Clone(fields), byName: make(map[string]FieldID, len(fields))}
	var errs []error
	for i, f := range fields {
		if _, twice := s.byName[f.Name]; twice || f.Name == "" {
			errs = append(errs, fmt.Errorf("schema field %d: name %q is empty or used twice", i, f.Name))
		}
		if f.Kind == KindInvalid || int(f.Kind) >= len(kindNames) {
			errs = append(errs, fmt.Errorf("schema field %q: invalid kind %d", f.Name, f.Kind))
		}
		s.byName[f.Name] = FieldID(i)
	}
	return s, errors.Join(errs...)
}

// Lookup finds a field by name.
func (s *Schema) Lookup(name string) (FieldID, Kind, bool) {
	id, ok := s.byName[name]
	if !ok {
		return 0, KindInvalid, false
	}
	return id, s.fields[id].Kind, true
}

// Fields gives all fields; FieldID is the index.
func (s *Schema) Fields() []Field { return s.fields }

// ClassID numbers the classes given to Compile, from 0.
type ClassID uint8

// MaxClasses bounds the classes of a Set: one bit each in a 64-bit mask.
const MaxClasses = 64

// Class is a kind of event and the log sources it serves. A rule is matched
// against the events of a class when its log source covers one of Sources.
type Class struct {
	Name    string
	Sources []LogSource
}

// Record is an Event held in memory, indexed by FieldID: for tests, examples
// and tools. A Value of KindInvalid is absent.
type Record []Value

// Value implements Event.
func (r Record) Value(id FieldID, v *Value) bool {
	if int(id) >= len(r) || r[id].Kind == KindInvalid {
		return false
	}
	*v = r[id]
	return true
}

// Text makes a text.
func Text(s string) Value { return Value{Kind: KindText, Bytes: []byte(s)} }

// Int makes a number.
func Int(i int64) Value { return Value{Kind: KindInt, Int: i} }

// Time makes a point in time.
func Time(t time.Time) Value { return Value{Kind: KindTime, Int: t.UnixNano()} }

// List makes a value of several texts.
func List(items ...string) Value {
	v := Value{Kind: KindList}
	for _, s := range items {
		v.List = append(v.List, []byte(s))
	}
	return v
}
