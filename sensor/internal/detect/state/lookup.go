package state

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/hauberk/hauberk/suricata"
)

// Lookup is a dataset, datajson or datarep condition of a rule.
type Lookup struct {
	set       *Set
	cmd       string // isset, isnotset, set, unset, or datarep's <, > or ==.
	score     uint16 // Of datarep.
	key       string // What an alert calls the context; "": it has none.
	subdomain bool
}

// Context is what a set knows of a value, for the alert.
type Context struct{ Key, JSON string }

// Lookup is what Prepare made of a condition, nil if it was not asked to.
func (d *Data) Lookup(s *suricata.DataStep) *Lookup { return d.found[s] }

func (d *Data) lookup(s *suricata.DataStep, dir string) (*Lookup, error) {
	switch v := s.Value.(type) {
	case *suricata.Dataset:
		return d.dataset(v, dir)
	case suricata.List:
		return d.datarep(v, dir)
	}
	return nil, errors.New("not a condition on datasets")
}

// options reads "key value" pairs into a spec.
func (d *Data) options(spec *Spec, l *Lookup, opts []string, dir string) error {
	var state bool
	for _, o := range opts {
		key, v, _ := strings.Cut(strings.TrimSpace(o), " ")
		v = strings.TrimSpace(v)
		var err error
		switch key {
		case "type":
			spec.Kind, err = kindOf(v)
		case "load":
			spec.Load = v
		case "save":
			spec.Save = v
		case "state":
			spec.Load, spec.Save, state = v, v, true
		case "memcap":
			spec.Memcap, err = parseSize(v)
		case "hashsize":
			var n uint64
			n, err = parseSize(v)
			spec.HashSize = uint32(n)
		case "format":
			spec.Format = Format(v)
		case "value_key":
			spec.ValueKey = v
		case "array_key":
			spec.ArrayKey = v
		case "context_key":
			l.key = v
		case "remove_key":
			spec.RemoveKey = true
		case "match":
			l.subdomain = v == "subdomain"
		case "key":
			err = fmt.Errorf("unknown option %s", key)
		}
		if err != nil {
			return err
		}
	}
	return d.resolve(spec, state, dir)
}

// resolve finds the files of a spec.
func (d *Data) resolve(spec *Spec, state bool, dir string) (err error) {
	if spec.Save != "" {
		if spec.Save, err = d.savePath(spec.Save); err != nil {
			return err
		}
	}
	switch {
	case state:
		spec.Load = spec.Save
	case spec.Load != "":
		spec.Load = d.loadPath(spec.Load, dir)
	}
	return nil
}

func (d *Data) dataset(v *suricata.Dataset, dir string) (*Lookup, error) {
	l := &Lookup{cmd: v.Cmd}
	kind, err := kindOf(v.Type)
	if err != nil {
		return nil, err
	}
	spec := Spec{Name: v.Name, Kind: kind}
	if err := d.options(&spec, l, v.Opts, dir); err != nil {
		return nil, err
	}
	switch spec.Format {
	case "", CSV:
		l.key = ""
	case JSON, NDJSON:
		switch {
		case v.Cmd == "set" || v.Cmd == "unset":
			return nil, fmt.Errorf("json format is not supported for '%s' command", v.Cmd)
		case spec.Save != "":
			return nil, errors.New("json format is not supported with 'save' or 'state' option")
		case l.key == "":
			return nil, errors.New("json format needs a 'context_key' parameter")
		case spec.ValueKey == "":
			return nil, errors.New("json format needs a 'value_key' parameter")
		}
	default:
		return nil, fmt.Errorf("unknown format %s", spec.Format)
	}
	l.set, err = d.Define(spec)
	return l, err
}

// datarep reads "name, op, score, options".
func (d *Data) datarep(v suricata.List, dir string) (*Lookup, error) {
	if len(v) < 3 {
		return nil, errors.New("datarep needs a name, an operator and a value")
	}
	l := &Lookup{cmd: strings.TrimSpace(v[1])}
	switch l.cmd {
	case "<", ">", "==":
	case "=":
		l.cmd = "=="
	default:
		return nil, fmt.Errorf("bad operator %q", l.cmd)
	}
	n, err := strconv.ParseUint(strings.TrimSpace(v[2]), 10, 16)
	if err != nil {
		return nil, fmt.Errorf("bad value %q", v[2])
	}
	l.score = uint16(n)
	spec := Spec{Name: strings.TrimSpace(v[0])}
	if err := d.options(&spec, l, v[3:], dir); err != nil {
		return nil, err
	}
	l.set, err = d.Define(spec)
	return l, err
}

// maxParents is how many parent domains of a name are looked up.
const maxParents = 10

// Match looks a value up, or changes the set: set matches a value that is new,
// unset one that was there.
func (l *Lookup) Match(data []byte) (Context, bool) {
	if len(data) == 0 {
		return Context{}, false
	}
	switch l.cmd {
	case "set":
		return Context{}, l.set.add(data, value{})
	case "unset":
		return Context{}, l.set.remove(data)
	}
	v, found := l.set.has(data)
	if !found && l.subdomain {
		v, found = l.parent(data)
	}
	switch l.cmd {
	case "isset":
		if found && l.key != "" {
			return Context{l.key, v.context}, true
		}
		return Context{}, found
	case "isnotset":
		return Context{}, !found
	case "<":
		return Context{}, found && v.reputation < l.score
	case ">":
		return Context{}, found && v.reputation > l.score
	}
	return Context{}, found && v.reputation == l.score
}

// parent looks the parent domains of a name up, with the dot before them.
func (l *Lookup) parent(name []byte) (value, bool) {
	for i, n := 1, 0; i < len(name) && n < maxParents; n++ {
		dot := bytes.IndexByte(name[i:], '.')
		if dot < 0 {
			break
		}
		i += dot
		if name[i-1] != '.' {
			if v, ok := l.set.has(name[i:]); ok {
				return v, true
			}
		}
		i++
	}
	return value{}, false
}

// parseSize reads a number with kb, mb or gb behind it.
func parseSize(text string) (uint64, error) {
	lower := strings.ToLower(strings.TrimSpace(text))
	shift := 0
	for suffix, s := range map[string]int{"kb": 10, "mb": 20, "gb": 30} {
		if rest, ok := strings.CutSuffix(lower, suffix); ok {
			lower, shift = strings.TrimSpace(rest), s
		}
	}
	n, err := strconv.ParseUint(lower, 10, 64-shift-1)
	if err != nil {
		return 0, fmt.Errorf("bad size %q", text)
	}
	return n << shift, nil
}
