package ruleset

import (
	"fmt"
	"path"
	"strconv"
	"strings"

	"github.com/hauberk/hauberk/suricata/pcre"
)

// A matcher picks rules.
type matcher interface{ match(*Rule) bool }

// matcherDoc is what parseMatcher takes, for errors.
const matcherDoc = "want a sid, gid:sid, gid:sid:rev, re:EXPRESSION, group:FILE, filename:PATH, metadata:KEY VALUE, or *"

// parseMatcher reads one matcher.
func parseMatcher(text string) (matcher, error) {
	kind, arg, _ := strings.Cut(text, ":")
	arg = strings.TrimSpace(arg)
	switch {
	case text == "*":
		return everything{}, nil
	case kind == "re" && arg != "":
		re, err := pcre.Compile(arg, pcre.Caseless)
		if err != nil {
			return nil, fmt.Errorf("expression %q: %w", arg, err)
		}
		return expression{re}, nil
	case kind == "group" && arg != "":
		return group(arg), nil
	case strings.HasSuffix(text, ".rules") && kind == text:
		return group(text), nil
	case kind == "filename" && arg != "":
		return filename(arg), nil
	case kind == "metadata":
		if key, value, ok := strings.Cut(arg, " "); ok {
			return metadata{key, strings.TrimSpace(value)}, nil
		}
	default:
		if ids, ok := parseIDs(text); ok {
			return ids, nil
		}
	}
	return nil, fmt.Errorf("%q: %s", text, matcherDoc)
}

type everything struct{}

func (everything) match(*Rule) bool { return true }

// ids are rules by identity; a revision of anyRev means each.
type ids map[ID]map[uint32]bool

const anyRev = ^uint32(0)

// parseIDs reads sid, gid:sid or gid:sid:rev, several with commas between.
func parseIDs(text string) (ids, bool) {
	set := ids{}
	for part := range strings.SplitSeq(text, ",") {
		var n []uint32
		for field := range strings.SplitSeq(strings.TrimSpace(part), ":") {
			v, err := strconv.ParseUint(field, 10, 32)
			if err != nil || len(n) == 3 {
				return nil, false
			}
			n = append(n, uint32(v))
		}
		id, rev := ID{1, n[0]}, anyRev
		if len(n) > 1 {
			id = ID{n[0], n[1]}
		}
		if len(n) > 2 {
			rev = n[2]
		}
		set.add(id, rev)
	}
	return set, true
}

func (s ids) add(id ID, rev uint32) {
	if s[id] == nil {
		s[id] = map[uint32]bool{}
	}
	s[id][rev] = true
}

func (s ids) match(r *Rule) bool {
	revs := s[r.ID]
	return revs[anyRev] || revs[r.Rev]
}

// expression matches anywhere in the rule's text, in either case.
type expression struct{ re *pcre.Regexp }

func (e expression) match(r *Rule) bool {
	var s pcre.Scratch
	_, _, ok, err := e.re.Match(&s, []byte(r.Text), 0)
	return ok && err == nil
}

// group is a pattern for the name of the rule's file, with or without its extension.
type group string

func (g group) match(r *Rule) bool {
	name := path.Base(r.File)
	return wildcard(string(g), name) || wildcard(string(g), strings.TrimSuffix(name, path.Ext(name)))
}

// filename is a pattern for the path of the rule's file within its source, or with the source before it.
type filename string

func (f filename) match(r *Rule) bool {
	_, within, _ := strings.Cut(r.File, "/")
	return wildcard(string(f), within) || wildcard(string(f), r.File)
}

// metadata is a key with a value, in either case.
type metadata struct{ key, value string }

func (m metadata) match(r *Rule) bool {
	for name, arg := range r.options {
		if name != "metadata" {
			continue
		}
		for entry := range strings.SplitSeq(arg, ",") {
			key, value, _ := strings.Cut(strings.TrimSpace(entry), " ")
			if strings.EqualFold(key, m.key) && strings.EqualFold(strings.TrimSpace(value), m.value) {
				return true
			}
		}
	}
	return false
}

// wildcard matches as a shell does, but * and ? match a slash too
// (fnmatch(3) without FNM_PATHNAME). Its time is linear in the product of both lengths.
func wildcard(pattern, name string) bool {
	star, retry := -1, 0
	p, n := 0, 0
	for n < len(name) {
		size, ok := matchOne(pattern[p:], name[n])
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, retry = p, n
			p++
		case ok:
			p += size
			n++
		case star >= 0:
			retry++
			p, n = star+1, retry
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}

// matchOne matches a byte with the first element of a pattern that is no star:
// a byte, ?, or a class such as [a-z] or [!0]; size is how long the element is.
func matchOne(pattern string, c byte) (size int, ok bool) {
	if pattern == "" {
		return 0, false
	}
	end := strings.IndexByte(pattern[1:], ']') // of a class, from its second byte
	switch {
	case pattern[0] == '?':
		return 1, true
	case pattern[0] != '[' || end < 1:
		return 1, pattern[0] == c
	}
	class := pattern[1 : 1+end]
	not := class[0] == '!' && len(class) > 1
	if not {
		class = class[1:]
	}
	in := false
	for i := 0; i < len(class); i++ {
		if i+2 < len(class) && class[i+1] == '-' {
			in = in || class[i] <= c && c <= class[i+2]
			i += 2
			continue
		}
		in = in || class[i] == c
	}
	return end + 2, in != not
}

// lines calls yield with each line of a file of the operator's that says
// something, and its number. What follows " #" is a comment.
func lines(text []byte) func(yield func(int, string) bool) {
	return func(yield func(int, string) bool) {
		n := 0
		for line := range strings.Lines(string(text)) {
			n++
			line, _, _ = strings.Cut(strings.TrimSpace(line), " #")
			line = strings.TrimSpace(line)
			if line == "" || line[0] == '#' {
				continue
			}
			if !yield(n, line) {
				return
			}
		}
	}
}

// parseMatchers reads an enable, disable or drop file. Those by identity become one.
func parseMatchers(f File) (list []matcher, problems []error) {
	all := ids{}
	for n, line := range lines(f.Data) {
		m, err := parseMatcher(line)
		if err != nil {
			problems = append(problems, fmt.Errorf("%s:%d: %w", f.Name, n, err))
			continue
		}
		if some, ok := m.(ids); ok {
			for id, revs := range some {
				for rev := range revs {
					all.add(id, rev)
				}
			}
			continue
		}
		list = append(list, m)
	}
	if len(all) > 0 {
		list = append(list, all)
	}
	return list, problems
}

func matches(list []matcher, r *Rule) bool {
	for _, m := range list {
		if m.match(r) {
			return true
		}
	}
	return false
}
