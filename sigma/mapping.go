package sigma

import (
	"bytes"
	_ "embed" // the default mapping
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Mapping translates the field names of rules into those of a Schema. It is
// plain data; docs/formats/sigma-mapping.md has its file format.
type Mapping struct {
	// Types gives the kind of target fields; those not listed are text.
	Types map[string]Kind
	// Sources are searched from the most specific log source that covers the
	// rule's to the most general; among equals in order.
	Sources []SourceMapping
}

// SourceMapping holds the fields of one log source.
type SourceMapping struct {
	LogSource LogSource
	Fields    map[string]Target
	// Keywords are the target fields that unbound values are looked for in.
	Keywords []string
}

// Target is what a rule's field means.
type Target struct {
	// Field is a field of the schema; name[i] is element i of a list, from 0.
	Field string
	// Values replaces plain values of the rule (compared without case) by
	// those that the schema's field has.
	Values map[string]string
}

//go:embed mapping.yml
var defaultMapping []byte

// DefaultMapping translates the Sigma taxonomy to the Elastic Common Schema,
// version 9, and to hauberk.* names where it has none.
func DefaultMapping() *Mapping {
	m, err := ParseMapping("mapping.yml", defaultMapping)
	if err != nil {
		panic("sigma: embedded mapping.yml: " + err.Error()) // held by a test
	}
	return m
}

type mappingFile struct {
	Types   map[string][]string `yaml:"types"`
	Sources []struct {
		Category string               `yaml:"category"`
		Product  string               `yaml:"product"`
		Service  string               `yaml:"service"`
		Fields   map[string]yaml.Node `yaml:"fields"`
		Keywords []string             `yaml:"keywords"`
	} `yaml:"sources"`
}

// ParseMapping reads a mapping file strictly: an unknown key is an error.
func ParseMapping(file string, data []byte) (*Mapping, error) {
	var f mappingFile
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	if err := dec.Decode(&f); err != nil && err != io.EOF {
		return nil, fmt.Errorf("read mapping %s: %w", file, err)
	}
	m := &Mapping{Types: map[string]Kind{}}
	var errs []error
	for word, names := range f.Types {
		k := slices.Index(kindNames[:], word)
		if k <= 0 {
			errs = append(errs, fmt.Errorf("%s: type %q is not one of %s", file, word, strings.Join(kindNames[1:], ", ")))
			continue
		}
		for _, n := range names {
			m.Types[n] = Kind(k)
		}
	}
	for _, s := range f.Sources {
		sm := SourceMapping{LogSource: LogSource{s.Category, s.Product, s.Service}, Fields: map[string]Target{}, Keywords: s.Keywords}
		for name, node := range s.Fields {
			var t struct {
				Field  string            `yaml:"field"`
				Values map[string]string `yaml:"values"`
			}
			var err error
			if node.Kind == yaml.ScalarNode {
				t.Field = node.Value
			} else {
				err = node.Decode(&t)
			}
			if err != nil || t.Field == "" {
				errs = append(errs, fmt.Errorf("%s:%d: field %q: expected a field name, or a map with field and values", file, node.Line, name))
				continue
			}
			sm.Fields[name] = Target{t.Field, t.Values}
		}
		m.Sources = append(m.Sources, sm)
	}
	return m, errors.Join(errs...)
}

// covering gives the sources that cover l, most specific first.
func (m *Mapping) covering(l LogSource) []*SourceMapping {
	var out []*SourceMapping
	for i := range m.Sources {
		if m.Sources[i].LogSource.Covers(l) {
			out = append(out, &m.Sources[i])
		}
	}
	weight := func(s *SourceMapping) (n int) {
		for _, a := range []string{s.LogSource.Category, s.LogSource.Product, s.LogSource.Service} {
			if a != "" {
				n++
			}
		}
		return n
	}
	slices.SortStableFunc(out, func(a, b *SourceMapping) int { return weight(b) - weight(a) })
	return out
}

// Field translates a field name for a log source; a name that no source maps
// is its own target.
func (m *Mapping) Field(l LogSource, name string) Target {
	for _, s := range m.covering(l) {
		if t, ok := s.Fields[name]; ok {
			return t
		}
	}
	return Target{Field: name}
}

// Keywords gives the fields for unbound values of a log source.
func (m *Mapping) Keywords(l LogSource) []string {
	for _, s := range m.covering(l) {
		if len(s.Keywords) > 0 {
			return s.Keywords
		}
	}
	return nil
}

// Schema gives a schema of all target fields, sorted by name.
func (m *Mapping) Schema() (*Schema, error) {
	seen := map[string]bool{}
	for n := range m.Types {
		seen[n] = true
	}
	for _, s := range m.Sources {
		for _, t := range s.Fields {
			name, _, err := splitElement(t.Field)
			if err != nil {
				return nil, err
			}
			seen[name] = true
		}
		for _, k := range s.Keywords {
			seen[k] = true
		}
	}
	var fields []Field
	for n := range seen {
		k := m.Types[n]
		if k == KindInvalid {
			k = KindText
		}
		fields = append(fields, Field{n, k})
	}
	slices.SortFunc(fields, func(a, b Field) int { return strings.Compare(a.Name, b.Name) })
	return NewSchema(fields)
}

// wholeField is the element of a target that is not one element of a list.
const wholeField = -1

// maxElement bounds the index of name[i].
const maxElement = 1023

// splitElement takes name[i] apart; without brackets the element is wholeField.
func splitElement(target string) (name string, element int32, err error) {
	name, rest, ok := strings.Cut(target, "[")
	if !ok {
		return target, wholeField, nil
	}
	i, err := strconv.Atoi(strings.TrimSuffix(rest, "]"))
	if err != nil || !strings.HasSuffix(rest, "]") || i < 0 || i > maxElement {
		return "", 0, fmt.Errorf("field %q: expected name[0] to name[%d]", target, maxElement)
	}
	return name, int32(i), nil
}
