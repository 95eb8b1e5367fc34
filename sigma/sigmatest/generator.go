// Package sigmatest makes events and rules for tests and benchmarks of Sigma
// rule sets: events that come close to matching, ordinary ones that should
// not, and larger rule sets made from a given one. Everything is a function of
// the seed.
package sigmatest

import (
	"math/rand/v2"
	"net/netip"
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"

	"github.com/hauberk/hauberk/sigma"
)

// Generator makes events from rules: fields filled with what the rules look
// for, more or less completely, in a mixture of case, with noise around it.
type Generator struct {
	rng     *rand.Rand
	schema  *sigma.Schema
	mapping *sigma.Mapping
	classes []sigma.Class
	byClass [][]*sigma.Rule
	text    []sigma.FieldID // text fields, for noise
}

// NewGenerator prepares a generator for the detections among rules.
func NewGenerator(seed uint64, rules []*sigma.Rule, schema *sigma.Schema, classes []sigma.Class, mapping *sigma.Mapping) *Generator {
	g := &Generator{
		rng: rand.New(rand.NewPCG(seed, 0)), schema: schema, mapping: mapping, classes: classes,
		byClass: make([][]*sigma.Rule, len(classes)),
	}
	for _, r := range rules {
		for i, c := range classes {
			if r.Detection != nil && slices.ContainsFunc(c.Sources, r.LogSource.Covers) {
				g.byClass[i] = append(g.byClass[i], r)
			}
		}
	}
	for i, f := range schema.Fields() {
		if f.Kind == sigma.KindText {
			g.text = append(g.text, sigma.FieldID(i))
		}
	}
	return g
}

// Next makes an event and says its class.
func (g *Generator) Next() (sigma.Record, sigma.ClassID) {
	class := sigma.ClassID(g.rng.IntN(len(g.classes)))
	ev := make(sigma.Record, len(g.schema.Fields()))
	for range g.rng.IntN(4) {
		ev[g.text[g.rng.IntN(len(g.text))]] = sigma.Text(g.noise())
	}
	if rules := g.byClass[class]; len(rules) > 0 {
		for range 1 + g.rng.IntN(2) {
			g.rule(ev, rules[g.rng.IntN(len(rules))])
		}
	}
	return ev, class
}

// rule fills in what one rule looks for.
func (g *Generator) rule(ev sigma.Record, r *sigma.Rule) {
	skip := 1 // of 16 searches and items
	if g.rng.IntN(3) == 0 {
		skip = 6
	}
	for i := range r.Detection.Searches {
		s := &r.Detection.Searches[i]
		filter := strings.HasPrefix(s.Name, "filter")
		if g.rng.IntN(16) < skip || filter && g.rng.IntN(4) > 0 {
			continue
		}
		for _, it := range s.Groups[g.rng.IntN(len(s.Groups))].Items {
			if g.rng.IntN(16) < skip {
				continue
			}
			g.item(ev, r.LogSource, &it)
		}
	}
}

func (g *Generator) item(ev sigma.Record, l sigma.LogSource, it *sigma.Item) {
	values := []sigma.Scalar{it.Values[g.rng.IntN(len(it.Values))]}
	if slices.Contains(it.Modifiers, "all") {
		values = it.Values
	}
	var target string
	mapped := sigma.Target{}
	if it.Field != "" {
		mapped = g.mapping.Field(l, it.Field)
		target = mapped.Field
	} else if k := g.mapping.Keywords(l); len(k) > 0 {
		target = k[g.rng.IntN(len(k))]
	}
	name, index, _ := strings.Cut(target, "[")
	id, kind, ok := g.schema.Lookup(name)
	if !ok {
		return
	}
	for _, v := range values {
		text := v.Text
		for from, to := range mapped.Values {
			if strings.EqualFold(from, text) {
				text = to
			}
		}
		element, err := strconv.Atoi(strings.TrimSuffix(index, "]"))
		if err != nil {
			element = g.rng.IntN(3)
		}
		g.set(&ev[id], kind, element, g.instance(it, text))
	}
}

