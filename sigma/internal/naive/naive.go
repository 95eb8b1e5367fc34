// Package naive evaluates Sigma rules the slow and obvious way: straight from
// the parsed rule, without compilation, sharing or prefilters. It exists to
// check the matcher against; it shares the parser, the mapping and the
// transformations of values (package pattern, tested by examples), and nothing
// of the matching.
package naive

import (
	"cmp"
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/hauberk/hauberk/sigma"
	"github.com/hauberk/hauberk/sigma/internal/cond"
	"github.com/hauberk/hauberk/sigma/internal/pattern"
)

// Evaluator matches one event at a time.
type Evaluator struct {
	Schema       *sigma.Schema
	Classes      []sigma.Class
	Mapping      *sigma.Mapping
	Placeholders map[string][]string
	regexps      map[string]*regexp.Regexp
	texts        map[textKey][]pattern.Pattern
	targets      map[targetKey]sigma.Target
	keywords     map[sigma.LogSource][]string
}

// The caches hold what depends on rules only, so that 100,000 events take
// seconds and not minutes.
type textKey struct{ text, modifiers, target string }

type targetKey struct {
	source sigma.LogSource
	field  string
}

// Match reports whether a detection matches an event of a class.
func (e *Evaluator) Match(r *sigma.Rule, ev sigma.Event, class sigma.ClassID) bool {
	if e.regexps == nil {
		e.regexps, e.texts, e.targets = map[string]*regexp.Regexp{}, map[textKey][]pattern.Pattern{}, map[targetKey]sigma.Target{}
		e.keywords = map[sigma.LogSource][]string{}
	}
	covered := false
	for _, s := range e.Classes[class].Sources {
		covered = covered || r.LogSource.Covers(s)
	}
	if !covered {
		return false
	}
	x := evaluation{Evaluator: e, rule: r, ev: ev}
	for _, c := range r.Detection.Conditions {
		if x.condition(c.Expr()) {
			return true
		}
	}
	return false
}

type evaluation struct {
	*Evaluator
	rule *sigma.Rule
	ev   sigma.Event
}

func (x *evaluation) condition(e *cond.Expr) bool {
	switch e.Op {
	case cond.And:
		for _, k := range e.Kids {
			if !x.condition(k) {
				return false
			}
		}
		return true
	case cond.Or:
		for _, k := range e.Kids {
			if x.condition(k) {
				return true
			}
		}
		return false
	case cond.Not:
		return !x.condition(e.Kids[0])
	}
	matched, total := 0, 0
	for i := range x.rule.Detection.Searches {
		s := &x.rule.Detection.Searches[i]
		if !x.meant(e, s.Name) {
			continue
		}
		total++
		if x.search(s) {
			matched++
		}
	}
	if e.Op == cond.Of && e.Count == cond.All {
		return matched == total
	}
	return matched >= max(e.Count, 1)
}

// meant reports whether a name or an "of" means a search identifier.
func (x *evaluation) meant(e *cond.Expr, name string) bool {
	switch {
	case e.Op == cond.Name:
		return e.Text == name
	case e.Text == cond.Them:
		return name[:1] != "_"
	}
	return x.compile("^" + strings.ReplaceAll(regexp.QuoteMeta(e.Text), `\*`, ".*") + "$").MatchString(name)
}

// compile compiles an expression once.
func (x *evaluation) compile(expr string) *regexp.Regexp {
	re := x.regexps[expr]
	if re == nil {
		re = regexp.MustCompile(expr)
		x.regexps[expr] = re
	}
	return re
}

func (x *evaluation) search(s *sigma.Search) bool {
	for i := range s.Groups {
		all := true
		for j := range s.Groups[i].Items {
			all = all && x.item(&s.Groups[i].Items[j])
		}
		if all {
			return true
		}
	}
	return false
}

func has(it *sigma.Item, m string) bool {
	for _, x := range it.Modifiers {
		if x == m {
			return true
		}
	}
	return false
}

func (x *evaluation) item(it *sigma.Item) bool {
	n := 0
	for _, v := range it.Values {
		if x.value(it, v) {
			n++
		}
	}
	result := n > 0
	if has(it, "all") {
		result = n == len(it.Values)
	}
	return result != has(it, "neq")
}

