package sigma

import (
	"slices"
	"strings"
)

// modKind groups the modifiers by what they do; an item has at most one of
// each kind but transform and regexFlag.
type modKind uint8

const (
	modTransform modKind = iota // changes the values
	modPlace                    // contains, startswith, endswith
	modType                     // how a value is compared
	modFlag                     // cased, all, neq
	modRegexFlag                // i, m, s: only right behind re
)

var modifiers = map[string]modKind{
	"base64": modTransform, "base64offset": modTransform, "windash": modTransform, "expand": modTransform,
	"wide": modTransform, "utf16": modTransform, "utf16le": modTransform, "utf16be": modTransform,
	"contains": modPlace, "startswith": modPlace, "endswith": modPlace,
	"re": modType, "cidr": modType, "exists": modType, "fieldref": modType,
	"gt": modType, "gte": modType, "lt": modType, "lte": modType,
	"minute": modType, "hour": modType, "day": modType, "week": modType, "month": modType, "year": modType,
	"cased": modFlag, "all": modFlag, "neq": modFlag,
	"i": modRegexFlag, "m": modRegexFlag, "s": modRegexFlag,
}

// Modifiers lists every value modifier this library knows, sorted.
func Modifiers() []string {
	out := make([]string, 0, len(modifiers))
	for m := range modifiers {
		out = append(out, m)
	}
	slices.Sort(out)
	return out
}

func (it *Item) has(modifier string) bool { return slices.Contains(it.Modifiers, modifier) }

var timeParts = []string{"minute", "hour", "day", "week", "month", "year"}

var orderings = map[string]Comparison{"gt": Greater, "gte": GreaterEqual, "lt": Less, "lte": LessEqual}

// checkModifiers refuses unknown modifiers and combinations without meaning.
func (p *ruleParser) checkModifiers(it *Item) {
	var place, typ, part string
	for i, m := range it.Modifiers {
		kind, ok := modifiers[m]
		switch {
		case !ok:
			p.failAt(it.Position, "modifier %q does not exist", m)
			return
		case slices.Contains(it.Modifiers[:i], m):
			p.failAt(it.Position, "modifier %q is given twice", m)
		case kind == modPlace && place != "":
			p.failAt(it.Position, "modifiers %q and %q exclude each other", place, m)
		case kind == modPlace:
			place = m
		case kind == modRegexFlag && typ != "re":
			p.failAt(it.Position, "modifier %q is only allowed after \"re\"", m)
		case kind == modType && slices.Contains(timeParts, m) && part == "" && (typ == "" || orderings[typ] != 0):
			part = m
		case kind == modType && (typ != "" || part != "" && orderings[m] == 0):
			p.failAt(it.Position, "modifiers %q and %q exclude each other", typ+part, m)
		case kind == modType:
			typ = m
		case kind == modTransform && (typ != "" || part != "" || place != ""):
			p.failAt(it.Position, "modifier %q must stand before %q", m, typ+part+place)
		}
	}
	if typ == "" {
		typ = part
	}
	p.checkCombination(it, typ, place)
}

func (p *ruleParser) checkCombination(it *Item, typ, place string) {
	transforms := slices.ContainsFunc(it.Modifiers, func(m string) bool { return modifiers[m] == modTransform && m != "expand" })
	switch {
	case it.has("all") && len(it.Values) < 2:
		p.failAt(it.Position, "modifier \"all\" needs a list of at least two values")
	case place != "" && typ != "" && typ != "re" && typ != "fieldref":
		p.failAt(it.Position, "modifiers %q and %q exclude each other", place, typ)
	case transforms && typ != "":
		p.failAt(it.Position, "an encoding cannot be combined with %q", typ)
	case it.has("cased") && typ != "" && typ != "re" && typ != "fieldref":
		p.failAt(it.Position, "modifiers \"cased\" and %q exclude each other", typ)
	case it.Field == "" && typ != "" && typ != "re":
		p.failAt(it.Position, "modifier %q needs a field", typ)
	}
	for _, v := range it.Values {
		p.checkValue(it, v, typ)
	}
}

func (p *ruleParser) checkValue(it *Item, v Scalar, typ string) {
	switch {
	case typ == "exists" && v.Kind != ScalarBool:
		p.failAt(v.Position, "exists needs true or false, not %q", v.Text)
	case v.Kind == ScalarNull && it.Field == "":
		p.failAt(v.Position, "null is not a keyword")
	case v.Kind == ScalarNull && len(it.Modifiers) > 0 && !(len(it.Modifiers) == 1 && it.has("neq")):
		p.failAt(v.Position, "null cannot be combined with %q", strings.Join(it.Modifiers, "|"))
	case it.Field == "" && v.Text == "":
		p.failAt(v.Position, "an empty keyword")
	}
	if orderings[typ] != 0 || slices.Contains(timeParts, typ) {
		if _, ok := parseNumber(v.Text); !ok && !it.has("expand") {
			p.failAt(v.Position, "%s needs a number, not %q", typ, v.Text)
		}
	}
}
