// Package state is what rules know beyond packets and flows: datasets
// (dataset.go, datajson.go) and the reputation of addresses (reputation.go).
// [Data] holds all of it and gives rules what they name in it (lookup.go).
//
// It is filled while rules are compiled, and belongs to one pipeline after that.
package state

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/hauberk/hauberk/internal/durable"
	"github.com/hauberk/hauberk/suricata"
)

// Config is what suricata.yaml says of datasets.
type Config struct {
	// Dir is the data directory: sets are saved there.
	Dir string
	// ForbidWrite forbids rules to save sets, AllowAbsolute lets them name
	// files anywhere.
	ForbidWrite, AllowAbsolute bool
	// Memcap (bytes; 0: none) and HashSize (rows) of sets that say nothing.
	Memcap   uint64
	HashSize uint32
	// MaxHashSize bounds the rows of one set, MaxHashSizes those of all; 0: no bound.
	MaxHashSize, MaxHashSizes uint32
}

// defaultHashSize is how many rows Suricata gives a set.
const defaultHashSize = 4096

// Data is all that rules know beyond packets and flows. The zero value has
// nothing and no place to save to.
type Data struct {
	Reputation Reputation

	config Config
	sets   map[string]*Set
	before map[string]*Set // Of the data that this replaces.
	order  []*Set          // As they were defined.
	rows   uint64          // Of all sets.
	found  map[*suricata.DataStep]*Lookup
}

// New returns data without any set.
func New(c Config) *Data {
	if c.HashSize == 0 {
		c.HashSize = defaultHashSize
	}
	return &Data{config: c, sets: map[string]*Set{}, found: map[*suricata.DataStep]*Lookup{}}
}

// Prepare defines the sets that a rule names and checks that its categories
// of reputation are there.
func (d *Data) Prepare(c *suricata.Compiled) error {
	for _, chain := range c.Chains() {
		for _, step := range chain.Steps {
			s, ok := step.(*suricata.DataStep)
			if !ok {
				continue
			}
			l, err := d.lookup(s, filepath.Dir(c.Rule.File))
			if err != nil {
				return fmt.Errorf("%s:%d: sid %d: %s: %w", c.Rule.File, c.Line, c.SID, s.Keyword, err)
			}
			d.found[s] = l
		}
	}
	for _, o := range c.Flow {
		if v, ok := o.Value.(*suricata.Reputation); ok && !d.Reputation.Knows(v.Category) {
			return fmt.Errorf("%s:%d: sid %d: iprep: unknown category %q", c.Rule.File, c.Line, c.SID, v.Category)
		}
	}
	return nil
}

// Inherit lets the sets that rules change live on from the data before, which
// a pipeline may be using: of those nothing but what they are is looked at. Sets
// that are only read are read again.
func (d *Data) Inherit(before *Data) {
	if before != nil {
		d.before = before.sets
	}
}

// DefineByName defines a set by the options of suricata.yaml, each "key value".
func (d *Data) DefineByName(name string, options []string) error {
	spec := Spec{Name: name}
	// What the configuration names may lie anywhere.
	anywhere := *d
	anywhere.config.ForbidWrite, anywhere.config.AllowAbsolute = false, true
	if err := anywhere.options(&spec, &Lookup{}, options, ""); err != nil {
		return fmt.Errorf("dataset %s: %w", name, err)
	}
	_, err := d.Define(spec)
	return err
}

// Save writes the sets that are kept to their files.
func (d *Data) Save() error {
	var errs []error
	for _, s := range d.order {
		if s.spec.Save == "" {
			continue
		}
		if err := durable.WriteFile(s.spec.Save, s.text(), 0o644); err != nil {
			errs = append(errs, fmt.Errorf("save dataset %s: %w", s.spec.Name, err))
		}
	}
	return errors.Join(errs...)
}

// loadPath is where a file to load is: beside the rules, or in the data directory.
func (d *Data) loadPath(file, beside string) string {
	if filepath.IsAbs(file) {
		return file
	}
	for _, dir := range []string{beside, d.config.Dir} {
		path := filepath.Join(dir, file)
		if _, err := os.Stat(path); err == nil && dir != "" {
			return path
		}
	}
	return file
}

// savePath is where a rule may save to: in the data directory.
func (d *Data) savePath(file string) (string, error) {
	switch {
	case d.config.ForbidWrite:
		return "", errors.New("rules may not save datasets (datasets.rules.allow-write)")
	case d.config.AllowAbsolute:
	case filepath.IsAbs(file):
		return "", fmt.Errorf("absolute paths not allowed: %s", file)
	case strings.Contains("/"+filepath.ToSlash(file)+"/", "/../"):
		return "", fmt.Errorf("directory traversals not allowed: %s", file)
	}
	if filepath.IsAbs(file) {
		return file, nil
	}
	return filepath.Join(d.config.Dir, file), nil
}
