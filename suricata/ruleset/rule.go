package ruleset

import (
	"strconv"
	"strings"
)

// A Rule is the text of a rule with what tuning asks of it.
type Rule struct {
	Text    string // on one line, without the # of a disabled rule
	Enabled bool
	File    string // where it came from, as source/path
	ID      ID
	Rev     uint32
}

// ID names a rule.
type ID struct{ GID, SID uint32 }

// String is gid:sid, or the sid alone of the usual gid 1.
func (id ID) String() string {
	sid := strconv.FormatUint(uint64(id.SID), 10)
	if id.GID == 1 {
		return sid
	}
	return strconv.FormatUint(uint64(id.GID), 10) + ":" + sid
}

// parseRule reads a line of a rule file; false if it is no rule: a comment, an
// empty line, or a text without sid.
func parseRule(line, file string) (*Rule, bool) {
	text := strings.TrimSpace(line)
	enabled := !strings.HasPrefix(text, "#")
	text = strings.TrimLeft(text, "# \t")
	head, _, ok := strings.Cut(text, "(")
	if !ok || !strings.HasSuffix(text, ")") || len(strings.Fields(head)) < 3 {
		return nil, false // of the shortest headers is "alert pkthdr any", with the option list behind
	}
	verb, _, _ := strings.Cut(head, " ")
	if !actions[strings.TrimRight(verb, " \t")] {
		return nil, false
	}
	r := &Rule{Text: text, Enabled: enabled, File: file, ID: ID{GID: 1}}
	for name, arg := range r.options {
		n, err := strconv.ParseUint(arg, 10, 32)
		switch {
		case name != "sid" && name != "gid" && name != "rev":
			continue
		case err != nil:
			return nil, false
		}
		switch name {
		case "sid":
			r.ID.SID = uint32(n)
		case "gid":
			r.ID.GID = uint32(n)
		case "rev":
			r.Rev = uint32(n)
		}
	}
	return r, r.ID.SID != 0
}

// actions begin a rule; those of firewall rules have a hook behind a colon.
var actions = map[string]bool{"alert": true, "drop": true, "pass": true, "reject": true, "rejectsrc": true, "rejectdst": true,
	"rejectboth": true, "config": true}

// options calls yield with the name and the argument of each option.
func (r *Rule) options(yield func(name, arg string) bool) {
	for from, to := range r.spans {
		name, arg, _ := strings.Cut(r.Text[from:to], ":")
		if !yield(strings.TrimSpace(name), strings.TrimSpace(arg)) {
			return
		}
	}
}

// spans calls yield with where in the text each option is, without its
// semicolon. A semicolon in quotes or behind a backslash ends none.
func (r *Rule) spans(yield func(from, to int) bool) {
	from := strings.IndexByte(r.Text, '(') + 1
	quoted := false
	for i := from; i < len(r.Text); i++ {
		switch c := r.Text[i]; {
		case c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case c == ';' && !quoted:
			if !yield(from, i) {
				return
			}
			from = i + 1
		}
	}
}

// option is the argument of the first option of that name.
func (r *Rule) option(name string) (arg string, ok bool) {
	for n, a := range r.options {
		if n == name {
			return a, true
		}
	}
	return "", false
}

// msg is the rule's message, without quotes.
func (r *Rule) msg() string {
	arg, _ := r.option("msg")
	return strings.Trim(arg, `"`)
}

// silent says that the rule raises no alert of its own.
func (r *Rule) silent() bool {
	for name, arg := range r.options {
		if name == "noalert" || name == "flowbits" && arg == "noalert" {
			return true
		}
	}
	return false
}

// add puts an option behind the others.
func (r *Rule) add(option string) {
	r.Text = strings.TrimRight(strings.TrimSuffix(r.Text, ")"), " ") + " " + option + ";)"
}

// String is the rule as a line of a file.
func (r *Rule) String() string {
	if r.Enabled {
		return r.Text
	}
	return "# " + r.Text
}

// parseFile reads the rules of a file. A backslash before a line's end
// continues it.
func parseFile(f File) []*Rule {
	text := strings.TrimPrefix(string(f.Data), "\ufeff")
	text = strings.NewReplacer("\\\r\n", "", "\\\n", "").Replace(text)
	var rules []*Rule
	for line := range strings.Lines(text) {
		if r, ok := parseRule(line, f.Name); ok {
			rules = append(rules, r)
		}
	}
	return rules
}
