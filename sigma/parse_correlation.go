package sigma

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// MaxTimespan bounds a correlation's window, because its state is kept so long.
const MaxTimespan = 90 * 24 * time.Hour

func (p *ruleParser) correlation(n *yaml.Node) {
	if n.Kind != yaml.MappingNode {
		p.fail(n, "correlation must be a map")
		return
	}
	c := &Correlation{Percentile: -1, Position: Position{n.Line, n.Column}}
	p.rule.Correlation = c
	var condition, span *yaml.Node
	for _, a := range pairs(n) {
		switch a.key.Value {
		case "type":
			word := p.text(a.value, "correlation type")
			if i := slices.Index(correlationNames[1:], word); i >= 0 {
				c.Type = CorrelationType(i + 1)
			} else {
				p.fail(a.value, "correlation type %q is not one of %s", word, strings.Join(correlationNames[1:], ", "))
			}
		case "rules":
			c.Rules = p.texts(a.value, "correlation rules")
		case "group-by":
			c.GroupBy = p.texts(a.value, "group-by")
		case "timespan":
			span = a.value
			c.Timespan = p.timespan(a.value)
		case "aliases":
			p.aliases(a.value, c)
		case "condition":
			condition = a.value
		case "generate":
			c.Generate = p.oneOf(a.value, "generate", "true", "false") == "true"
		default:
			p.fail(a.key, "correlation has no attribute %q", a.key.Value)
		}
	}
	switch {
	case p.err != nil:
		return
	case c.Type == CorrelationInvalid:
		p.fail(n, "correlation type is missing")
	case len(c.Rules) == 0:
		p.fail(n, "correlation names no rules")
	case span == nil:
		p.fail(n, "correlation timespan is missing")
	case c.Type == TemporalOrdered && len(c.Rules) < 2:
		p.fail(n, "temporal_ordered needs at least two rules")
	}
	for i, r := range c.Rules {
		if slices.Contains(c.Rules[:i], r) {
			p.fail(n, "correlation names rule %q twice", r)
		}
	}
	p.correlationCondition(n, condition, c)
}

// timespan reads a number and one of s, m, h, d.
func (p *ruleParser) timespan(n *yaml.Node) time.Duration {
	units := map[byte]time.Duration{'s': time.Second, 'm': time.Minute, 'h': time.Hour, 'd': 24 * time.Hour}
	s := p.text(n, "timespan")
	if len(s) >= 2 {
		v, err := strconv.Atoi(s[:len(s)-1])
		unit := units[s[len(s)-1]]
		if err == nil && v > 0 && unit > 0 {
			if v > int(MaxTimespan/unit) {
				p.fail(n, "timespan %q is longer than %d days", s, MaxTimespan/(24*time.Hour))
				return 0
			}
			return time.Duration(v) * unit
		}
	}
	p.fail(n, "timespan %q is not a positive number and one of s, m, h, d", s)
	return 0
}

func (p *ruleParser) aliases(n *yaml.Node, c *Correlation) {
	if n.Kind != yaml.MappingNode {
		p.fail(n, "aliases must be a map")
		return
	}
	for _, a := range pairs(n) {
		if a.value.Kind != yaml.MappingNode {
			p.fail(a.value, "alias %q must be a map of rule to field", a.key.Value)
			return
		}
		alias := Alias{Name: a.key.Value, Fields: map[string]string{}}
		for _, f := range pairs(a.value) {
			alias.Fields[f.key.Value] = p.text(f.value, "alias field")
		}
		c.Aliases = append(c.Aliases, alias)
	}
}

func (p *ruleParser) correlationCondition(n, v *yaml.Node, c *Correlation) {
	temporal := c.Type == Temporal || c.Type == TemporalOrdered
	switch {
	case p.err != nil:
	case v == nil && temporal:
	case v == nil:
		p.fail(n, "%s needs a condition", c.Type)
	case v.Kind == yaml.ScalarNode && temporal:
		expr := p.condition(v, c.Rules)
		c.Expr = &expr
		if c.Type == TemporalOrdered && p.err == nil && expr.expr.HasNot() {
			p.fail(v, "temporal_ordered cannot be combined with \"not\"")
		}
	case v.Kind != yaml.MappingNode:
		p.fail(v, "the condition of %s must be a map", c.Type)
	default:
		p.bounds(v, c)
	}
}

func (p *ruleParser) bounds(v *yaml.Node, c *Correlation) {
	for _, a := range pairs(v) {
		key := a.key.Value
		op := slices.Index(comparisonNames[:], key)
		switch {
		case key == "field":
			c.Fields = p.texts(a.value, "condition field")
		case key == "percentile":
			pc, err := strconv.ParseFloat(p.text(a.value, key), 64)
			if err != nil || !(pc >= 0 && pc <= 100) || c.Type != ValuePercentile {
				p.fail(a.value, "percentile must be a number from 0 to 100, in a value_percentile correlation")
			}
			c.Percentile = pc
		case key != "" && op > 0:
			x, err := strconv.ParseFloat(p.text(a.value, key), 64)
			if err != nil || x != x {
				p.fail(a.value, "%s needs a number, not %q", key, a.value.Value)
			}
			c.Bounds = append(c.Bounds, Bound{Comparison(op), x})
		default:
			p.fail(a.key, "a correlation's condition has no attribute %q", key)
		}
	}
	valued := c.Type == ValueCount || c.Type == ValueSum || c.Type == ValueAvg || c.Type == ValuePercentile
	switch {
	case len(c.Bounds) == 0:
		p.fail(v, "the condition has none of gt, gte, lt, lte, eq, neq")
	case valued && len(c.Fields) == 0:
		p.fail(v, "the condition of %s needs a field", c.Type)
	case !valued && len(c.Fields) > 0:
		p.fail(v, "the condition of %s takes no field", c.Type)
	case len(c.Fields) > 1 && c.Type != ValueCount:
		p.fail(v, "the condition of %s takes one field", c.Type)
	}
}
