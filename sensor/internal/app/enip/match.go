package enip

import (
	"slices"
	"strconv"
	"strings"

	"github.com/hauberk/hauberk/sensor/internal/app"
	"github.com/hauberk/hauberk/suricata"
)

// Match implements app.Tx.
func (t *tx) Match(o *suricata.Option, dir app.Dir) bool {
	m := t.said[dir]
	switch o.Name {
	case "cip_service":
		c := m.cip()
		return c != nil && c.matchService(o)
	case "enip_command":
		return m != nil && app.MatchUint(o, uint64(m.command))
	case "enip.status":
		return m != nil && app.MatchUint(o, uint64(m.status))
	}
	return app.MatchIndexed(o, t.numbers(o.Name, dir))
}

// numbers are those that a keyword compares.
func (t *tx) numbers(keyword string, dir app.Dir) (list []uint64) {
	add := func(n uint64) { list = append(list, n) }
	request, response := t.said[app.ToServer].cip(), t.said[app.ToClient].cip()
	switch keyword {
	case "enip.cip_class", "enip.cip_instance", "enip.cip_attribute":
		if request != nil {
			kind := map[string]uint8{"enip.cip_class": segmentClass, "enip.cip_instance": segmentInstance, "enip.cip_attribute": segmentAttribute}[keyword]
			request.each(func(c *cip) {
				c.addresses(kind, add)
			})
		}
	case "enip.cip_status", "enip.cip_extendedstatus":
		if response != nil {
			response.each(func(c *cip) {
				if keyword == "enip.cip_status" && c.response {
					add(uint64(c.status))
				} else if keyword != "enip.cip_status" && len(c.extended) == 2 {
					add(uint64(c.extended[1])<<8 | uint64(c.extended[0]))
				}
			})
		}
	case "enip.protocol_version":
		if v, ok := t.said[dir].protocolVersion(); ok {
			add(uint64(v))
		}
	case "enip.capabilities":
		if s := t.said[app.ToClient].services(); s != nil {
			add(uint64(s.capabilities))
		}
	default:
		if x := t.said[app.ToClient].identity(); x != nil {
			add(x.number(keyword))
		}
	}
	return list
}

// addresses are the values of the segments of a kind, and the attributes that
// are asked for.
func (c *cip) addresses(kind uint8, add func(uint64)) {
	if c.response {
		return
	}
	for _, s := range c.path {
		if s.kind>>2 == kind {
			add(uint64(s.value))
		}
	}
	if kind == segmentAttribute {
		for _, a := range c.attributes {
			add(uint64(a))
		}
	}
}

func (x *identity) number(keyword string) uint64 {
	switch keyword {
	case "enip.device_type":
		return uint64(x.device)
	case "enip.identity_status":
		return uint64(x.status)
	case "enip.product_code":
		return uint64(x.product)
	case "enip.revision":
		return uint64(x.major)<<8 | uint64(x.minor)
	case "enip.serial":
		return uint64(x.serial)
	case "enip.state":
		return uint64(x.state)
	}
	return uint64(x.vendor) // enip.vendor_id
}

func (m *message) protocolVersion() (uint16, bool) {
	switch {
	case m == nil:
		return 0, false
	case m.registers:
		return m.version, true
	case m.services() != nil:
		return m.services().version, true
	case m.identity() != nil:
		return m.identity().version, true
	}
	return 0, false
}

// matchService compares a service, and if the rule says so a class and an
// attribute, with this and those within.
func (c *cip) matchService(o *suricata.Option) bool {
	list, _ := o.Value.(suricata.List)
	var want [3]uint64
	for i, text := range list[:min(len(list), len(want))] {
		n, err := strconv.ParseUint(strings.TrimSpace(text), 10, 32)
		if err != nil {
			list = list[:i] // An attribute with ! asks for nothing.
			break
		}
		want[i] = n
	}
	matched := false
	c.each(func(x *cip) {
		has := func(kind uint8, n uint64) bool {
			var values []uint64
			x.addresses(kind, func(v uint64) { values = append(values, v) })
			return slices.Contains(values, n)
		}
		matched = matched || len(list) > 0 && uint64(x.service) == want[0] &&
			(len(list) < 2 || has(segmentClass, want[1])) && (len(list) < 3 || has(segmentAttribute, want[2]))
	})
	return matched
}
