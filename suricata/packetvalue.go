package suricata

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Flags is the argument of tcp.flags and fragbits.
type Flags struct {
	Mode byte   // 0 exactly these, '+' these and any, '*' any of these, '!' not these
	Set  string // letters in canonical order, "0" for none
	Mask string // letters that are ignored, "" for none
}

// String is [mode]letters[,mask].
func (f *Flags) String() string {
	s := f.Set
	if f.Mode != 0 {
		s = string(f.Mode) + s
	}
	if f.Mask != "" {
		s += "," + f.Mask
	}
	return s
}

// Match compares header bits. The position of a letter in order is its bit.
func (f *Flags) Match(order string, header uint8) bool {
	var set, ignored uint8
	for i := range len(order) {
		if strings.IndexByte(f.Set, order[i]) >= 0 {
			set |= 1 << i
		}
		if strings.IndexByte(f.Mask, order[i]) >= 0 {
			ignored |= 1 << i
		}
	}
	if set == 0 && header != 0 {
		return f.Mode == '!'
	}
	header &^= ignored
	switch f.Mode {
	case '*':
		return header&set != 0
	case '+':
		return header&set == set
	case '!':
		return header&set != set
	}
	return header == set
}

// The letters of the flags, lowest header bit first. C and E (or 1 and 2) are CWR and ECE.
const (
	TCPFlagOrder = "FSRPAUEC"
	FragBitOrder = "MDR" // more fragments, don't fragment, reserved
)

// parseFlags reads letters of order; a mode sign may come before or after them.
func parseFlags(s, order string, masked bool) (Value, error) {
	part := splitList(strings.ToUpper(s))
	f := &Flags{}
	if len(part) > 2 || len(part) == 2 && !masked {
		return nil, fmt.Errorf("%q has too many parts", s)
	}
	letters := part[0]
	for _, end := range [...]func(string, string) (string, bool){strings.CutPrefix, strings.CutSuffix} {
		for _, sign := range "+*!" {
			if rest, ok := end(letters, string(sign)); ok {
				if f.Mode != 0 {
					return nil, errors.New("two modes")
				}
				f.Mode, letters = byte(sign), strings.TrimSpace(rest)
			}
		}
	}
	var err error
	if f.Set, err = sortFlags(letters, order); err != nil {
		return nil, err
	}
	if len(part) == 2 {
		f.Mask, err = sortFlags(part[1], order)
	}
	return f, err
}

func sortFlags(letters, order string) (string, error) {
	if letters == "0" {
		return "0", nil
	}
	letters = strings.NewReplacer("1", "C", "2", "E").Replace(letters)
	var out strings.Builder
	for i := range len(order) {
		if strings.IndexByte(letters, order[i]) >= 0 {
			out.WriteByte(order[i])
		}
	}
	for _, c := range letters {
		if !strings.ContainsRune(order, c) {
			return "", fmt.Errorf("unknown flag %q", c)
		}
	}
	if out.Len() == 0 {
		return "", errors.New("no flag given")
	}
	return out.String(), nil
}

// IPProto is the argument of ip_proto.
type IPProto struct {
	Op     Op // Eq, Ne, Lt or Gt
	Number uint8
}

// String is [op]number.
func (p *IPProto) String() string { return fmt.Sprintf("%s%d", opText[p.Op], p.Number) }

// ipProtoNames are the names of /etc/protocols that rules use.
var ipProtoNames = map[string]uint64{"icmp": 1, "igmp": 2, "ipencap": 4, "tcp": 6, "egp": 8, "igp": 9, "udp": 17, "dccp": 33,
	"ipv6": 41, "rsvp": 46, "gre": 47, "esp": 50, "ah": 51, "ipv6-icmp": 58, "ospf": 89, "pim": 103, "vrrp": 112, "l2tp": 115, "sctp": 132, "udplite": 136}

func parseIPProto(a arg) (Value, error) {
	u, err := parseUint(a.text, 8, ipProtoNames, false)
	if err != nil {
		return nil, err
	}
	if u.Op != Eq && u.Op != Ne && u.Op != Lt && u.Op != Gt {
		return nil, fmt.Errorf("operator of %q is none of !, <, >", a.text)
	}
	return &IPProto{u.Op, uint8(u.A)}, nil
}