func (x *evaluation) value(it *sigma.Item, v sigma.Scalar) bool {
	texts := []string{v.Text}
	if has(it, "expand") {
		var err error
		texts, err = pattern.Expand(v.Text, func(name string) ([]string, bool) {
			p, ok := x.Placeholders[name]
			return p, ok
		})
		if err != nil {
			panic(err)
		}
	}
	for _, text := range texts {
		if it.Field == "" {
			for _, f := range x.keywordFields() {
				if x.test(it, v.Kind, text, sigma.Target{Field: f}) {
					return true
				}
			}
			continue
		}
		if x.test(it, v.Kind, text, x.target(it.Field)) {
			return true
		}
	}
	return false
}

func (x *evaluation) keywordFields() []string {
	k, ok := x.keywords[x.rule.LogSource]
	if !ok {
		k = x.Mapping.Keywords(x.rule.LogSource)
		x.keywords[x.rule.LogSource] = k
	}
	return k
}

func (x *evaluation) target(field string) sigma.Target {
	k := targetKey{x.rule.LogSource, field}
	t, ok := x.targets[k]
	if !ok {
		t = x.Mapping.Field(x.rule.LogSource, field)
		x.targets[k] = t
	}
	return t
}

// field gives the texts of a target, and whether the event has it.
func (x *evaluation) field(target string) (texts []string, kind sigma.Kind, ok bool) {
	name, index, element := strings.Cut(target, "[")
	id, kind, ok := x.Schema.Lookup(name)
	var v sigma.Value
	if !ok || !x.ev.Value(id, &v) || v.Kind == sigma.KindList && len(v.List) == 0 {
		return nil, kind, false
	}
	switch v.Kind {
	case sigma.KindText:
		texts = []string{string(v.Bytes)}
	case sigma.KindList:
		for _, b := range v.List {
			texts = append(texts, string(b))
		}
	case sigma.KindInt:
		texts = []string{fmt.Sprint(v.Int)}
	case sigma.KindBool:
		texts = []string{fmt.Sprint(v.Int != 0)}
	case sigma.KindTime:
		texts = []string{time.Unix(0, v.Int).UTC().Format(time.RFC3339Nano)}
	case sigma.KindIP:
		a, _ := netip.AddrFromSlice(v.Bytes)
		texts = []string{a.Unmap().String()}
		if len(v.Bytes) == 0 {
			texts = []string{""}
		}
	}
	if !element {
		return texts, kind, true
	}
	var i int
	if _, err := fmt.Sscanf(index, "%d]", &i); err != nil || i >= len(texts) {
		return nil, sigma.KindText, false
	}
	return texts[i : i+1], sigma.KindText, true
}

func (x *evaluation) test(it *sigma.Item, vk sigma.ScalarKind, text string, target sigma.Target) bool {
	values, kind, present := x.field(target.Field)
	empty := !present
	for _, v := range values {
		empty = empty || v == ""
	}
	switch {
	case vk == sigma.ScalarNull:
		return empty
	case has(it, "exists"):
		return present == strings.EqualFold(text, "true")
	case has(it, "fieldref"):
		return x.fieldRef(it, values, text)
	}
	match := x.tester(it, text, target, kind)
	for _, v := range values {
		if match(v) {
			return true
		}
	}
	return len(values) == 0 && match("") && empty && isEmptyText(it, text)
}

// isEmptyText reports whether the value is ”, which matches absent fields too.
func isEmptyText(it *sigma.Item, text string) bool {
	if text != "" {
		return false
	}
	for _, m := range it.Modifiers {
		if m != "cased" && m != "neq" && m != "all" && m != "windash" && m != "wide" && m != "utf16le" && m != "utf16be" && m != "base64" && m != "expand" {
			return false
		}
	}
	return true
}

