package match

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/hauberk/hauberk/suricata"
)

// Env is what the chains of one rule share.
type Env struct {
	Vars []string // suricata.Compiled.Vars
	// Base64 is the chain on base64_data, nil if the rule has none.
	Base64 *suricata.Chain
}

// Program is a chain ready to run. It is immutable.
type Program struct {
	ops     []op
	decoded *Program // runs on what a base64 step decoded
}

// op is a step with what can be known before bytes are seen.
type op struct {
	step suricata.Step
	// retry: what follows starts where this one ends, so that another
	// occurrence may succeed where the first did not.
	retry   bool
	single  bool   // a content without bounds that nothing is relative to
	pattern []byte // of a content: folded if nocase
	// variables by their place in State.Vars, -1: a number
	offset, depth, distance, within, nbytes, value, result int
}

// Compile prepares a chain.
func Compile(c *suricata.Chain, env Env) (*Program, error) {
	p := &Program{ops: make([]op, len(c.Steps))}
	for i, s := range c.Steps {
		o := &p.ops[i]
		*o = op{step: s, offset: -1, depth: -1, distance: -1, within: -1, nbytes: -1, value: -1, result: -1}
		if err := o.prepare(env); err != nil {
			return nil, err
		}
		if _, ok := s.(*suricata.Base64); ok && env.Base64 != nil {
			inner := env
			inner.Base64 = nil
			var err error
			if p.decoded, err = Compile(env.Base64, inner); err != nil {
				return nil, err
			}
		}
	}
	p.link()
	return p, nil
}

// CompileRule prepares all chains of a rule. The program of the chain on
// base64_data is nil: it runs as part of the chain that decodes.
func CompileRule(c *suricata.Compiled) ([]*Program, error) {
	chains := c.Chains()
	env := Env{Vars: c.Vars}
	for i := range chains {
		if chains[i].Buffer == suricata.BufBase64 {
			env.Base64 = &chains[i]
		}
	}
	out := make([]*Program, len(chains))
	for i := range chains {
		if chains[i].Buffer == suricata.BufBase64 {
			continue
		}
		var err error
		if out[i], err = Compile(&chains[i], env); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// variable finds the place of a variable.
func (e *Env) variable(n suricata.Num) (int, error) {
	if n.Var == "" {
		return -1, nil
	}
	i := slices.Index(e.Vars, n.Var)
	if i < 0 {
		return -1, fmt.Errorf("compile chain: unknown variable %q", n.Var)
	}
	return i, nil
}

func (o *op) prepare(env Env) (err error) {
	bind := func(at *int, n suricata.Num) {
		if err == nil {
			*at, err = env.variable(n)
		}
	}
	read := func(r *suricata.Read) {
		bind(&o.nbytes, r.Bytes)
		bind(&o.offset, r.Offset)
	}
	switch s := o.step.(type) {
	case *suricata.Content:
		bind(&o.offset, s.Offset)
		bind(&o.depth, s.Depth)
		bind(&o.distance, s.Distance)
		bind(&o.within, s.Within)
		o.pattern = s.Pattern
		if s.NoCase {
			o.pattern = bytes.Clone(s.Pattern)
			for i, c := range s.Pattern { // ASCII only
				o.pattern[i] = lower(c)
			}
		}
	case *suricata.IsDataAt:
		bind(&o.offset, s.At)
	case *suricata.ByteTest:
		read(&s.Read)
		bind(&o.value, s.Value)
	case *suricata.ByteJump:
		read(&s.Read)
	case *suricata.ByteExtract:
		read(&s.Read)
		bind(&o.result, suricata.Num{Var: s.Name})
	case *suricata.ByteMath:
		read(&s.Read)
		bind(&o.value, s.Value)
		bind(&o.result, suricata.Num{Var: s.Result})
	}
	return err
}

// link finds out which steps are worth another occurrence.
func (p *Program) link() {
	for i := range p.ops {
		s, ok := p.ops[i].step.(*suricata.Content)
		p.ops[i].single = ok && !s.Relative && !s.HasDepth && !s.HasOffset
	}
	for i := range p.ops {
		switch s := p.ops[i].step.(type) {
		case *suricata.Content:
			if s.Relative {
				p.mark(i, s.HasWithin || s.Negated)
			}
		case *suricata.PCREStep:
			if s.Relative {
				p.mark(i, true)
			}
		case *suricata.IsDataAt:
			p.markNext(i, s.Relative)
		case *suricata.ByteTest:
			p.markNext(i, s.Relative)
		case *suricata.ByteJump:
			p.markNext(i, s.Relative)
		case *suricata.ByteExtract:
			p.markNext(i, s.Relative)
		case *suricata.ByteMath:
			p.markNext(i, s.Relative)
		}
	}
}

// mark tells the content or pcre before step i that it is followed by a
// relative one. A content that is only a distance behind another gains nothing
// from a later occurrence of that.
func (p *Program) mark(i int, again bool) {
	for j := i - 1; j >= 0; j-- {
		switch p.ops[j].step.(type) {
		case *suricata.Content:
			p.ops[j].retry = p.ops[j].retry || again
			p.ops[j].single = false
			return
		case *suricata.PCREStep:
			p.ops[j].retry = true
			return
		}
	}
}

// markNext is mark for the steps that look only at the one just before them.
func (p *Program) markNext(i int, relative bool) {
	if !relative {
		return
	}
	for j := i - 1; j >= 0; j-- {
		switch p.ops[j].step.(type) {
		case *suricata.Content, *suricata.PCREStep:
			p.ops[j].retry, p.ops[j].single = true, false
			return
		case *suricata.IsDataAt, *suricata.ByteTest, *suricata.ByteJump, *suricata.ByteExtract, *suricata.ByteMath:
			return
		}
	}
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}