// Iface is the argument of dcerpc.iface.
type Iface struct {
	UUID    [16]byte
	Version *Uint // nil: any
	AnyFrag bool
}

// String is the UUID in lower case and the rest.
func (i *Iface) String() string {
	u := i.UUID
	s := fmt.Sprintf("%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:])
	if i.Version != nil {
		v := i.Version.String()
		if i.Version.Op == Eq {
			v = "=" + v
		}
		s += "," + v
	}
	if i.AnyFrag {
		s += ",any_frag"
	}
	return s
}

func parseIface(a arg) (Value, error) {
	part := splitList(a.text)
	i := &Iface{}
	raw, err := hex.DecodeString(strings.ReplaceAll(part[0], "-", ""))
	if err != nil || len(raw) != len(i.UUID) || strings.Count(part[0], "-") != 4 {
		return nil, fmt.Errorf("%q is no UUID", part[0])
	}
	copy(i.UUID[:], raw)
	for n, word := range part[1:] {
		if word == "any_frag" && n == len(part)-2 {
			i.AnyFrag = true
			continue
		}
		if i.Version, err = parseUint(word, 16, nil, false); err != nil || n > 0 {
			return nil, errors.Join(err, unknownWord(n == 0, word))
		}
	}
	return i, nil
}

// numbers parses numbers and ranges between commas (dcerpc.opnum, rpc).
func numbers(a arg) (Value, error) {
	l := splitList(a.text)
	for _, part := range l {
		for _, n := range strings.Split(part, "-") {
			if _, err := parseAmount(n, 32); err != nil && part != "*" {
				return nil, err
			}
		}
	}
	return l, nil
}

// transformHex parses the key of xor: hex digits.
func transformHex(a arg) (Value, error) {
	key, err := hex.DecodeString(a.text)
	if err != nil || len(key) == 0 {
		return nil, fmt.Errorf("%q is no key of whole bytes in hex", a.text)
	}
	return Quoted(strings.ToLower(a.text)), nil
}

// parseEvent reads the name of a decoder, stream or engine event.
func parseEvent(a arg) (Value, error) {
	if strings.ContainsAny(a.text, " \t,") {
		return nil, fmt.Errorf("%q is no event", a.text)
	}
	return Text(strings.ToLower(a.text)), nil
}

// parseAppEvent reads the name of an event of an application protocol: that
// before the first dot.
func parseAppEvent(a arg) (Value, error) {
	proto, name, dotted := strings.Cut(a.text, ".")
	if _, known := apps[appName(proto)]; !known && !strings.HasPrefix(proto, "applayer_") {
		return nil, fmt.Errorf("unknown protocol %q", proto)
	}
	if dotted && name == "" || strings.ContainsAny(a.text, " \t,") {
		return nil, fmt.Errorf("%q is no event", a.text)
	}
	if dotted {
		return Text(appName(proto) + "." + name), nil
	}
	return Text(a.text), nil
}

// EventProto is the application protocol an app-layer-event belongs to, "" for
// those of detection itself.
func EventProto(v Value) string {
	t, _ := v.(Text)
	proto, _, _ := strings.Cut(string(t), ".")
	if strings.HasPrefix(proto, "applayer_") {
		return ""
	}
	return appName(proto)
}

// parseAppProto reads app-layer-protocol: [!]proto|proto[,mode].
func parseAppProto(a arg) (Value, error) {
	part := splitList(a.text)
	modes := []string{"final", "original", "either", "to_server", "to_client", "toserver", "toclient", "exact"}
	if len(part) > 2 || len(part) == 2 && !slices.Contains(modes, part[1]) {
		return nil, fmt.Errorf("mode of %q is unknown", a.text)
	}
	for _, name := range strings.Split(part[0], "|") {
		if _, ok := apps[appName(name)]; !ok && name != "failed" && name != "unknown" {
			return nil, fmt.Errorf("unknown protocol %q", name)
		}
	}
	return Text(strings.Join(part, ",")), nil
}
