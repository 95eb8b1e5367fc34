package sigma

import (
	"strconv"
	"strings"
)

// Error says what is wrong with one rule and where.
type Error struct {
	File   string // as given to Parse
	Line   int    // from 1; 0 when the whole file is meant
	Column int    // from 1; 0 when the whole line is meant
	Title  string // of the rule, when it could be read
	ID     string // of the rule, when it has one
	Reason string // one line, lower case, without position
}

// Error gives "file:line:column: rule "title" (id): reason".
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Line > 0 {
		b.WriteString(":" + strconv.Itoa(e.Line))
		if e.Column > 0 {
			b.WriteString(":" + strconv.Itoa(e.Column))
		}
	}
	b.WriteString(": ")
	if e.Title != "" {
		b.WriteString("rule " + strconv.Quote(e.Title))
		if e.ID != "" {
			b.WriteString(" (" + e.ID + ")")
		}
		b.WriteString(": ")
	}
	b.WriteString(e.Reason)
	return b.String()
}
