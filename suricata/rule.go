package suricata

import (
	"strings"

	"github.com/hauberk/hauberk/suricata/netset"
)

// A Rule is one parsed and checked rule. It is not changed after Parse.
type Rule struct {
	Actions []Deed // one, but for firewall rules
	Proto   Proto
	Src     netset.Expr
	SrcPort netset.Expr
	Way     Way
	Dst     netset.Expr
	DstPort netset.Expr
	Options []Option

	SID, GID, Rev uint32
	Msg           string
	Classtype     string
	Priority      int // 0: that of the classtype

	// Enabled is false for a rule that is commented out.
	Enabled bool
	File    string
	Line    int // of its first line, from 1

	text   string  // as in the file, if it was read from one
	chains []Chain // what the options mean; see resolve
	facts  facts
}

// Text is what the rule was parsed from, "" if not from a file.
func (r *Rule) Text() string { return r.text }

// An Option is one keyword of a rule with its argument.
type Option struct {
	*Keyword
	Negated bool
	Value   Value // nil: no argument
	// Dir is the direction a Directed keyword was bound to; zero: none.
	Dir Direction
	// Pos is where the keyword begins in the text given to Parse.
	Pos int
}

// String is "keyword" or "keyword:argument", without the semicolon.
func (o *Option) String() string {
	text := o.argument()
	if text == "" {
		return o.Name
	}
	return o.Name + ":" + text
}

func (o *Option) argument() string {
	text := ""
	if o.Value != nil {
		text = o.Value.String()
	}
	if o.Negated {
		text = "!" + text
	}
	if o.Dir == 0 {
		return text
	}
	if text == "" {
		return o.Dir.String()
	}
	return o.Dir.String() + ", " + text
}

// String is the canonical text of the rule: parsing it gives an equal rule.
// Aliases are printed as the keyword's name.
func (r *Rule) String() string {
	var b strings.Builder
	for i, a := range r.Actions {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(a.String())
	}
	b.WriteByte(' ')
	b.WriteString(r.Proto.String())
	for _, e := range [...]*netset.Expr{&r.Src, &r.SrcPort} {
		b.WriteByte(' ')
		b.WriteString(e.String())
	}
	b.WriteString(" " + string(r.Way))
	for _, e := range [...]*netset.Expr{&r.Dst, &r.DstPort} {
		b.WriteByte(' ')
		b.WriteString(e.String())
	}
	b.WriteString(" (")
	for i := range r.Options {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(r.Options[i].String())
		b.WriteByte(';')
	}
	b.WriteByte(')')
	return b.String()
}

// Find returns the first option of that keyword, nil if there is none.
func (r *Rule) Find(name string) *Option {
	for i := range r.Options {
		if r.Options[i].Name == name {
			return &r.Options[i]
		}
	}
	return nil
}

// Chains are the rule's matches by buffer, in order of first selection.
func (r *Rule) Chains() []Chain { return r.chains }
