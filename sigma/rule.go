package sigma

import (
	"strings"
	"time"

	"github.com/hauberk/hauberk/sigma/internal/cond"
)

// Rule is one YAML document: a detection, a correlation or a filter. Exactly
// one of Detection, Correlation and Filter is set.
type Rule struct {
	File string
	Line int // of the document's first key

	Title          string
	ID             string
	Name           string
	Taxonomy       string
	Status         string
	Description    string
	License        string
	Author         string
	Date           string // YYYY-MM-DD
	Modified       string // YYYY-MM-DD
	References     []string
	Tags           []string
	Fields         []string
	FalsePositives []string
	Scope          []string
	Related        []Related
	Level          Level
	LogSource      LogSource

	Detection   *Detection
	Correlation *Correlation
	Filter      *Filter
}

// Related points at another rule.
type Related struct {
	ID   string
	Type string // derived, obsolete, merged, renamed, similar
}

// Level is how critical a match is.
type Level uint8

// The levels, in rising order. LevelNone: the rule gives none.
const (
	LevelNone Level = iota
	LevelInformational
	LevelLow
	LevelMedium
	LevelHigh
	LevelCritical
)

var levelNames = [...]string{"", "informational", "low", "medium", "high", "critical"}

// String gives the specification's word, "" for LevelNone.
func (l Level) String() string {
	if int(l) < len(levelNames) {
		return levelNames[l]
	}
	return ""
}

// MarshalText implements encoding.TextMarshaler, so that JSON has the word.
func (l Level) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// Ref is how a correlation or filter may name the rule: its id, else its name,
// else its title.
func (r *Rule) Ref() string {
	switch {
	case r.ID != "":
		return r.ID
	case r.Name != "":
		return r.Name
	}
	return r.Title
}

// Techniques gives the ATT&CK technique ids among the tags, upper case and in
// order: attack.t1059.004 -> T1059.004.
func (r *Rule) Techniques() []string {
	var out []string
	for _, t := range r.Tags {
		v, ok := strings.CutPrefix(strings.ToLower(t), "attack.t")
		if ok && len(v) >= 4 && v[0] >= '0' && v[0] <= '9' {
			out = append(out, "T"+strings.ToUpper(v))
		}
	}
	return out
}

// Tactics gives the ATT&CK tactics among the tags, in order:
// attack.defense-evasion -> defense-evasion. Group and software ids
// (attack.g0001, attack.s0002) are left out.
func (r *Rule) Tactics() []string {
	var out []string
	for _, t := range r.Tags {
		v, ok := strings.CutPrefix(strings.ToLower(t), "attack.")
		if !ok || v == "" {
			continue
		}
		if len(v) > 1 && strings.IndexByte("tgs", v[0]) >= 0 && v[1] >= '0' && v[1] <= '9' {
			continue
		}
		out = append(out, strings.ReplaceAll(v, "_", "-"))
	}
	return out
}

// LogSource says which logs a rule is for. An empty attribute means any.
type LogSource struct {
	Category string
	Product  string
	Service  string
}

// Covers reports whether every attribute that l gives is the same in m.
func (l LogSource) Covers(m LogSource) bool {
	return (l.Category == "" || l.Category == m.Category) &&
		(l.Product == "" || l.Product == m.Product) &&
		(l.Service == "" || l.Service == m.Service)
}

// String gives "product/category/service" with "*" for any.
func (l LogSource) String() string {
	or := func(s string) string {
		if s == "" {
			return "*"
		}
		return s
	}
	return or(l.Product) + "/" + or(l.Category) + "/" + or(l.Service)
}

// Position is a place in a rule's file, both from 1.
type Position struct {
	Line   int
	Column int
}

// Detection is what a rule looks for: named searches, joined by a condition.
type Detection struct {
	Searches   []Search    // in file order
	Conditions []Condition // joined by "or"
}

// Search is one search identifier: its groups are joined by "or".
type Search struct {
	Name string
	Position
	Groups []Group
}

// Group is one map of a search: its items are joined by "and".
type Group struct {
	Items []Item
}

// Item is one key of a map with its values, or a list of keywords (Field "").
type Item struct {
	Field     string
	Modifiers []string // lower case, in the order of the file
	Values    []Scalar // at least one
	List      bool     // written as a list
	Position
}

// Scalar is one YAML value.
type Scalar struct {
	Kind ScalarKind
	Text string // as written, without quotes
	Position
}

// ScalarKind is the YAML type of a value.
type ScalarKind uint8

// The YAML types a rule may hold.
const (
	ScalarInvalid ScalarKind = iota
	ScalarString
	ScalarNumber
	ScalarBool
	ScalarNull
)

// Condition joins searches.
type Condition struct {
	Text string
	Position
	expr *cond.Expr
}

// Expr is the parsed condition, for packages inside this library.
func (c Condition) Expr() *cond.Expr { return c.expr }

// CorrelationType is what a correlation measures.
type CorrelationType uint8

// The seven types of the specification.
const (
	CorrelationInvalid CorrelationType = iota
	EventCount
	ValueCount
	Temporal
	TemporalOrdered
	ValueSum
	ValueAvg
	ValuePercentile
)

var correlationNames = [...]string{"", "event_count", "value_count", "temporal", "temporal_ordered", "value_sum", "value_avg", "value_percentile"}

// String gives the specification's word.
func (t CorrelationType) String() string {
	if int(t) < len(correlationNames) {
		return correlationNames[t]
	}
	return ""
}

// Correlation joins matches of other rules over time.
type Correlation struct {
	Type     CorrelationType
	Rules    []string // ids or names, at least one
	GroupBy  []string // field names or aliases
	Timespan time.Duration
	Aliases  []Alias
	Fields   []string // condition.field
	Bounds   []Bound  // joined by "and"
	// Percentile is condition.percentile (0 to 100), -1 when absent: see
	// ValuePercentile in docs/formats/sigma-correlation.md.
	Percentile float64
	// Expr is a temporal condition written as an expression over rule names.
	Expr *Condition
	// Generate: the referred rules raise matches of their own, too.
	Generate bool
	Position
}

// Alias gives one name to a field that is called differently by each rule.
type Alias struct {
	Name   string
	Fields map[string]string // rule's name or id -> field
}

// Bound is one comparison of a correlation's condition.
type Bound struct {
	Op    Comparison
	Value float64
}

// Comparison is a numeric operator.
type Comparison uint8

// The numeric operators.
const (
	CompareInvalid Comparison = iota
	Equal
	NotEqual
	Less
	LessEqual
	Greater
	GreaterEqual
)

var comparisonNames = [...]string{"", "eq", "neq", "lt", "lte", "gt", "gte"}

// String gives the specification's word.
func (c Comparison) String() string {
	if int(c) < len(comparisonNames) {
		return comparisonNames[c]
	}
	return ""
}

// Holds reports whether "a c b".
func (c Comparison) Holds(a, b float64) bool {
	switch c {
	case Equal:
		return a == b
	case NotEqual:
		return a != b
	case Less:
		return a < b
	case LessEqual:
		return a <= b
	case Greater:
		return a > b
	case GreaterEqual:
		return a >= b
	}
	return false
}

// Filter suppresses matches of other rules.
type Filter struct {
	Rules     []string // ids or names, at least one
	Detection Detection
	Position
}
