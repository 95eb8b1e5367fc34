package dcerpc

import (
	"strconv"
	"strings"

	"github.com/hauberk/hauberk/suricata"
)

// MatchOp says whether the number of an operation is among those of
// dcerpc.opnum.
func MatchOp(o *suricata.Option, op uint16) bool {
	list, _ := o.Value.(suricata.List)
	for _, part := range list {
		if part == "*" {
			return true
		}
		from, to, ranged := strings.Cut(part, "-")
		low, _ := strconv.Atoi(from)
		high := low
		if ranged {
			high, _ = strconv.Atoi(to)
		}
		if low <= int(op) && int(op) <= high {
			return true
		}
	}
	return false
}

// Matches says whether an interface was accepted and is that of dcerpc.iface.
func (f *Interface) Matches(o *suricata.Option) bool {
	want, ok := o.Value.(*suricata.Iface)
	return ok && f.Acked && f.Result == 0 && f.UUID == want.UUID && (want.Version == nil || want.Version.Match(uint64(f.Version)))
}

// ofFragment says whether the fragment an interface came in is one that
// dcerpc.iface asks for.
func (f *Interface) ofFragment(o *suricata.Option) bool {
	want, ok := o.Value.(*suricata.Iface)
	return ok && (f.first || want.AnyFrag)
}
