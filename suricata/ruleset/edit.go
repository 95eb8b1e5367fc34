package ruleset

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/hauberk/hauberk/suricata/pcre"
)

// An edit changes the text of rules.
type edit struct {
	matcher
	from *pcre.Regexp // nil: metadata is added
	to   []piece
	meta string // "key value"
}

// A piece of a replacement is text, or a group of the match.
type piece struct {
	text  string
	group int // -1: text
}

// parseEdits reads a modify file. Its lines are
//
//	MATCHER FROM TO
//	modifysid MATCHER FROM | TO
//	metadata-add MATCHER KEY VALUE
//
// with words quoted as in a shell.
func parseEdits(f File) (list []edit, problems []error) {
	for n, line := range editLines(f.Data) {
		e, err := parseEdit(line)
		if err != nil {
			problems = append(problems, fmt.Errorf("%s:%d: %w", f.Name, n, err))
			continue
		}
		list = append(list, e)
	}
	return list, problems
}

// editLines is as lines, but a # may be part of an expression: only a line
// that begins with one is a comment.
func editLines(text []byte) func(yield func(int, string) bool) {
	return func(yield func(int, string) bool) {
		n := 0
		for line := range strings.Lines(string(text)) {
			n++
			line = strings.TrimSpace(line)
			if line != "" && line[0] != '#' && !yield(n, line) {
				return
			}
		}
	}
}

func parseEdit(line string) (edit, error) {
	words, err := shellWords(line)
	if err != nil {
		return edit{}, err
	}
	meta := false
	switch {
	case len(words) == 4 && words[0] == "metadata-add":
		meta, words = true, words[1:]
	case len(words) == 5 && words[0] == "modifysid" && words[3] == "|":
		words = []string{words[1], words[2], words[4]}
	case len(words) != 3:
		return edit{}, fmt.Errorf("%d words: want MATCHER FROM TO, each in quotes if it has blanks", len(words))
	}
	var e edit
	if e.matcher, err = parseMatcher(words[0]); err != nil {
		return edit{}, err
	}
	if meta {
		e.meta = words[1] + " " + words[2]
		if strings.ContainsAny(e.meta, `;"\,`) {
			return edit{}, fmt.Errorf(`metadata %q: must not contain ; " \ or ,`, e.meta)
		}
		return e, nil
	}
	if e.from, err = pcre.Compile(words[1], 0); err != nil {
		return edit{}, fmt.Errorf("expression %q: %w", words[1], err)
	}
	e.to, err = parseReplacement(words[2], e.from)
	return e, err
}

// shellWords splits as a POSIX shell: in double quotes a backslash escapes a
// double quote and a backslash, in single quotes nothing, elsewhere any byte.
func shellWords(line string) ([]string, error) {
	var words []string
	var word strings.Builder
	open, quote := false, byte(0)
	for i := 0; i < len(line); i++ {
		c := line[i]
		switch {
		case quote == 0 && (c == ' ' || c == '\t'):
			if open {
				words = append(words, word.String())
				word.Reset()
				open = false
			}
			continue
		case quote == 0 && (c == '"' || c == '\''):
			open, quote = true, c
			continue
		case quote != 0 && c == quote:
			quote = 0
			continue
		case c == '\\' && quote != '\'' && i+1 < len(line) && (quote == 0 || line[i+1] == '"' || line[i+1] == '\\'):
			i++
			c = line[i]
		}
		open = true
		word.WriteByte(c)
	}
	if quote != 0 {
		return nil, fmt.Errorf("the quote %c is not closed", quote)
	}
	if open {
		words = append(words, word.String())
	}
	return words, nil
}

// parseReplacement reads what a match becomes: \1, \g<1>, \g<name> and ${1} are groups,
// \\ is a backslash and \$ a dollar. Any other backslash stands for itself, as rules have many.
func parseReplacement(text string, re *pcre.Regexp) ([]piece, error) {
	var pieces []piece
	var plain strings.Builder
	for len(text) > 0 {
		name, size := groupName(text)
		if size == 0 {
			if strings.HasPrefix(text, `\\`) || strings.HasPrefix(text, `\$`) {
				text = text[1:]
			}
			plain.WriteByte(text[0])
			text = text[1:]
			continue
		}
		n, err := strconv.Atoi(name)
		if err != nil {
			var ok bool
			if n, ok = re.GroupNumber(name); !ok {
				n = -1
			}
		}
		if n < 0 || n > re.Groups() {
			return nil, fmt.Errorf("replacement %q: the expression has no group %s", text[:size], name)
		}
		if plain.Len() > 0 {
			pieces = append(pieces, piece{plain.String(), -1})
			plain.Reset()
		}
		pieces = append(pieces, piece{group: n})
		text = text[size:]
	}
	if plain.Len() > 0 {
		pieces = append(pieces, piece{plain.String(), -1})
	}
	return pieces, nil
}

// groupName is the group that text begins with, and how many bytes it takes; size 0: none.
func groupName(text string) (name string, size int) {
	for _, form := range [...]struct{ open, end string }{{`\g<`, ">"}, {"${", "}"}} {
		if rest, ok := strings.CutPrefix(text, form.open); ok {
			if i := strings.Index(rest, form.end); i > 0 {
				return rest[:i], len(form.open) + i + 1
			}
		}
	}
	if len(text) < 2 || text[0] != '\\' {
		return "", 0
	}
	digits := 0
	for digits < 2 && 1+digits < len(text) && '0' <= text[1+digits] && text[1+digits] <= '9' {
		digits++
	}
	if digits == 0 || text[1] == '0' {
		return "", 0
	}
	return text[1 : 1+digits], 1 + digits
}

// maxRule is the longest text an edit may make, in bytes: the rules of the
// public sets have at most 8 KB.
const maxRule = 64 << 10

// apply gives the rule as the edit leaves it. It is the rule itself if nothing changed.
func (e *edit) apply(r *Rule) (*Rule, error) {
	if e.from == nil {
		changed := *r
		changed.add("metadata: " + e.meta)
		return &changed, nil
	}
	text, err := e.replace(r.Text)
	switch {
	case err != nil:
		return r, err
	case text == r.Text:
		return r, nil
	}
	changed, ok := parseRule(text, r.File)
	if !ok {
		return r, errors.New("is no rule any more once it is modified")
	}
	changed.Enabled = changed.Enabled && r.Enabled
	return changed, nil
}

// replace changes every match in text.
func (e *edit) replace(text string) (string, error) {
	var s pcre.Scratch
	var out strings.Builder
	copied := 0
	for at := 0; at <= len(text); {
		from, to, ok, err := e.from.Match(&s, []byte(text), at)
		if err != nil {
			return "", err
		}
		if !ok {
			break
		}
		out.WriteString(text[copied:from])
		for _, p := range e.to {
			if p.group < 0 {
				out.WriteString(p.text)
			} else if a, b, took := s.Group(p.group); took {
				out.WriteString(text[a:b])
			}
		}
		copied, at = to, to
		if from == to {
			at++ // an empty match: the next begins behind the byte that follows
		}
		if out.Len() > maxRule {
			return "", fmt.Errorf("is longer than %d bytes once it is modified", maxRule)
		}
	}
	out.WriteString(text[copied:])
	return out.String(), nil
}
