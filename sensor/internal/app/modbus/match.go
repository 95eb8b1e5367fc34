package modbus

import (
	"strconv"
	"strings"

	"github.com/hauberk/hauberk/sensor/internal/app"
	"github.com/hauberk/hauberk/suricata"
)

// Match implements app.Tx: the keyword modbus.
func (t *tx) Match(o *suricata.Option, dir app.Dir) bool {
	m := t.request
	if m == nil {
		m = t.response
	}
	parts, ok := o.Value.(suricata.List)
	if !ok || dir != app.ToServer && t.request != nil {
		return false
	}
	var at uint16 // The address, where a value is asked for.
	for _, part := range parts {
		name, arg, _ := strings.Cut(strings.Trim(part, `" `), " ")
		arg = strings.TrimSpace(arg)
		switch name {
		case "unit":
			ok = within(arg, m.unit, m.unit)
		case "function":
			ok = m.isFunction(arg)
		case "subfunction":
			n, err := strconv.ParseUint(arg, 10, 16)
			ok = err == nil && m.function == diagnostic && m.sub == uint16(n)
		case "access":
			ok = m.accesses(arg)
		case "address":
			first, last, has := m.addresses()
			ok = has && within(arg, first, last)
			at, _, _ = bounds[uint16](arg)
		case "value":
			v, has := m.written(at)
			ok = has && within(arg, v, v)
		default:
			ok = false
		}
		if !ok {
			return false
		}
	}
	return true
}

func (m *message) isFunction(arg string) bool {
	if n, err := strconv.ParseUint(arg, 10, 8); err == nil {
		return m.function == uint8(n)
	}
	name, negated := strings.CutPrefix(arg, "!")
	c, ok := map[string]category{
		"assigned": publicAssigned, "unassigned": publicUnassigned, "public": publicAssigned | publicUnassigned, "user": userDefined, "reserved": reserved,
		"all": allCategories,
	}[name]
	return ok && (categoryOf(m.function)&c != 0) != negated
}

// accesses says whether the function reads or writes what the words name.
func (m *message) accesses(arg string) bool {
	words := map[string]access{
		"read": accessRead, "write": accessWrite, "discretes": accessDiscretes, "coils": accessCoils, "input": accessInput, "holding": accessHolding,
	}
	fields := strings.Fields(arg)
	for _, word := range fields {
		if accesses[m.function]&words[word] == 0 {
			return false
		}
	}
	return len(fields) > 0
}

// bounds reads a number, <number, >number or from<>to; exact: it is a number.
func bounds[T uint8 | uint16](arg string) (from, to T, exact bool) {
	parse := func(s string) T {
		n, _ := strconv.ParseUint(strings.TrimSpace(s), 10, 16)
		return T(n)
	}
	if a, b, ok := strings.Cut(arg, "<>"); ok {
		return parse(a), parse(b), false
	}
	if rest, ok := strings.CutPrefix(arg, "<"); ok {
		return 0, parse(rest), false
	}
	if rest, ok := strings.CutPrefix(arg, ">"); ok {
		return parse(rest), ^T(0), false
	}
	n := parse(arg)
	return n, n, true
}

// within says whether some of first to last lies between the bounds, which do
// not belong to what is between them.
func within[T uint8 | uint16](arg string, first, last T) bool {
	from, to, exact := bounds[T](arg)
	switch {
	case exact:
		return first <= from && from <= last
	case from == 0 && strings.HasPrefix(arg, "<"):
		return first < to
	case to == ^T(0):
		return last > from
	}
	return from < last && first < to
}
