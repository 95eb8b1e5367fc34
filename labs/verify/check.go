package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxEvent bounds one line of an event file, bytes.
const maxEvent = 64 << 20

// checkAll makes the checks of a test on the output folder. A check whose own
// needs are not met is left out, as upstream does.
func (r *runner) checkAll(ctx context.Context, t test, out string) error {
	for _, c := range list(t.spec["checks"]) {
		for kind, v := range object(c) {
			check := object(v)
			err := r.require(ctx, object(check["requires"]), t.dir)
			var s skip
			if errors.As(err, &s) {
				continue
			}
			if err != nil {
				return err
			}
			switch kind {
			case "filter":
				err = filter(check, out)
			case "shell":
				err = r.shell(ctx, t, check, out)
			case "stats":
				err = stats(check, out)
			case "file-compare":
				err = fileCompare(t, check, out)
			default:
				err = errors.New("not a known check")
			}
			if err != nil {
				return fmt.Errorf("%s: %w", kind, err)
			}
		}
	}
	return nil
}

// filter counts the events that match.
func filter(check map[string]any, out string) error {
	name := "eve.json"
	if v, ok := check["filename"].(string); ok {
		name = v
	}
	want, ok := check["count"].(int64)
	if !ok {
		return fmt.Errorf("count %v is no number", check["count"])
	}
	match := object(check["match"])
	got := int64(0)
	err := events(filepath.Join(out, name), func(event any) {
		if matches(match, event) {
			got++
		}
	})
	if err == nil && got != want {
		err = fmt.Errorf("%d events, want %d, with %v", got, want, match)
	}
	return err
}

// events calls fn for each line of a file of JSON objects.
func events(path string, fn func(any)) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, maxEvent)
	for n := 1; lines.Scan(); n++ {
		d := json.NewDecoder(bytes.NewReader(lines.Bytes()))
		d.UseNumber()
		var event any
		if err := d.Decode(&event); err != nil {
			return fmt.Errorf("%s:%d: %w", filepath.Base(path), n, err)
		}
		fn(event)
	}
	return lines.Err()
}

func matches(match map[string]any, event any) bool {
	for path, want := range match {
		if !matchOne(path, want, event) {
			return false
		}
	}
	return true
}

func matchOne(path string, want, event any) bool {
	switch path {
	case "has-key":
		got, ok := lookup(fmt.Sprint(want), event)
		return ok && got != nil
	case "not-has-key":
		got, ok := lookup(fmt.Sprint(want), event)
		return !ok || got == nil
	}
	at, op := path, ""
	if i := strings.LastIndex(path, "."); i >= 0 && strings.HasPrefix(path[i+1:], "__") {
		at, op = path[:i], path[i+1:]
	}
	got, ok := lookup(at, event)
	if !ok {
		return false
	}
	switch op {
	case "":
		return equal(got, want)
	case "__len":
		return equal(size(got), want)
	case "__contains", "__find":
		return contains(got, want)
	case "__startswith":
		g, ok := got.(string)
		return ok && strings.HasPrefix(g, fmt.Sprint(want))
	case "__endswith":
		g, ok := got.(string)
		return ok && strings.HasSuffix(g, fmt.Sprint(want))
	}
	g, okG := float(got)
	w, okW := float(want)
	if !okG || !okW {
		return false
	}
	switch op {
	case "__gt":
		return g > w
	case "__gte":
		return g >= w
	case "__lt":
		return g < w
	case "__lte":
		return g <= w
	}
	return false
}

var indexed = regexp.MustCompile(`^(.*)\[([0-9]+)\]$`)

