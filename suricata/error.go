package suricata

import (
	"fmt"
	"strings"
)

// Problem classifies an Error.
type Problem uint8

const (
	// Invalid rules are refused by Suricata too.
	Invalid Problem = iota + 1
	// Unsupported rules use a keyword this implementation refuses, with its reason.
	Unsupported
	// Unmet rules say in `requires` that they are not for this version.
	Unmet
)

// Error is one problem of one rule.
type Error struct {
	File     string // "" when parsed from memory
	Line     int    // from 1
	Column   int    // from 1, in bytes of that line
	SID      uint32 // 0 when unknown
	Keyword  string // "" when the header is at fault
	Reason   string
	Problem  Problem
	Rule     string // the whole rule, with its continuations joined; "" if not of a file
	RuleLine int    // at which it begins
}

// Error is one line: file:line:column: sid N: keyword: reason.
func (e *Error) Error() string {
	var b strings.Builder
	if e.File != "" {
		fmt.Fprintf(&b, "%s:", e.File)
	}
	fmt.Fprintf(&b, "%d:%d: ", e.Line, e.Column)
	if e.SID != 0 {
		fmt.Fprintf(&b, "sid %d: ", e.SID)
	}
	if e.Keyword != "" {
		fmt.Fprintf(&b, "%s: ", e.Keyword)
	}
	return b.String() + e.Reason
}

// Errors are the problems of one or many rules, in order of place.
type Errors []*Error

// Error is all problems, one a line.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, err := range e {
		lines[i] = err.Error()
	}
	return strings.Join(lines, "\n")
}
