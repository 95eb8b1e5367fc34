package suricata

import (
	"errors"
	"fmt"
	"strings"
)

// A token is a piece of a rule and where it begins.
type token struct {
	text string
	pos  int
}

// header names the six fields before the options, in order; action comes first.
const headerFields = 7

// split cuts a rule into its seven header fields and the text between the
// outer parentheses.
func split(rule string) (fields [headerFields]token, options token, err error) {
	pos := 0
	for i := range fields {
		pos += blanks(rule[pos:])
		n, err := fieldLen(rule[pos:])
		if err != nil {
			return fields, options, err
		}
		if n == 0 {
			return fields, options, fmt.Errorf("rule ends after %d of %d header fields", i, headerFields)
		}
		fields[i] = token{rule[pos : pos+n], pos}
		pos += n
	}
	pos += blanks(rule[pos:])
	end := strings.LastIndexByte(rule, ')')
	if pos >= len(rule) || rule[pos] != '(' {
		return fields, options, errors.New("no options: expected ( after the destination port")
	}
	if end <= pos {
		return fields, options, errors.New("options are not closed: no ) found")
	}
	return fields, token{rule[pos+1 : end], pos + 1}, nil
}

func blanks(s string) int {
	n := 0
	for n < len(s) && isBlank(s[n]) {
		n++
	}
	return n
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

// fieldLen is the length of the header field s begins with: up to a blank, or
// to the bracket that closes a group.
func fieldLen(s string) (int, error) {
	depth := 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '[':
			depth++
		case c == ']':
			if depth--; depth < 0 {
				return 0, errors.New("] without [")
			}
		case depth == 0 && (isBlank(c) || c == '('):
			return i, nil
		}
	}
	if depth > 0 {
		return 0, errors.New("[ is not closed")
	}
	return len(s), nil
}

// A rawOption is an option before its keyword is looked up.
type rawOption struct {
	name  token
	value token
	given bool // there was a colon
}

// nextOption cuts the first option off s, which begins at pos in the rule. An
// option ends at a semicolon that no backslash precedes, quoted or not.
func nextOption(s string, pos int) (opt rawOption, rest int, err error) {
	start := blanks(s)
	opt.name = token{"", pos + start}
	end := start
	for {
		i := strings.IndexByte(s[end:], ';')
		if i < 0 {
			return opt, 0, errors.New(`no terminating ";" found`)
		}
		end += i
		if end > start && s[end-1] == '\\' {
			end++
			continue
		}
		break
	}
	text := s[start:end]
	name, value, given := strings.Cut(text, ":")
	opt.name.text, opt.given = strings.TrimRight(name, " \t\r\n"), given
	lead := blanks(value)
	opt.value = token{strings.TrimRight(value[lead:], " \t\r\n"), pos + start + len(name) + 1 + lead}
	return opt, end + 1, nil
}

// controls finds the first control character Suricata refuses in a rule.
func controls(s string) int {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c == 0x7f || c < ' ' && c != '\t' && c != '\r' && c != '\n' {
			return i
		}
	}
	return -1
}
