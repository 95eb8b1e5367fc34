package fanotify

import (
	"os"
	"path/filepath"
	"strings"
)

// watch is one path to watch, by its components, which may hold * and ?.
type watch []string

// watches is the list, compiled once.
type watches []watch

func compile(paths []string) watches {
	var ws watches
	for _, path := range paths {
		if path = strings.Trim(path, "/"); path != "" {
			ws = append(ws, strings.Split(path, "/"))
		}
	}
	return ws
}

// match reports whether path is watched, by itself or as part of a watched
// directory.
func (ws watches) match(path string) bool {
	for _, w := range ws {
		if matched, _ := w.compare(path); matched == len(w) {
			return true
		}
	}
	return false
}

// leads reports whether path is a directory above something watched, so that
// its coming and going changes what can be marked.
func (ws watches) leads(path string) bool {
	for _, w := range ws {
		if matched, all := w.compare(path); all && matched < len(w) {
			return true
		}
	}
	return false
}

// compare returns how many components match from the start, and whether the
// whole of path was matched.
func (w watch) compare(path string) (matched int, all bool) {
	path = strings.Trim(path, "/")
	for path != "" {
		component, rest, _ := strings.Cut(path, "/")
		if matched == len(w) {
			return matched, false
		}
		if ok, _ := filepath.Match(w[matched], component); !ok {
			return matched, false
		}
		matched++
		path = rest
	}
	return matched, true
}

// directories calls visit with every directory that must be marked for the
// watches to be seen: those that hold a watched name, those above one that is
// not there yet, and watched directories with all below them. visit returns
// false to end.
func (ws watches) directories(visit func(dir string) bool) {
	seen := map[string]bool{}
	more := true
	mark := func(dir string) {
		if more && !seen[dir] {
			seen[dir] = true
			more = visit(dir)
		}
	}
	for _, w := range ws {
		prefixes := []string{"/"}
		for i, component := range w {
			var next []string
			for _, dir := range prefixes {
				if i == len(w)-1 || strings.ContainsAny(component, "*?[") || !isDirectory(filepath.Join(dir, component)) {
					mark(dir)
				}
				next = append(next, below(dir, component)...)
			}
			prefixes = next
		}
		for _, found := range prefixes {
			filepath.WalkDir(found, func(path string, entry os.DirEntry, err error) error {
				if !more {
					return filepath.SkipAll
				}
				if err == nil && entry.IsDir() {
					mark(path)
				}
				return nil
			})
		}
	}
}

// below returns what exists in dir under the name or pattern.
func below(dir, component string) []string {
	if !strings.ContainsAny(component, "*?[") {
		path := filepath.Join(dir, component)
		if _, err := os.Lstat(path); err != nil {
			return nil
		}
		return []string{path}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	var found []string
	for _, entry := range entries {
		if ok, _ := filepath.Match(component, entry.Name()); ok {
			found = append(found, filepath.Join(dir, entry.Name()))
		}
	}
	return found
}

func isDirectory(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && info.IsDir()
}