// lookup follows a dotted path with indexes: smtp.rcpt_to[0].
func lookup(path string, v any) (any, bool) {
	for part := range strings.SplitSeq(path, ".") {
		index := -1
		if m := indexed.FindStringSubmatch(part); m != nil {
			n, err := strconv.Atoi(m[2])
			if err != nil {
				return nil, false
			}
			part, index = m[1], n
		}
		m, ok := v.(map[string]any)
		if !ok {
			return nil, false
		}
		if v, ok = m[part]; !ok {
			return nil, false
		}
		if index >= 0 {
			l, ok := v.([]any)
			if !ok || index >= len(l) {
				return nil, false
			}
			v = l[index]
		}
	}
	return v, true
}

// equal compares with the types: 1 is not "1".
func equal(got, want any) bool {
	switch g := got.(type) {
	case []any:
		w, ok := want.([]any)
		if !ok || len(g) != len(w) {
			return false
		}
		for i := range g {
			if !equal(g[i], w[i]) {
				return false
			}
		}
		return true
	case map[string]any:
		w, ok := want.(map[string]any)
		if !ok || len(g) != len(w) {
			return false
		}
		for k := range g {
			if v, ok := w[k]; !ok || !equal(g[k], v) {
				return false
			}
		}
		return true
	case json.Number:
		if w, ok := want.(int64); ok && g.String() == strconv.FormatInt(w, 10) {
			return true
		}
		a, okA := float(g)
		b, okB := float(want)
		_, err := g.Int64()
		_, whole := want.(int64)
		return okA && okB && a == b && !(whole && err == nil)
	case int64, string, bool, nil:
		return g == want
	}
	return false
}

func float(v any) (float64, bool) {
	switch n := v.(type) {
	case json.Number:
		f, err := n.Float64()
		return f, err == nil
	case int64:
		return float64(n), true
	case float64:
		return n, true
	}
	return 0, false
}

// size is the length of what has one, -1 of all else.
func size(v any) any {
	switch v := v.(type) {
	case []any:
		return int64(len(v))
	case map[string]any:
		return int64(len(v))
	case string:
		return int64(utf8.RuneCountInString(v))
	}
	return int64(-1)
}

func contains(v, want any) bool {
	switch v := v.(type) {
	case string:
		return strings.Contains(v, fmt.Sprint(want))
	case []any:
		for _, e := range v {
			if equal(e, want) {
				return true
			}
		}
	case map[string]any:
		_, ok := v[fmt.Sprint(want)]
		return ok
	}
	return false
}

// stats compares with the last stats event.
func stats(check map[string]any, out string) error {
	var last map[string]any
	err := events(filepath.Join(out, "eve.json"), func(event any) {
		if e := object(event); e["event_type"] == "stats" {
			last = object(e["stats"])
		}
	})
	if err != nil {
		return err
	}
	if last == nil {
		return errors.New("no stats event")
	}
	for path, want := range check {
		if path == "requires" {
			continue
		}
		if got, ok := lookup(path, last); !ok || !equal(got, want) {
			return fmt.Errorf("%s is %v, want %v", path, got, want)
		}
	}
	return nil
}

// shell runs a command line in the output folder.
func (r *runner) shell(ctx context.Context, t test, check map[string]any, out string) error {
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	args := fmt.Sprint(check["args"])
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", args)
	cmd.Dir, cmd.Env = out, append(os.Environ(), r.env(t, out)...)
	text, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("%s: %w", args, err)
	}
	want, ok := check["expect"]
	if got := strings.TrimSpace(string(text)); ok && got != fmt.Sprint(want) {
		return fmt.Errorf("%s: printed %q, want %q", args, got, fmt.Sprint(want))
	}
	return nil
}

func fileCompare(t test, check map[string]any, out string) error {
	want, err := os.ReadFile(filepath.Join(t.dir, fmt.Sprint(check["expected"])))
	if err != nil {
		return err
	}
	name := fmt.Sprint(check["filename"])
	got, err := os.ReadFile(filepath.Join(out, name))
	if err == nil && !bytes.Equal(got, want) {
		err = fmt.Errorf("%s differs from %v", name, check["expected"])
	}
	return err
}
