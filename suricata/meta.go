package suricata

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

func parseClasstype(a arg) (Value, error) {
	if strings.ContainsAny(a.text, " \t,;") {
		return nil, fmt.Errorf("%q is no class", a.text)
	}
	return Text(a.text), nil
}

// Reference is the argument of reference: a system of reference.config and an id.
type Reference struct{ System, ID string }

// String is system,id.
func (r Reference) String() string { return r.System + "," + r.ID }

func parseReference(a arg) (Value, error) {
	system, id, ok := strings.Cut(a.text, ",")
	r := Reference{strings.ToLower(strings.TrimSpace(system)), strings.TrimSpace(id)}
	if !ok || r.System == "" || r.ID == "" {
		return nil, errors.New("needs system,id")
	}
	return r, nil
}

// Metadata is the argument of metadata: keys and values in order.
type Metadata []Pair

// Pair is one entry of Metadata.
type Pair struct{ Key, Value string }

// String is "key value" with commas.
func (m Metadata) String() string {
	out := make([]string, len(m))
	for i, p := range m {
		out[i] = p.Key
		if p.Value != "" {
			out[i] += " " + p.Value
		}
	}
	return strings.Join(out, ", ")
}

func parseMetadata(a arg) (Value, error) {
	var m Metadata
	for _, part := range splitList(a.text) {
		if part == "" {
			continue
		}
		key, value, _ := strings.Cut(part, " ")
		m = append(m, Pair{key, strings.TrimSpace(value)})
	}
	return m, nil
}

// Version is what `requires: version` is compared with.
const Version = "8.0.8"

// features are what `requires: feature` finds here.
var features = []string{"ja3", "ja4"}

// Requires is the argument of requires: all of it must be met.
type Requires struct {
	Versions [][]VersionBound // any line, all of its bounds
	Features []string
	Keywords []string
	Unknown  []string // requirements of later versions: never met
}

// VersionBound is an operator and a version.
type VersionBound struct{ Op, Version string }

// String is the requirements with commas.
func (r *Requires) String() string {
	var out List
	if len(r.Versions) > 0 {
		lines := make([]string, len(r.Versions))
		for i, bounds := range r.Versions {
			for j, b := range bounds {
				if j > 0 {
					lines[i] += " "
				}
				lines[i] += b.Op + " " + b.Version
			}
		}
		out = append(out, "version "+strings.Join(lines, " | "))
	}
	for _, f := range r.Features {
		out = append(out, "feature "+f)
	}
	for _, k := range r.Keywords {
		out = append(out, "keyword "+k)
	}
	return append(out, r.Unknown...).String()
}

func parseRequires(a arg) (Value, error) {
	r := &Requires{}
	for _, part := range splitList(a.text) {
		n := 0
		for n < len(part) && isAlpha(part[n]) {
			n++
		}
		value := strings.TrimSpace(part[n:])
		switch part[:n] {
		case "feature":
			r.Features = append(r.Features, value)
		case "keyword":
			r.Keywords = append(r.Keywords, value)
		case "version":
			if r.Versions != nil {
				return nil, errors.New("version is given twice")
			}
			for _, line := range strings.Split(value, "|") {
				bounds, err := parseBoundsLine(line)
				if err != nil {
					return nil, err
				}
				r.Versions = append(r.Versions, bounds)
			}
		default:
			r.Unknown = append(r.Unknown, strings.Join(strings.Fields(part), " "))
		}
	}
	return r, nil
}

func parseBoundsLine(line string) (out []VersionBound, err error) {
	words := strings.Fields(strings.NewReplacer(">=", " >= ", "<=", " <= ", ">", " > ", "<", " < ").Replace(line))
	if len(words) == 0 || len(words)%2 != 0 {
		return nil, fmt.Errorf("version %q is not operator and version", line)
	}
	for i := 0; i < len(words); i += 2 {
		if !slices.Contains([]string{">=", "<=", ">", "<"}, words[i]) {
			return nil, fmt.Errorf("unknown operator %q", words[i])
		}
		if _, err := versionOf(words[i+1]); err != nil {
			return nil, err
		}
		out = append(out, VersionBound{words[i], words[i+1]})
	}
	return out, nil
}

func versionOf(s string) (v [3]int, err error) {
	s, _, _ = strings.Cut(s, "-")
	parts := strings.Split(s, ".")
	if len(parts) > len(v) {
		return v, fmt.Errorf("%q is no version", s)
	}
	for i, p := range parts {
		if v[i], err = strconv.Atoi(p); err != nil {
			return v, fmt.Errorf("%q is no version", s)
		}
	}
	return v, nil
}

// unmet says which requirement this implementation does not meet, "" if none.
func (r *Requires) unmet() string {
	if len(r.Unknown) > 0 {
		return fmt.Sprintf("unknown requirement %q", r.Unknown[0])
	}
	for _, f := range r.Features {
		if !slices.Contains(features, strings.ToLower(f)) {
			return fmt.Sprintf("feature %q is absent", f)
		}
	}
	for _, k := range r.Keywords {
		if kw, ok := LookupKeyword(k); !ok || kw.Unsupported != "" {
			return fmt.Sprintf("keyword %q is absent", k)
		}
	}
	if len(r.Versions) > 0 && !slices.ContainsFunc(r.Versions, boundsMet) {
		return "version " + Version + " is not asked for"
	}
	return ""
}

func boundsMet(bounds []VersionBound) bool {
	own, _ := versionOf(Version)
	for _, b := range bounds {
		v, _ := versionOf(b.Version)
		c := slices.Compare(own[:], v[:])
		if ok := map[string]bool{">=": c >= 0, "<=": c <= 0, ">": c > 0, "<": c < 0}[b.Op]; !ok {
			return false
		}
	}
	return true
}
