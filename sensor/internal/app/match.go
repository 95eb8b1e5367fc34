package app

import (
	"slices"
	"strconv"

	"github.com/hauberk/hauberk/suricata"
)

// MatchIndexed compares numbers of which a transaction has several with the
// argument of a keyword, which may say which of them count.
func MatchIndexed(o *suricata.Option, values []uint64) bool {
	u, ok := o.Value.(*suricata.Uint)
	if !ok {
		return false
	}
	misses := func(n uint64) bool { return !u.Match(n) }
	switch u.Index {
	case "":
		return slices.ContainsFunc(values, u.Match)
	case "all", "all_or_absent":
		return !slices.ContainsFunc(values, misses)
	case "all1":
		return len(values) > 0 && !slices.ContainsFunc(values, misses)
	}
	i, err := strconv.Atoi(u.Index)
	if i < 0 {
		i += len(values)
	}
	return err == nil && i >= 0 && i < len(values) && u.Match(values[i])
}
