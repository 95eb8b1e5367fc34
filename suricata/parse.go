package suricata

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/hauberk/hauberk/suricata/netset"
)

// Parse reads one rule. The error is of type Errors and lists every problem
// found: when options are at fault, all that are.
func Parse(text string) (*Rule, error) {
	r, errs := parseRule(text)
	if len(errs) > 0 {
		place(errs, text, "", 1, nil)
		return nil, errs
	}
	return r, nil
}

// parseRule leaves in Error.Column the offset into text, from 0, and no line.
func parseRule(text string) (*Rule, Errors) {
	p := parser{rule: &Rule{GID: 1, Enabled: true, Line: 1}}
	if i := controls(text); i >= 0 {
		p.fail(i, "", "control character in rule")
		return nil, p.errs
	}
	fields, options, err := split(text)
	if err != nil {
		p.fail(0, "", err.Error())
		return nil, p.errs
	}
	p.header(fields)
	p.options(options)
	p.finish()
	if len(p.errs) == 0 {
		resolve(&p)
	}
	for _, e := range p.errs {
		e.SID = p.rule.SID
	}
	if len(p.errs) > 0 {
		return nil, p.errs
	}
	return p.rule, nil
}

// place turns offsets into lines and columns. breaks are the offsets into text
// at which a line of the file begins (see logicalLine).
func place(errs Errors, text, file string, line int, breaks []int) {
	if breaks == nil {
		for i := 0; i < len(text); i++ {
			if text[i] == '\n' {
				breaks = append(breaks, i+1)
			}
		}
	}
	for _, e := range errs {
		at, start, n := e.Column, 0, 0
		for _, b := range breaks {
			if b > at {
				break
			}
			start, n = b, n+1
		}
		e.File, e.Line, e.Column = file, line+n, at-start+1
	}
}

type parser struct {
	rule *Rule
	errs Errors
}

func (p *parser) fail(pos int, keyword, reason string) {
	p.errs = append(p.errs, &Error{Column: pos, Keyword: keyword, Reason: reason, Problem: Invalid})
}

func (p *parser) header(f [headerFields]token) {
	r := p.rule
	var err [headerFields]error
	r.Actions, err[0] = parseActions(f[0].text)
	r.Proto, err[1] = parseProto(f[1].text)
	r.Src, err[2] = netset.Parse(f[2].text)
	r.SrcPort, err[3] = netset.Parse(f[3].text)
	r.Way, err[4] = parseWay(f[4].text)
	r.Dst, err[5] = netset.Parse(f[5].text)
	r.DstPort, err[6] = netset.Parse(f[6].text)
	for i, e := range err {
		if e != nil {
			p.fail(f[i].pos, "", e.Error())
		}
	}
}

func (p *parser) options(text token) {
	p.rule.Options = make([]Option, 0, strings.Count(text.text, ";"))
	for rest := text; strings.TrimSpace(rest.text) != ""; {
		raw, n, err := nextOption(rest.text, rest.pos)
		if err != nil {
			p.fail(raw.name.pos, "", err.Error())
			return
		}
		p.option(raw)
		rest = token{rest.text[n:], rest.pos + n}
	}
}

func (p *parser) option(raw rawOption) {
	k, ok := LookupKeyword(raw.name.text)
	if !ok {
		p.fail(raw.name.pos, raw.name.text, fmt.Sprintf("unknown keyword %q", raw.name.text))
		return
	}
	if k.Unsupported != "" {
		p.errs = append(p.errs, &Error{Column: raw.name.pos, Keyword: k.Name, Reason: "not supported: " + k.Unsupported, Problem: Unsupported})
		return
	}
	o := Option{Keyword: k, Pos: raw.name.pos}
	if err := o.parse(raw.value.text, raw.given); err != nil {
		p.fail(raw.value.pos, k.Name, err.Error())
		return
	}
	p.rule.Options = append(p.rule.Options, o)
}

// parse reads the argument by what the table says of the keyword.
func (o *Option) parse(text string, given bool) error {
	k := o.Keyword
	if k.Has(Directed) {
		text = o.direction(text)
	}
	switch {
	case text == "" && (k.Optional || k.Arg == nil):
		return nil
	case text == "":
		return errors.New("needs an argument")
	case k.Arg == nil:
		return fmt.Errorf("takes no argument, has %q", text)
	}
	a := arg{text: text}
	if k.Negatable && text[0] == '!' {
		a.negated, o.Negated = true, true
		a.text = text[1+blanks(text[1:]):]
	}
	if err := a.unquote(k.Quotes); err != nil {
		return err
	}
	v, err := k.Arg.parse(a)
	o.Value = v
	return err
}

// direction takes to_server or to_client off the front of an argument.
func (o *Option) direction(text string) string {
	for word, d := range map[string]Direction{"to_server": ToServer, "to_client": ToClient} {
		if rest, ok := strings.CutPrefix(text, word); ok {
			rest = rest[blanks(rest):]
			if rest == "" || rest[0] == ',' {
				o.Dir = d
				rest = strings.TrimPrefix(rest, ",")
				return rest[blanks(rest):]
			}
		}
	}
	return text
}

func (a *arg) unquote(q Quotes) error {
	if a.text == "" {
		return errors.New("needs an argument")
	}
	switch starts := a.text[0] == '"'; {
	case !starts && q == NeedQuotes:
		return errors.New("argument must be in double quotes")
	case !starts:
		return nil
	case q == NoQuotes:
		return errors.New("argument must not be in quotes")
	case len(a.text) < 2 || a.text[len(a.text)-1] != '"':
		return fmt.Errorf("quotes are not closed, is a semicolon missing? %s", a.text)
	}
	a.text, a.quoted = a.text[1:len(a.text)-1], true
	if a.text == "" {
		return errors.New("argument is empty")
	}
	return nil
}

// unmet reports whether an option is a requirement that is not met. Then other
// errors of the rule do not count: it is written for another version.
func unmet(o Option) bool {
	v, ok := o.Value.(*Requires)
	return ok && v.unmet() != ""
}

// finish copies the options every rule has into the rule's fields.
func (p *parser) finish() {
	r := p.rule
	for i := range r.Options {
		o := &r.Options[i]
		same := func(before Option) bool { return before.Keyword == o.Keyword }
		if o.Has(Once) && slices.ContainsFunc(r.Options[:i], same) {
			p.fail(o.Pos, o.Name, "given twice")
		}
		switch v := o.Value.(type) {
		case Count:
			switch o.Name {
			case "sid":
				r.SID = uint32(v)
			case "gid":
				r.GID = uint32(v)
			case "rev":
				r.Rev = uint32(v)
			case "priority":
				r.Priority = int(v)
			}
		case Quoted:
			if o.Name == "msg" {
				r.Msg = string(v)
			}
		case Text:
			if o.Name == "classtype" {
				r.Classtype = string(v)
			}
		}
	}
	if i := slices.IndexFunc(r.Options, unmet); i >= 0 {
		o := &r.Options[i]
		p.errs = Errors{{Column: o.Pos, Keyword: o.Name, Reason: o.Value.(*Requires).unmet(), Problem: Unmet}}
		return
	}
	if r.SID == 0 {
		p.fail(0, "sid", "missing: every rule needs one")
	}
}
