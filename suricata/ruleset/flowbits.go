package ruleset

import "strings"

// resolveFlowbits switches rules on, without alerts of their own, that set a
// flowbit which a rule that is on asks for, until none is missing.
func (s *Set) resolveFlowbits() {
	setters := map[string][]*Rule{} // by bit: rules that are off
	asked := map[string]bool{}
	var wanted []string
	ask := func(r *Rule) {
		for cmd, bit := range r.flowbits {
			if (cmd == "isset" || cmd == "isnotset") && !asked[bit] {
				asked[bit] = true
				wanted = append(wanted, bit)
			}
		}
	}
	for _, r := range s.Rules {
		if r.Enabled {
			ask(r)
			continue
		}
		for cmd, bit := range r.flowbits {
			if cmd == "set" || cmd == "toggle" {
				setters[bit] = append(setters[bit], r)
			}
		}
	}
	for len(wanted) > 0 {
		bit := wanted[0]
		wanted = wanted[1:]
		for _, r := range setters[bit] {
			if r.Enabled {
				continue
			}
			r.Enabled = true
			if !r.silent() {
				r.add("noalert")
			}
			s.Counts.Flowbits++
			ask(r)
		}
	}
}

// flowbits calls yield with each command and bit of the rule.
func (r *Rule) flowbits(yield func(cmd, bit string) bool) {
	for name, arg := range r.options {
		if name != "flowbits" {
			continue
		}
		cmd, bits, _ := strings.Cut(arg, ",")
		for bit := range strings.SplitSeq(bits, "|") {
			if bit = strings.TrimSpace(bit); bit != "" && !yield(strings.TrimSpace(cmd), bit) {
				return
			}
		}
	}
}
