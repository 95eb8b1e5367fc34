package state

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// loadJSON reads an array of objects, at the top or where ArrayKey says.
func (s *Set) loadJSON(text []byte) error {
	var root json.RawMessage
	if err := json.Unmarshal(text, &root); err != nil {
		return fmt.Errorf("dataset: %s failed to parse from '%s': %w", s.spec.Name, s.spec.Load, err)
	}
	list, ok := at(root, s.spec.ArrayKey)
	var objects []json.RawMessage
	if !ok || json.Unmarshal(list, &objects) != nil {
		return fmt.Errorf("dataset: %s failed to parse from '%s': no array", s.spec.Name, s.spec.Load)
	}
	for _, o := range objects {
		if err := s.addJSON(o); err != nil {
			return err
		}
	}
	return nil
}

// loadLines reads an object a line.
func (s *Set) loadLines(text []byte) error {
	for line := range bytes.Lines(text) {
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		if !json.Valid(line) {
			return fmt.Errorf("dataset: %s failed to parse line '%s'", s.spec.Name, bytes.TrimSpace(line))
		}
		if err := s.addJSON(line); err != nil {
			return err
		}
	}
	return nil
}

// addJSON puts the value of an object in; an object without one does not count,
// and of equal ones the first does.
func (s *Set) addJSON(o []byte) error {
	raw, ok := at(o, s.spec.ValueKey)
	if !ok {
		return nil
	}
	var text string
	if raw[0] != '"' || json.Unmarshal(raw, &text) != nil {
		return fmt.Errorf("dataset: %s failed to get value because it is not a string", s.spec.Name)
	}
	key := []byte(text)
	var err error
	switch s.spec.Kind {
	case MD5, SHA256:
		if key, err = hex.DecodeString(text); err != nil || len(key) != s.spec.Kind.size() {
			err = errors.New("bad hash")
		}
	case IPv4, IP:
		key, err = s.parseAddr(text, true)
	}
	if err != nil {
		return fmt.Errorf("%w for dataset %s/%s", err, s.spec.Name, s.spec.Load)
	}
	if s.spec.RemoveKey {
		o = without(o, s.spec.ValueKey)
	}
	var b bytes.Buffer
	if err := json.Compact(&b, o); err != nil {
		return err
	}
	s.add(key, value{context: b.String()})
	return nil
}

// at is the value at a path, with dots between the names; "" is the whole.
func at(raw []byte, path string) ([]byte, bool) {
	for path != "" {
		var name string
		name, path, _ = strings.Cut(path, ".")
		var members map[string]json.RawMessage
		if json.Unmarshal(raw, &members) != nil {
			return nil, false
		}
		next, ok := members[name]
		if !ok {
			return nil, false
		}
		raw = next
	}
	raw = bytes.TrimSpace(raw)
	return raw, len(raw) > 0
}

// without is an object without the member at a path. The others keep their order.
func without(raw []byte, path string) []byte {
	name, rest, deeper := strings.Cut(path, ".")
	d := json.NewDecoder(bytes.NewReader(raw))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return raw
	}
	out := []byte{'{'}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return raw
		}
		var v json.RawMessage
		if err := d.Decode(&v); err != nil {
			return raw
		}
		if key == name {
			if !deeper {
				continue
			}
			v = without(v, rest)
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		quoted, err := json.Marshal(key)
		if err != nil {
			return raw
		}
		out = append(append(append(out, quoted...), ':'), v...)
	}
	return append(out, '}')
}
