package ruleset

import (
	"bytes"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"

	"github.com/hauberk/hauberk/internal/durable"
)

// A snapshot is all files of a set.
type snapshot struct {
	Rules      []byte
	Classes    []byte            // nil: none
	Thresholds []byte            // nil: none
	Beside     map[string][]byte // by name beside the rule file; the name is of the content
}

// has says whether writing o would change nothing: files that o has not stay as they are.
func (s *snapshot) has(o *snapshot) bool {
	same := func(now, next []byte) bool { return next == nil || bytes.Equal(now, next) }
	return bytes.Equal(s.Rules, o.Rules) && same(s.Classes, o.Classes) && same(s.Thresholds, o.Thresholds) &&
		maps.EqualFunc(s.Beside, o.Beside, bytes.Equal)
}

// A place is where the files of a snapshot are.
type place struct {
	dir        string
	thresholds string // file; "": threshold.config in dir
}

func (p place) file(name string) string { return filepath.Join(p.dir, filepath.FromSlash(name)) }

func (p place) thresholdFile() string {
	if p.thresholds != "" {
		return p.thresholds
	}
	return p.file("threshold.config")
}

// read gives the snapshot that is there; without any it is empty.
func (p place) read() (*snapshot, error) {
	s := &snapshot{Beside: map[string][]byte{}}
	for _, f := range []struct {
		data *[]byte
		path string
	}{{&s.Rules, p.file(RuleFile)}, {&s.Classes, p.file("classification.config")}, {&s.Thresholds, p.thresholdFile()}} {
		data, err := readIfThere(f.path)
		if err != nil {
			return nil, err
		}
		*f.data = data
	}
	names, err := p.beside()
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		// What a sensor saves there itself is not ours.
		data, err := os.ReadFile(p.file(name))
		if err != nil {
			return nil, err
		}
		if strings.HasPrefix(name, "datasets/"+digest(data)) && bytes.Contains(s.Rules, []byte(name)) {
			s.Beside[name] = data
		}
	}
	return s, nil
}

// beside lists the files in the folder of datasets.
func (p place) beside() ([]string, error) {
	entries, err := os.ReadDir(p.file("datasets"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var names []string
	for _, e := range entries {
		if e.Type().IsRegular() {
			names = append(names, "datasets/"+e.Name())
		}
	}
	return names, err
}

// write puts a snapshot there: first what rules refer to, the rules last.
func (p place) write(s *snapshot) error {
	for name, data := range s.Beside {
		if err := replace(p.file(name), data); err != nil {
			return err
		}
	}
	for _, f := range []struct {
		data []byte
		path string
	}{{s.Classes, p.file("classification.config")}, {s.Thresholds, p.thresholdFile()}, {s.Rules, p.file(RuleFile)}} {
		if f.data == nil {
			continue // one that is there is the operator's
		}
		if err := replace(f.path, f.data); err != nil {
			return err
		}
	}
	return nil
}

// prune removes the files with names of content that no snapshot kept refers to.
func (p place) prune(kept ...*snapshot) error {
	names, err := p.beside()
	if err != nil {
		return err
	}
	var failed error
	for _, name := range names {
		used := false
		for _, s := range kept {
			used = used || s.Beside[name] != nil
		}
		data, err := os.ReadFile(p.file(name))
		if err == nil && !used && strings.HasPrefix(name, "datasets/"+digest(data)) {
			err = os.Remove(p.file(name))
		}
		failed = errors.Join(failed, err)
	}
	return failed
}

// replace writes a file and the folders above it, unless it has that content.
func replace(path string, data []byte) error {
	if now, err := os.ReadFile(path); err == nil && bytes.Equal(now, data) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return durable.WriteFile(path, data, 0o644)
}
