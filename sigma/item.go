package sigma

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"regexp"
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"

	"github.com/hauberk/hauberk/sigma/internal/pattern"
)

// fault is a reason to refuse a rule, with its place.
type fault struct {
	at     Position
	reason string
}

func (f *fault) Error() string { return f.reason }

func faultAt(at Position, format string, args ...any) *fault {
	return &fault{at, fmt.Sprintf(format, args...)}
}

// item compiles one item of a search for a rule of log source l.
func (c *compiler) item(l LogSource, it *Item) (*tree, *fault) {
	slots, target, f := c.slotsOf(l, it)
	if f != nil {
		return nil, f
	}
	values := make([]*tree, 0, len(it.Values))
	for _, v := range it.Values {
		t, f := c.value(l, it, v, slots, target)
		if f != nil {
			return nil, f
		}
		values = append(values, t)
	}
	op := treeOr
	if it.has("all") {
		op = treeAnd
	}
	t := join(op, values)
	if it.has("neq") {
		t = negate(t)
	}
	return t, nil
}

// slotsOf finds what an item looks at: the field's slot, or all slots of the
// keywords. No slots: the field is treated as absent.
func (c *compiler) slotsOf(l LogSource, it *Item) ([]int32, Target, *fault) {
	if it.Field != "" {
		target := c.opt.Mapping.Field(l, it.Field)
		slot, err := c.slot(target.Field)
		if err != nil && c.opt.Missing == RefuseMissing {
			return nil, target, faultAt(it.Position, "field %q of log source %s: %s", it.Field, l, err)
		}
		if err != nil {
			c.miss(target.Field)
			return nil, target, nil
		}
		return []int32{slot}, target, nil
	}
	var slots []int32
	names := c.opt.Mapping.Keywords(l)
	for _, name := range names {
		if slot, err := c.slot(name); err == nil {
			slots = append(slots, slot)
		}
	}
	if len(slots) == 0 && c.opt.Missing == RefuseMissing {
		return nil, Target{}, faultAt(it.Position, "keywords of log source %s: none of the fields for them (%s) is in the schema", l, strings.Join(names, ", "))
	}
	if len(slots) == 0 {
		for _, name := range names {
			c.miss(name)
		}
	}
	return slots, Target{}, nil
}

// value compiles one value of an item over all its slots.
func (c *compiler) value(l LogSource, it *Item, v Scalar, slots []int32, target Target) (*tree, *fault) {
	texts := []string{v.Text}
	if it.has("expand") {
		var err error
		texts, err = pattern.Expand(v.Text, func(name string) ([]string, bool) {
			values, ok := c.opt.Placeholders[name]
			return values, ok
		})
		if err != nil {
			return nil, faultAt(v.Position, "%s", err)
		}
	}
	var alternatives []*tree
	for _, text := range texts {
		if len(slots) == 0 {
			// The value is still compiled, so that its errors are told.
			t, f := c.test(l, it, Scalar{v.Kind, text, v.Position}, absentSlot, target)
			if f != nil {
				return nil, f
			}
			alternatives = append(alternatives, t)
		}
		for _, slot := range slots {
			t, f := c.test(l, it, Scalar{v.Kind, text, v.Position}, slot, target)
			if f != nil {
				return nil, f
			}
			alternatives = append(alternatives, t)
		}
	}
	return join(treeOr, alternatives), nil
}

// absentSlot stands for a field that no event has.
const absentSlot = -1

// test compiles one value for one slot.
func (c *compiler) test(l LogSource, it *Item, v Scalar, slot int32, target Target) (*tree, *fault) {
	var part timePart
	cmp, typ := Equal, ""
	for _, m := range it.Modifiers {
		switch {
		case orderings[m] != 0:
			cmp, typ = orderings[m], m
		case slices.Contains(timeParts, m):
			part = timePartOf(m)
		case modifiers[m] == modType:
			typ = m
		}
	}
	switch {
	case v.Kind == ScalarNull:
		return c.leaf(predicate{op: opEmpty, slot: slot}, ""), nil
	case typ == "exists":
		t := c.leaf(predicate{op: opPresent, slot: slot}, "")
		if !strings.EqualFold(v.Text, "true") {
			t = negate(t)
		}
		return t, nil
	case part != partNone, orderings[typ] != 0:
		n, ok := parseNumber(v.Text)
		if !ok {
			return nil, faultAt(v.Position, "%q is not a number", v.Text)
		}
		p := predicate{op: opNumber, slot: slot, cmp: cmp, num: n}
		if part != partNone {
			p.op, p.part = opTime, part
		}
		return c.leaf(p, ""), nil
	case typ == "cidr":
		return c.cidr(v, slot)
	case typ == "re":
		return c.regexp(it, v, slot)
	case typ == "fieldref":
		return c.fieldRef(l, it, v, slot)
	}
	return c.text(it, v, slot, target)
}

