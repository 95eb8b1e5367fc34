package fleet

import (
	"bytes"
	"slices"
	"strconv"
	"strings"

	"github.com/hauberk/hauberk/event"
)

// Subject is a node as a selector sees it.
type Subject struct {
	ID     event.NodeID
	Tenant string
	Kind   string
	Host   string
	Labels map[string]string
}

// Selector says which nodes; ParseSelector makes one. It is immutable and
// safe for concurrent use. The zero value selects nothing.
type Selector struct{ root node }

// Match reports whether the node is selected. It does not allocate.
func (s Selector) Match(n *Subject) bool { return s.root.match(n) }

// All reports whether the selector is exactly "all".
func (s Selector) All() bool { return s.root.op == opAll }

// String returns the canonical text: ParseSelector of it gives an equal
// selector, and String of that the same text.
func (s Selector) String() string {
	var b strings.Builder
	s.root.print(&b, precedenceOr)
	return b.String()
}

// op is what a node of the tree does; the zero value matches nothing.
type op uint8

const (
	opNone op = iota
	opAll
	opAnd
	opOr
	opNot
	opIn      // key = value, key in (...)
	opNotIn   // key != value, key not in (...)
	opBelow   // percent(salt) < n
	opAtLeast // percent(salt) >= n
)

// field is what a predicate looks at.
type field uint8

const (
	fieldLabel field = iota
	fieldID
	fieldKind
	fieldTenant
	fieldHost
)

// fields are the reserved names; labels of the same name are written with
// labelPrefix.
var fields = map[string]field{"id": fieldID, "kind": fieldKind, "tenant": fieldTenant, "host": fieldHost}

// labelPrefix before a key says that it is a label whatever its name.
const labelPrefix = "label."

type node struct {
	op     op
	kids   []node
	field  field
	key    string // of a label, without prefix; salt of a percentage
	values []string
	ids    []event.NodeID // sorted, for fieldID
	bucket int            // first bucket not below
}

func (n *node) match(s *Subject) bool {
	switch n.op {
	case opAll:
		return true
	case opAnd:
		for i := range n.kids {
			if !n.kids[i].match(s) {
				return false
			}
		}
		return true
	case opOr:
		for i := range n.kids {
			if n.kids[i].match(s) {
				return true
			}
		}
		return false
	case opNot:
		return !n.kids[0].match(s)
	case opIn:
		return n.holds(s)
	case opNotIn:
		return !n.holds(s)
	case opBelow:
		return Bucket(n.key, s.ID) < n.bucket
	case opAtLeast:
		return Bucket(n.key, s.ID) >= n.bucket
	default:
		return false
	}
}

// holds reports whether the field has one of the values.
func (n *node) holds(s *Subject) bool {
	switch n.field {
	case fieldID:
		_, ok := slices.BinarySearchFunc(n.ids, s.ID, compareIDs)
		return ok
	case fieldKind:
		return slices.Contains(n.values, s.Kind)
	case fieldTenant:
		return slices.Contains(n.values, s.Tenant)
	case fieldHost:
		for _, pattern := range n.values {
			if glob(pattern, s.Host) {
				return true
			}
		}
		return false
	default:
		v, ok := s.Labels[n.key]
		return ok && slices.Contains(n.values, v)
	}
}

func compareIDs(a, b event.NodeID) int { return bytes.Compare(a[:], b[:]) }

// glob reports whether s fits the pattern, in which '*' is any run of bytes
// and '?' one byte. Letters fit in either case: host names do (RFC 4343). It
// takes time len(pattern)*len(s) at most.
func glob(pattern, s string) bool {
	p, i := 0, 0
	star, mark := -1, 0
	for i < len(s) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, i
			p++
		case p < len(pattern) && (pattern[p] == '?' || lower(pattern[p]) == lower(s[i])):
			p++
			i++
		case star >= 0:
			mark++
			p, i = star+1, mark
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// Precedences, loosest first: a node is put in parentheses when its own is
// looser than its place asks for.
const (
	precedenceOr = iota
	precedenceAnd
	precedenceNot
)

func (n *node) print(b *strings.Builder, place int) {
	switch n.op {
	case opAll:
		b.WriteString("all")
	case opAnd:
		n.join(b, " and ", precedenceAnd, place)
	case opOr:
		n.join(b, " or ", precedenceOr, place)
	case opNot:
		b.WriteString("not ")
		n.kids[0].print(b, precedenceNot)
	case opBelow, opAtLeast:
		b.WriteString("percent(")
		if n.key != "" {
			b.WriteString(quote(n.key))
		}
		b.WriteString(map[op]string{opBelow: ") < ", opAtLeast: ") >= "}[n.op])
		b.WriteString(strconv.FormatFloat(float64(n.bucket)/(Buckets/100), 'f', -1, 64))
	case opIn, opNotIn:
		n.printPredicate(b)
	default:
		b.WriteString("not all")
	}
}

func (n *node) join(b *strings.Builder, word string, own, place int) {
	if own < place {
		b.WriteByte('(')
		defer b.WriteByte(')')
	}
	for i := range n.kids {
		if i > 0 {
			b.WriteString(word)
		}
		n.kids[i].print(b, own+1)
	}
}

func (n *node) printPredicate(b *strings.Builder) {
	b.WriteString(n.name())
	if len(n.values) == 1 {
		b.WriteString(map[op]string{opIn: "=", opNotIn: "!="}[n.op])
		b.WriteString(quote(n.values[0]))
		return
	}
	b.WriteString(map[op]string{opIn: " in (", opNotIn: " not in ("}[n.op])
	for i, v := range n.values {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(quote(v))
	}
	b.WriteByte(')')
}

// name returns the key as it must be written.
func (n *node) name() string {
	for name, f := range fields {
		if f == n.field {
			return name
		}
	}
	_, reserved := fields[n.key]
	if reserved || keywords[n.key] || strings.HasPrefix(n.key, labelPrefix) {
		return labelPrefix + n.key
	}
	return n.key
}

// quote returns a value as it must be written.
func quote(s string) string {
	plain := s != "" && !keywords[s]
	for i := 0; plain && i < len(s); i++ {
		plain = isWord(s[i])
	}
	if plain {
		return s
	}
	var b strings.Builder
	b.WriteByte('"')
	for i := 0; i < len(s); i++ {
		if s[i] == '"' || s[i] == '\\' {
			b.WriteByte('\\')
		}
		b.WriteByte(s[i])
	}
	b.WriteByte('"')
	return b.String()
}
