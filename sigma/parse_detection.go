package sigma

import (
	"strings"

	"go.yaml.in/yaml/v3"
)

func (p *ruleParser) detection(n *yaml.Node) *Detection {
	if n.Kind != yaml.MappingNode {
		p.fail(n, "detection must be a map")
		return nil
	}
	d := &Detection{}
	var names []string
	var conditions []*yaml.Node
	for _, a := range pairs(n) {
		switch {
		case a.key.Value == "condition" && a.value.Kind == yaml.SequenceNode:
			conditions = a.value.Content
		case a.key.Value == "condition":
			conditions = []*yaml.Node{a.value}
		case a.key.Value == "timeframe" && a.value.Kind == yaml.ScalarNode:
			p.fail(a.key, "\"timeframe\" belongs to the aggregations of Sigma 1: use a correlation rule")
		default:
			d.Searches = append(d.Searches, p.search(a.key, a.value))
			names = append(names, a.key.Value)
		}
	}
	switch {
	case len(d.Searches) == 0:
		p.fail(n, "detection has no search identifier")
	case len(conditions) == 0:
		p.fail(n, "detection has no condition")
	}
	for _, c := range conditions {
		d.Conditions = append(d.Conditions, p.condition(c, names))
	}
	return d
}

func (p *ruleParser) search(key, v *yaml.Node) Search {
	s := Search{Name: key.Value, Position: Position{key.Line, key.Column}}
	switch v.Kind {
	case yaml.ScalarNode:
		it := Item{Values: []Scalar{p.scalar(v)}, Position: Position{v.Line, v.Column}}
		p.checkModifiers(&it)
		s.Groups = []Group{{Items: []Item{it}}}
	case yaml.MappingNode:
		s.Groups = []Group{p.group(v)}
	case yaml.SequenceNode:
		s.Groups = p.groups(v)
	}
	if len(s.Groups) == 0 {
		p.fail(v, "search identifier %q is empty", s.Name)
	}
	return s
}

// groups reads a list: maps are groups of their own, all keywords one together.
func (p *ruleParser) groups(v *yaml.Node) []Group {
	var out []Group
	keywords := Item{List: true, Position: Position{v.Line, v.Column}}
	for _, item := range v.Content {
		switch item.Kind {
		case yaml.MappingNode:
			out = append(out, p.group(item))
		case yaml.ScalarNode:
			keywords.Values = append(keywords.Values, p.scalar(item))
		default:
			p.fail(item, "a list within a list")
		}
	}
	if len(keywords.Values) > 0 {
		p.checkModifiers(&keywords)
		out = append(out, Group{Items: []Item{keywords}})
	}
	return out
}

func (p *ruleParser) group(v *yaml.Node) Group {
	var g Group
	for _, a := range pairs(v) {
		g.Items = append(g.Items, p.item(a.key, a.value))
	}
	if len(g.Items) == 0 {
		p.fail(v, "an empty map")
	}
	return g
}

func (p *ruleParser) item(key, v *yaml.Node) Item {
	parts := strings.Split(key.Value, "|")
	it := Item{Field: strings.TrimSpace(parts[0]), Position: Position{key.Line, key.Column}}
	for _, m := range parts[1:] {
		it.Modifiers = append(it.Modifiers, strings.ToLower(strings.TrimSpace(m)))
	}
	switch v.Kind {
	case yaml.ScalarNode:
		it.Values = []Scalar{p.scalar(v)}
	case yaml.SequenceNode:
		it.List = true
		for _, x := range v.Content {
			if x.Kind != yaml.ScalarNode {
				p.fail(x, "a value of %q is not a plain value", key.Value)
				return it
			}
			it.Values = append(it.Values, p.scalar(x))
		}
	default:
		p.fail(v, "the value of %q must be a plain value or a list", key.Value)
		return it
	}
	if len(it.Values) == 0 {
		p.fail(v, "the list of %q is empty", key.Value)
		return it
	}
	for _, s := range it.Values {
		if s.Kind == ScalarNull && len(it.Values) > 1 {
			p.failAt(s.Position, "null cannot be part of a list of values (%q): use a search of its own", key.Value)
		}
	}
	p.checkModifiers(&it)
	return it
}

func (p *ruleParser) scalar(n *yaml.Node) Scalar {
	s := Scalar{Text: n.Value, Position: Position{n.Line, n.Column}}
	switch n.Tag {
	case "!!int", "!!float":
		s.Kind = ScalarNumber
	case "!!bool":
		s.Kind = ScalarBool
	case "!!null":
		s.Kind, s.Text = ScalarNull, ""
	case "!!str", "!!timestamp":
		s.Kind = ScalarString
	default:
		p.fail(n, "a value of type %s", n.Tag)
	}
	return s
}