// tester gives the test of one text of the event.
func (x *evaluation) tester(it *sigma.Item, text string, target sigma.Target, kind sigma.Kind) func(string) bool {
	for _, part := range []string{"minute", "hour", "day", "week", "month", "year"} {
		if has(it, part) {
			return func(v string) bool { return compare(it, timePart(v, part), text) }
		}
	}
	for _, op := range []string{"gt", "gte", "lt", "lte"} {
		if has(it, op) {
			return func(v string) bool { return compare(it, v, text) }
		}
	}
	switch {
	case has(it, "cidr"):
		return func(v string) bool { return inNetwork(v, text) }
	case has(it, "re"):
		re := x.regexp(it, text)
		return re.MatchString
	}
	for from, to := range target.Values {
		if strings.EqualFold(from, text) {
			text = to
			break
		}
	}
	patterns := x.patterns(it, text)
	return func(v string) bool {
		for _, p := range patterns {
			if plain, ok := p.Plain(); ok && kind == sigma.KindInt && compare(it, v, plain) {
				return true
			} else if ok && kind == sigma.KindIP && inNetwork(v, plain) {
				return true
			}
			if x.glob(p, v, has(it, "cased")) {
				return true
			}
		}
		return false
	}
}

func (x *evaluation) regexp(it *sigma.Item, text string) *regexp.Regexp {
	switch {
	case has(it, "startswith"):
		text = "^(?:" + text + ")"
		if has(it, "m") {
			text = strings.Replace(text, "^", `\A`, 1)
		}
	case has(it, "endswith"):
		text = "(?:" + text + `)\z`
	}
	for _, f := range []string{"i", "m", "s"} {
		if has(it, f) {
			text = "(?" + f + ")" + text
		}
	}
	return x.compile(text)
}

// patterns applies the transforming modifiers, one after the other.
func (x *evaluation) patterns(it *sigma.Item, text string) []pattern.Pattern {
	key := textKey{text, strings.Join(it.Modifiers, "|"), it.Field}
	if out, ok := x.texts[key]; ok {
		return out
	}
	out := []pattern.Pattern{pattern.Parse(text)}
	apply := func(fn func(pattern.Pattern) ([]pattern.Pattern, error)) {
		var next []pattern.Pattern
		for _, p := range out {
			more, err := fn(p)
			if err != nil {
				panic(err)
			}
			next = append(next, more...)
		}
		out = next
	}
	one := func(fn func(pattern.Pattern) pattern.Pattern) {
		apply(func(p pattern.Pattern) ([]pattern.Pattern, error) { return []pattern.Pattern{fn(p)}, nil })
	}
	for _, m := range it.Modifiers {
		switch m {
		case "base64":
			apply(func(p pattern.Pattern) ([]pattern.Pattern, error) {
				q, err := p.Base64()
				return []pattern.Pattern{q}, err
			})
		case "base64offset":
			apply(pattern.Pattern.Base64Offset)
		case "windash":
			apply(pattern.Windash)
		case "wide", "utf16le":
			one(func(p pattern.Pattern) pattern.Pattern { return p.UTF16(false, false) })
		case "utf16be":
			one(func(p pattern.Pattern) pattern.Pattern { return p.UTF16(true, false) })
		case "utf16":
			one(func(p pattern.Pattern) pattern.Pattern { return p.UTF16(false, true) })
		case "contains":
			one(func(p pattern.Pattern) pattern.Pattern { return p.Starts().Ends() })
		case "startswith":
			one(pattern.Pattern.Starts)
		case "endswith":
			one(pattern.Pattern.Ends)
		}
	}
	if it.Field == "" {
		one(func(p pattern.Pattern) pattern.Pattern { return p.Starts().Ends() })
	}
	if !has(it, "cased") {
		one(func(p pattern.Pattern) pattern.Pattern {
			q := make(pattern.Pattern, len(p))
			for i, part := range p {
				q[i] = pattern.Part{Kind: part.Kind, Bytes: lower(part.Bytes)}
			}
			return q
		})
	}
	x.texts[key] = out
	return out
}

// glob matches by trying everything a * could stand for. p is in lower case
// unless cased.
func (x *evaluation) glob(p pattern.Pattern, v string, cased bool) bool {
	if !cased && p.NeedsUnicode() {
		return x.compile(p.Regexp()).MatchString(v)
	}
	if !cased {
		v = lower(v)
	}
	return try(p, v)
}

