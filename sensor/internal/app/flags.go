package app

import (
	"strings"

	"github.com/hauberk/hauberk/suricata"
)

// MatchFlags compares a list of names of flags, each perhaps with ! before it,
// with those that are set.
func MatchFlags(o *suricata.Option, set map[string]bool) bool {
	if o.Value == nil {
		return false
	}
	for _, word := range strings.FieldsFunc(o.Value.String(), func(c rune) bool { return c == ',' || c == ' ' }) {
		name, not := strings.CutPrefix(word, "!")
		if set[name] == not {
			return false
		}
	}
	return true
}