func (c *compiler) cidr(v Scalar, slot int32) (*tree, *fault) {
	p, err := netip.ParsePrefix(v.Text)
	if err != nil {
		a, addrErr := netip.ParseAddr(v.Text)
		if addrErr != nil {
			return nil, faultAt(v.Position, "%q is not an IP network (address/length)", v.Text)
		}
		p = netip.PrefixFrom(a, a.BitLen())
	}
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return c.leaf(predicate{op: opCIDR, slot: slot, net: p.Masked()}, ""), nil
}

func (c *compiler) regexp(it *Item, v Scalar, slot int32) (*tree, *fault) {
	var flags string
	for _, f := range []string{"i", "m", "s"} {
		if it.has(f) {
			flags += f
		}
	}
	expr := v.Text
	// By itself first: put into a group, a wrong expression can become a
	// right one.
	if _, err := syntax.Parse(expr, syntax.Perl); err != nil {
		return nil, regexpFault(v, err)
	}
	switch {
	case it.has("startswith"):
		expr = `\A(?:` + expr + `)`
	case it.has("endswith"):
		expr = `(?:` + expr + `)\z`
	}
	if flags != "" {
		expr = "(?" + flags + ")" + expr
	}
	return c.compiled(expr, v, slot)
}

func regexpFault(v Scalar, err error) *fault {
	return faultAt(v.Position, "regular expression %q: %s", v.Text, strings.TrimPrefix(err.Error(), "error parsing regexp: "))
}

func (c *compiler) compiled(expr string, v Scalar, slot int32) (*tree, *fault) {
	re, ok := c.regexps[expr]
	if !ok {
		var err error
		if re, err = regexp.Compile(expr); err != nil {
			return nil, regexpFault(v, err)
		}
		c.regexps[expr] = re
	}
	return c.leaf(predicate{op: opRegexp, slot: slot, re: re}, expr), nil
}

func (c *compiler) fieldRef(l LogSource, it *Item, v Scalar, slot int32) (*tree, *fault) {
	target := c.opt.Mapping.Field(l, v.Text).Field
	other, err := c.slot(target)
	if err != nil {
		if c.opt.Missing == RefuseMissing {
			return nil, faultAt(v.Position, "field %q of log source %s: %s", v.Text, l, err)
		}
		c.miss(target)
		return constant(false), nil
	}
	p := predicate{op: opFieldRef, slot: slot, other: other, folded: !it.has("cased"), place: opEquals}
	switch {
	case it.has("contains"):
		p.place = opContains
	case it.has("startswith"):
		p.place = opPrefix
	case it.has("endswith"):
		p.place = opSuffix
	}
	return c.leaf(p, ""), nil
}

// text compiles a string with wildcards.
func (c *compiler) text(it *Item, v Scalar, slot int32, target Target) (*tree, *fault) {
	text := v.Text
	for from, to := range target.Values {
		if strings.EqualFold(from, text) {
			text = to
			break
		}
	}
	patterns, err := transform(pattern.Parse(text), it)
	if err != nil {
		return nil, faultAt(v.Position, "%s", err)
	}
	var alternatives []*tree
	for _, p := range patterns {
		t, f := c.pattern(it, p, v, slot)
		if f != nil {
			return nil, f
		}
		alternatives = append(alternatives, t)
	}
	return join(treeOr, alternatives), nil
}