func try(p pattern.Pattern, v string) bool {
	if len(p) == 0 {
		return v == ""
	}
	switch p[0].Kind {
	case pattern.Literal:
		return strings.HasPrefix(v, p[0].Bytes) && try(p[1:], v[len(p[0].Bytes):])
	case pattern.One:
		_, n := utf8.DecodeRuneInString(v)
		return n > 0 && try(p[1:], v[n:])
	}
	for i := 0; ; {
		if try(p[1:], v[i:]) {
			return true
		}
		if i == len(v) {
			return false
		}
		n := 1
		if len(p) > 1 && p[1].Kind == pattern.One {
			_, n = utf8.DecodeRuneInString(v[i:])
		}
		i += n
	}
}

func lower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

func (x *evaluation) fieldRef(it *sigma.Item, values []string, field string) bool {
	others, _, _ := x.field(x.target(field).Field)
	for _, a := range values {
		for _, b := range others {
			if !has(it, "cased") {
				a, b = lower(a), lower(b)
			}
			switch {
			case has(it, "contains") && strings.Contains(a, b),
				has(it, "startswith") && strings.HasPrefix(a, b),
				has(it, "endswith") && strings.HasSuffix(a, b),
				a == b:
				return true
			}
		}
	}
	return false
}

func inNetwork(v, network string) bool {
	a, err := netip.ParseAddr(v)
	if err != nil {
		return false
	}
	if n, err := netip.ParsePrefix(network); err == nil {
		return n.Contains(a.Unmap()) || a.Unmap().Is4() && n.Contains(netip.AddrFrom16(a.As16()))
	}
	n, err := netip.ParseAddr(network)
	return err == nil && n.Unmap() == a.Unmap()
}

// compare compares integers exactly and everything else as float64.
func compare(it *sigma.Item, a, b string) bool {
	x, ok1 := numeric(a)
	y, ok2 := numeric(b)
	if !ok1 || !ok2 {
		return false
	}
	c := 0
	if i, isInt := x.(int64); isInt {
		if j, isInt := y.(int64); isInt {
			c = cmp.Compare(i, j)
			return ordered(it, c)
		}
	}
	return ordered(it, cmp.Compare(float(x), float(y)))
}

func ordered(it *sigma.Item, c int) bool {
	switch {
	case has(it, "gt"):
		return c > 0
	case has(it, "gte"):
		return c >= 0
	case has(it, "lt"):
		return c < 0
	case has(it, "lte"):
		return c <= 0
	}
	return c == 0
}

func float(n any) float64 {
	if i, ok := n.(int64); ok {
		return float64(i)
	}
	return n.(float64)
}

var hexadecimal = regexp.MustCompile(`^0[xX][-+]?[0-9a-fA-F]+$`)

var decimal = regexp.MustCompile(`^[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?$`)

// numeric gives an int64 where the text is one, else a float64.
func numeric(s string) (any, bool) {
	if len(s) > 32 {
		return nil, false
	}
	if hexadecimal.MatchString(s) {
		i, err := strconv.ParseInt(s[2:], 16, 64)
		return i, err == nil
	}
	if !decimal.MatchString(s) {
		return nil, false
	}
	if i, err := strconv.ParseInt(s, 10, 64); err == nil {
		return i, true
	}
	f, err := strconv.ParseFloat(s, 64)
	return f, err == nil
}

var clock = regexp.MustCompile(`^[0-9]{2}:[0-9]{2}$`)

// timePart reads a date and gives one part as a number, "" if it is no date.
func timePart(v, part string) string {
	t, err := time.Parse("2006-01-02", v[:min(10, len(v))])
	if err != nil {
		return ""
	}
	if len(v) >= 16 && (v[10] == 'T' || v[10] == ' ') && v[13] == ':' {
		if !clock.MatchString(v[11:16]) { // time.Parse takes " 0:00"
			return ""
		}
		if t, err = time.Parse("2006-01-02 15:04", v[:10]+" "+v[11:16]); err != nil {
			return ""
		}
	}
	n := map[string]int{"minute": t.Minute(), "hour": t.Hour(), "day": t.Day(), "month": int(t.Month()), "year": t.Year()}[part]
	if part == "week" {
		_, n = t.ISOWeek()
	}
	return fmt.Sprint(n)
}