// set stores or, for texts, often adds a value.
func (g *Generator) set(v *sigma.Value, kind sigma.Kind, element int, text string) {
	switch kind {
	case sigma.KindInt, sigma.KindBool, sigma.KindTime:
		n, err := strconv.ParseInt(text, 0, 64)
		if err != nil {
			*v = sigma.Text(text)
			return
		}
		*v = sigma.Value{Kind: kind, Int: n + int64(g.rng.IntN(3)) - 1}
	case sigma.KindIP:
		a, err := netip.ParseAddr(text)
		if err != nil {
			*v = sigma.Text(text)
			return
		}
		*v = sigma.Value{Kind: sigma.KindIP, Bytes: a.AsSlice()}
	case sigma.KindList:
		if v.Kind != sigma.KindList {
			*v = sigma.List()
		}
		for len(v.List) <= element {
			v.List = append(v.List, []byte(g.noise()))
		}
		v.List[element] = []byte(text)
	default:
		if v.Kind == sigma.KindText && g.rng.IntN(4) > 0 {
			text = string(v.Bytes) + text
		}
		*v = sigma.Text(text)
	}
}

// instance makes a text that a value of an item matches, mostly.
func (g *Generator) instance(it *sigma.Item, text string) string {
	has := func(m string) bool { return slices.Contains(it.Modifiers, m) }
	switch {
	case has("re"):
		if re, err := syntax.Parse(text, syntax.Perl); err == nil {
			text = g.regexp(re.Simplify(), 0)
		}
		return g.around(text)
	case has("cidr"):
		if p, err := netip.ParsePrefix(text); err == nil {
			b := p.Addr().AsSlice()
			b[len(b)-1] ^= byte(g.rng.IntN(4))
			a, _ := netip.AddrFromSlice(b)
			return a.String()
		}
	}
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '*':
			b.WriteString(g.noise())
		case c == '?':
			b.WriteByte("xé/"[g.rng.IntN(2)])
		case c == '\\' && i+1 < len(text) && strings.IndexByte(`\*?`, text[i+1]) >= 0:
			i++
			b.WriteByte(text[i])
		default:
			b.WriteByte(c)
		}
	}
	out := g.changeCase(b.String())
	switch {
	case has("contains"), it.Field == "":
		return g.around(out)
	case has("startswith"):
		return out + g.noise()
	case has("endswith"):
		return g.noise() + out
	}
	if g.rng.IntN(16) == 0 {
		return g.around(out)
	}
	return out
}

func (g *Generator) around(s string) string {
	switch g.rng.IntN(4) {
	case 0:
		return s
	case 1:
		return s + g.noise()
	case 2:
		return g.noise() + s
	}
	return g.noise() + s + g.noise()
}

func (g *Generator) changeCase(s string) string {
	switch g.rng.IntN(6) {
	case 0:
		return strings.ToUpper(s)
	case 1:
		return strings.ToLower(s)
	}
	return s
}

var words = []string{"", "", " ", "a", "/", "/usr/bin/", "bash", " -c ", "K", "ſ", "é", "É", "\xff", "tmp", ".", "=", "sudo ", "--", "\n", "http://", "root", "*", "?", "\\"}

func (g *Generator) noise() string { return words[g.rng.IntN(len(words))] }

// regexp makes a text that an expression matches, apart from its anchors.
func (g *Generator) regexp(re *syntax.Regexp, depth int) string {
	var b strings.Builder
	switch re.Op {
	case syntax.OpLiteral:
		b.WriteString(string(re.Rune))
	case syntax.OpCharClass:
		if len(re.Rune) > 0 {
			i := g.rng.IntN(len(re.Rune)/2) * 2
			lo, hi := re.Rune[i], min(re.Rune[i+1], re.Rune[i]+64)
			b.WriteRune(lo + rune(g.rng.IntN(int(hi-lo)+1)))
		}
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		b.WriteByte('x')
	case syntax.OpAlternate:
		return g.regexp(re.Sub[g.rng.IntN(len(re.Sub))], depth+1)
	case syntax.OpStar, syntax.OpPlus, syntax.OpQuest, syntax.OpRepeat:
		n := g.rng.IntN(3)
		if re.Op == syntax.OpPlus {
			n++
		}
		if re.Op == syntax.OpQuest {
			n = min(n, 1)
		}
		for range n {
			b.WriteString(g.regexp(re.Sub[0], depth+1))
		}
	default:
		for _, sub := range re.Sub {
			b.WriteString(g.regexp(sub, depth+1))
		}
	}
	return b.String()
}