// transform applies the transforming and placing modifiers in their order.
func transform(p pattern.Pattern, it *Item) ([]pattern.Pattern, error) {
	set := []pattern.Pattern{p}
	for _, m := range it.Modifiers {
		var next []pattern.Pattern
		for _, p := range set {
			out, err := transformOne(p, m)
			if err != nil {
				return nil, err
			}
			next = append(next, out...)
		}
		if len(next) > pattern.MaxExpansion {
			return nil, fmt.Errorf("modifiers make more than %d values", pattern.MaxExpansion)
		}
		set = next
	}
	if it.Field == "" {
		for i := range set {
			set[i] = set[i].Starts().Ends()
		}
	}
	return set, nil
}

func transformOne(p pattern.Pattern, modifier string) ([]pattern.Pattern, error) {
	switch modifier {
	case "base64":
		out, err := p.Base64()
		return []pattern.Pattern{out}, err
	case "base64offset":
		return p.Base64Offset()
	case "windash":
		return pattern.Windash(p)
	case "wide", "utf16le":
		return []pattern.Pattern{p.UTF16(false, false)}, nil
	case "utf16be":
		return []pattern.Pattern{p.UTF16(true, false)}, nil
	case "utf16":
		return []pattern.Pattern{p.UTF16(false, true)}, nil
	case "contains":
		return []pattern.Pattern{p.Starts().Ends()}, nil
	case "startswith":
		return []pattern.Pattern{p.Starts()}, nil
	case "endswith":
		return []pattern.Pattern{p.Ends()}, nil
	}
	return []pattern.Pattern{p}, nil
}

// pattern compiles one finished pattern.
func (c *compiler) pattern(it *Item, p pattern.Pattern, v Scalar, slot int32) (*tree, *fault) {
	cased := it.has("cased")
	if plain, ok := p.Plain(); ok {
		if plain == "" {
			return c.leaf(predicate{op: opEmpty, slot: slot}, ""), nil
		}
		switch c.kindOf(slot) {
		case KindInt:
			if n, ok := parseNumber(plain); ok {
				return c.leaf(predicate{op: opNumber, slot: slot, cmp: Equal, num: n}, ""), nil
			}
		case KindIP:
			if a, err := netip.ParseAddr(plain); err == nil {
				a = a.Unmap()
				return c.leaf(predicate{op: opCIDR, slot: slot, net: netip.PrefixFrom(a, a.BitLen())}, ""), nil
			}
		}
	}
	if !cased && p.NeedsUnicode() {
		return c.compiled(p.Regexp(), v, slot)
	}
	g := pattern.NewGlob(p, !cased)
	shape, lit := g.Shape()
	pr := predicate{slot: slot, folded: !cased, lit: lit}
	switch shape {
	case pattern.Anything:
		return c.leaf(predicate{op: opPresent, slot: slot}, ""), nil
	case pattern.Equals:
		pr.op = opEquals
	case pattern.Prefix:
		pr.op = opPrefix
	case pattern.Suffix:
		pr.op = opSuffix
	case pattern.Contains:
		pr.op = opContains
	default:
		pr.op, pr.glob = opGlob, g
		source := p.String()
		if !cased {
			source = string(pattern.FoldASCII(nil, []byte(source)))
		}
		return c.leaf(pr, source), nil
	}
	return c.leaf(pr, string(lit)), nil
}

// leaf gives the tree of a predicate, the same number for equal ones. source
// is the text that tells predicates of one slot and operation apart. A test of
// an absent slot is decided here.
func (c *compiler) leaf(p predicate, source string) *tree {
	if p.slot == absentSlot {
		return constant(p.op == opEmpty)
	}
	key := make([]byte, 0, 64+len(source))
	folded := byte(0)
	if p.folded {
		folded = 1
	}
	key = append(key, byte(p.op), byte(p.place), byte(p.cmp), folded, byte(p.part))
	key = binary.AppendVarint(key, int64(p.slot))
	key = binary.AppendVarint(key, int64(p.other))
	key = strconv.AppendInt(key, p.num.i, 10)
	key = strconv.AppendFloat(append(key, ' '), p.num.f, 'g', -1, 64)
	key = append(append(key, ' '), p.net.String()...)
	key = append(append(key, ' '), source...)
	id, ok := c.predicateIDs[string(key)]
	if !ok {
		id = int32(len(c.set.predicates))
		c.predicateIDs[string(key)] = id
		p.index = noIndex
		c.set.predicates = append(c.set.predicates, p)
		c.sources = append(c.sources, source)
	}
	return &tree{op: treeLeaf, leaf: id}
}
