package suricata

import (
	"fmt"
	"os"
	"strings"
)

// Set is what a number of rule files hold.
type Set struct {
	Rules    []*Rule // enabled ones, in order
	Disabled []*Rule // commented out, if asked for
	Errors   Errors  // of enabled rules; one bad rule never stops the rest
	Skipped  Errors  // rules whose `requires` is not met
}

// Options of Load and ParseText.
type Options struct {
	// Disabled: also parse rules that are commented out. Comments that do not
	// parse are just comments.
	Disabled bool
	// Known are rules by their text that need no parsing if they come again.
	Known map[string]*Rule
}

// Load reads rule files. Of rules with the same gid and sid a newer revision
// replaces the one before it; an equal or older one is an error. The error is that of a file that
// cannot be read; what the others hold is returned all the same.
func Load(opt Options, files ...string) (*Set, error) {
	set := &Set{}
	var failed error
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			failed = fmt.Errorf("read rules: %w", err)
			continue
		}
		set.parse(string(text), file, opt)
	}
	set.dedupe()
	return set, failed
}

// ParseText reads the text of one rule file.
func ParseText(text, file string, opt Options) *Set {
	set := &Set{}
	set.parse(text, file, opt)
	set.dedupe()
	return set
}

const byteOrderMark = "\ufeff"

func (s *Set) parse(text, file string, opt Options) {
	line := 1
	for text = strings.TrimPrefix(text, byteOrderMark); text != ""; {
		l := nextLine(text)
		s.line(l, file, line, opt)
		text, line = text[l.size:], line+l.lines
	}
}

// logicalLine is a line of a file with its continuations joined.
type logicalLine struct {
	text   string
	breaks []int // offsets into text at which a physical line begins
	size   int   // in the file, in bytes
	lines  int
}

// nextLine takes one logical line off text: a backslash before the line break
// continues it. CRLF is a line break.
func nextLine(text string) logicalLine {
	var l logicalLine
	var joined strings.Builder
	for {
		physical, size := text[l.size:], len(text)-l.size
		if i := strings.IndexByte(physical, '\n'); i >= 0 {
			physical, size = physical[:i], i+1
		}
		l.size += size
		l.lines++
		physical = strings.TrimSuffix(physical, "\r")
		trimmed := strings.TrimRight(physical, " \t")
		if !strings.HasSuffix(trimmed, `\`) || l.size == len(text) {
			if l.lines == 1 {
				l.text = physical
				return l
			}
			joined.WriteString(physical)
			l.text = joined.String()
			return l
		}
		joined.WriteString(trimmed[:len(trimmed)-1])
		l.breaks = append(l.breaks, joined.Len())
	}
}

func (s *Set) line(l logicalLine, file string, line int, opt Options) {
	text := l.text[blanks(l.text):]
	indent := len(l.text) - len(text)
	if text == "" {
		return
	}
	enabled := text[0] != '#'
	if !enabled {
		body := strings.TrimLeft(text, "# \t")
		indent += len(text) - len(body)
		text = body
		if !opt.Disabled || !looksLikeRule(text) {
			return
		}
	}
	if old := opt.Known[text]; old != nil && enabled {
		s.Rules = append(s.Rules, old.at(file, line))
		return
	}
	rule, errs := parseRule(text)
	if errs != nil && !enabled {
		return
	}
	for _, e := range errs {
		e.Column += indent
	}
	breaks := l.breaks
	if breaks == nil {
		breaks = []int{}
	}
	place(errs, l.text, file, line, breaks)
	for _, e := range errs {
		e.Rule, e.RuleLine = text, line
	}
	for _, e := range errs {
		if e.Problem == Unmet {
			s.Skipped = append(s.Skipped, e)
			return
		}
	}
	s.Errors = append(s.Errors, errs...)
	switch {
	case rule == nil:
	case enabled:
		rule.File, rule.Line, rule.text = file, line, text
		s.Rules = append(s.Rules, rule)
	default:
		rule.File, rule.Line, rule.Enabled = file, line, false
		s.Disabled = append(s.Disabled, rule)
	}
}

// at is the rule where it is now.
func (r *Rule) at(file string, line int) *Rule {
	if r.File == file && r.Line == line {
		return r
	}
	moved := *r
	moved.File, moved.Line = file, line
	return &moved
}

// looksLikeRule reports whether a comment begins as a rule does.
func looksLikeRule(s string) bool {
	verb, rest, _ := strings.Cut(s, " ")
	_, err := parseActions(verb)
	return err == nil && strings.Contains(rest, "(")
}

// dedupe keeps the highest revision of each gid and sid, the first of equals.
func (s *Set) dedupe() {
	type id struct{ gid, sid uint32 }
	best := make(map[id]int, len(s.Rules))
	drop := map[int]bool{}
	for i, r := range s.Rules {
		key := id{r.GID, r.SID}
		j, seen := best[key]
		if !seen {
			best[key] = i
			continue
		}
		loser := i
		if r.Rev > s.Rules[j].Rev {
			best[key], loser = i, j
		}
		drop[loser] = true
		if loser == j {
			continue // replaced by a newer revision: nothing is wrong
		}
		l, w := s.Rules[loser], s.Rules[best[key]]
		s.Errors = append(s.Errors, &Error{File: l.File, Line: l.Line, Column: 1, SID: l.SID, Keyword: "sid", Problem: Invalid,
			Reason: fmt.Sprintf("duplicate: rule at %s:%d has the same sid and revision %d", w.File, w.Line, w.Rev)})
	}
	if len(drop) == 0 {
		return
	}
	kept := s.Rules[:0]
	for i, r := range s.Rules {
		if !drop[i] {
			kept = append(kept, r)
		}
	}
	s.Rules = kept
}
