package main

import (
	"bufio"
	"cmp"
	_ "embed" // for the list of accepted differences
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// acceptedText is the differences that are accepted: a kind, how many, and why.
//
//go:embed accepted.txt
var acceptedText string

// verify lets both sensors read every capture once, in one process each, and
// compares their events: alerts by rule and flow, transactions field by field.
func (b *bench) verify() error {
	b.small, b.large = 1, 0
	if err := b.prepare(); err != nil {
		return err
	}
	defer os.RemoveAll(b.work)
	if _, err := command("go", "run", "./tools/benchmix", "-data", b.data, "-once", "-o", filepath.Join(b.work, largeMix)); err != nil {
		return err
	}
	ours, theirs, err := b.sensors()
	if err != nil {
		return err
	}
	var sets [2]records
	for i, s := range []*sensor{ours, theirs} {
		if _, err := s.run(largeMix, false); err != nil {
			return err
		}
		if sets[i], err = readRecords(filepath.Join(s.out, "eve.json")); err != nil {
			return err
		}
	}
	accepted, err := parseAccepted(acceptedText)
	if err != nil {
		return err
	}
	return judge(compare(sets[0], sets[1]), accepted)
}

// records is the objects of events by their kind and the ends of their flow, in
// order.
type records map[recordKey][]map[string]any

type recordKey struct{ kind, flow string }

func readRecords(path string) (records, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read events: %w", err)
	}
	defer f.Close()
	set := records{}
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		var event map[string]any
		if err := json.Unmarshal(lines.Bytes(), &event); err != nil {
			return nil, fmt.Errorf("read events: %w", err)
		}
		kind, _ := event["event_type"].(string)
		if kind == "stats" {
			continue
		}
		a := fmt.Sprint(event["src_ip"], " ", event["src_port"])
		b := fmt.Sprint(event["dest_ip"], " ", event["dest_port"])
		key := recordKey{kind, fmt.Sprint(event["proto"], " ", min(a, b), " ", max(a, b))}
		body, _ := event[kind].(map[string]any)
		if kind == "alert" {
			key.kind = fmt.Sprintf("alert %.0f", body["signature_id"])
			body = nil // What it says is the rule's.
		}
		set[key] = append(set[key], body)
	}
	return set, lines.Err()
}

// difference is one kind of difference.
type difference struct {
	count   int
	example string
}

// compare counts what ours lacks, has beyond, or says otherwise.
func compare(ours, theirs records) map[string]difference {
	found := map[string]difference{}
	note := func(kind string, n int, key recordKey) {
		d := found[kind]
		if d.count += n; d.example == "" {
			d.example = key.flow
		}
		found[kind] = d
	}
	keys := maps.Clone(ours)
	maps.Copy(keys, theirs)
	for key := range keys {
		a, b := ours[key], theirs[key]
		if n := len(b) - len(a); n > 0 {
			note("missing "+key.kind, n, key)
		} else if n < 0 {
			note("surplus "+key.kind, -n, key)
		}
		if key.kind == "flow" {
			continue // Its counts and times are the sensors' own.
		}
		for i := range min(len(a), len(b)) {
			x, y := map[string]string{}, map[string]string{}
			flatten(x, key.kind, a[i])
			flatten(y, key.kind, b[i])
			for path, value := range y {
				if have, ok := x[path]; !ok {
					note("missing field "+path, 1, key)
				} else if have != value {
					note("other field "+path, 1, key)
				}
			}
			for path := range x {
				if _, ok := y[path]; !ok {
					note("surplus field "+path, 1, key)
				}
			}
		}
	}
	return found
}

// flatten writes the leaves of a value by their paths; places in lists do not
// count for the path, but for the value.
func flatten(out map[string]string, path string, value any) {
	switch v := value.(type) {
	case map[string]any:
		for name, member := range v {
			flatten(out, path+"."+name, member)
		}
	case []any:
		for _, member := range v {
			flatten(out, path+"[]", member)
		}
	default:
		out[path] += fmt.Sprint(v) + "\n"
	}
}

// parseAccepted reads lines of a count, a kind and, behind a colon, the cause.
func parseAccepted(text string) (map[string]int, error) {
	accepted := map[string]int{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		what, cause, _ := strings.Cut(line, ": ")
		number, kind, _ := strings.Cut(what, " ")
		n, err := strconv.Atoi(number)
		switch {
		case err != nil || kind == "" || cause == "":
			return nil, fmt.Errorf("accepted.txt: %q is not COUNT KIND: CAUSE", line)
		case strings.HasPrefix(kind, "missing alert"):
			return nil, errors.New("accepted.txt: a missing alert is never accepted")
		}
		accepted[kind] = n
	}
	return accepted, nil
}

// judge prints the differences that are not accepted, the most frequent first,
// and fails if there are any.
func judge(found map[string]difference, accepted map[string]int) error {
	kinds := slices.SortedFunc(maps.Keys(found), func(a, b string) int {
		return cmp.Or(cmp.Compare(found[b].count, found[a].count), cmp.Compare(a, b))
	})
	open := 0
	for _, kind := range kinds {
		if d := found[kind]; d.count > accepted[kind] {
			open++
			fmt.Printf("%7d %s (accepted: %d), such as %s\n", d.count, kind, accepted[kind], d.example)
		}
	}
	fmt.Printf("%d kinds of difference, %d of them not accepted\n", len(found), open)
	if open > 0 {
		return errors.New("the sensors differ")
	}
	return nil
}
