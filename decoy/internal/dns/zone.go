package dns

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Types that the responder treats in a way of their own (RFC 1035, 4034, 6891).
const (
	typeA, typeNS, typeCNAME, typeSOA, typeAAAA = 1, 2, 5, 6, 28
	typeOPT, typeRRSIG, typeAXFR, typeANY       = 41, 46, 252, 255
)

// kinds are the types whose data a zone file may write in words. Others are written as RFC 3597 has it: TYPE64 \# 2 0001.
var kinds = map[string]uint16{
	"A": 1, "NS": 2, "CNAME": 5, "SOA": 6, "PTR": 12, "MX": 15, "TXT": 16, "AAAA": 28, "SRV": 33, "CAA": 257,
}

// node is a name of a zone.
type node struct{ sets []set }

// set is the records of one type at a name. A record is type, class, TTL, length and data, without its owner's name.
type set struct {
	kind    uint16
	count   uint16
	records []byte
}

func (n *node) set(kind uint16) *set {
	for i := range n.sets {
		if n.sets[i].kind == kind {
			return &n.sets[i]
		}
	}
	return nil
}

// zone is a zone; names are in wire form and lower case.
type zone struct {
	apex     string
	nodes    map[string]*node
	negative uint32 // TTL of what is not there: the SOA's last field (RFC 2308 section 5).
}

// Zones are what a responder answers for.
type Zones struct{ byApex map[string]*zone }

// NewZones makes a set without a zone.
func NewZones() *Zones { return &Zones{byApex: map[string]*zone{}} }

// Len is how many zones there are.
func (z *Zones) Len() int { return len(z.byApex) }

// Load reads a zone's master file (RFC 1035 section 5): $ORIGIN, $TTL, parentheses, comments, quoted text. A mistake is told
// with file, line and reason.
func (z *Zones) Load(name, file string, r io.Reader) error {
	apex, err := wireName(strings.TrimSuffix(name, ".")+".", "")
	if err != nil {
		return fmt.Errorf("zone %s: %w", name, err)
	}
	if z.byApex[apex] != nil {
		return fmt.Errorf("zone %s: it is there already", name)
	}
	p := &parser{zone: &zone{apex: apex, nodes: map[string]*node{}}, origin: apex, owner: apex, ttl: 3600}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	number, start := 0, 0
	var fields []string
	open, blank := false, false
	for lines.Scan() {
		number++
		text := lines.Text()
		more, err := split(text, &open)
		if err != nil {
			return fmt.Errorf("%s:%d: %w", file, number, err)
		}
		if len(fields) == 0 {
			start, blank = number, text != "" && (text[0] == ' ' || text[0] == '\t')
		}
		if fields = append(fields, more...); open || len(fields) == 0 {
			continue
		}
		if err := p.entry(fields, blank); err != nil {
			return fmt.Errorf("%s:%d: %w", file, start, err)
		}
		fields = fields[:0]
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("%s:%d: %w", file, number+1, err)
	}
	if open {
		return fmt.Errorf("%s:%d: a parenthesis is not closed", file, start)
	}
	if err := p.finish(); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	z.byApex[apex] = p.zone
	return nil
}

// split cuts a line into fields. Quoted ones keep the quote in front, so that they are told from words.
func split(s string, open *bool) (fields []string, err error) {
	for i := 0; i < len(s); {
		switch c := s[i]; c {
		case ' ', '\t', '\r':
			i++
		case ';':
			return fields, nil
		case '(', ')':
			if *open == (c == '(') {
				return nil, fmt.Errorf("parenthesis %q has no partner", string(c))
			}
			*open = c == '('
			i++
		case '"':
			b := []byte{'"'}
			for i++; ; i++ {
				if i >= len(s) {
					return nil, errors.New("a quote is not closed")
				}
				if s[i] == '"' {
					break
				}
				if s[i] == '\\' && i+1 < len(s) {
					i++
				}
				b = append(b, s[i])
			}
			i++
			fields = append(fields, string(b))
		default:
			end := i
			for end < len(s) && !strings.ContainsRune(" \t\r;()\"", rune(s[end])) {
				end++
			}
			fields = append(fields, s[i:end])
			i = end
		}
	}
	return fields, nil
}

// parser is what has been said so far in a master file.
type parser struct {
	zone          *zone
	origin, owner string
	ttl           uint32
}

// entry takes a directive or a record.
func (p *parser) entry(f []string, blank bool) (err error) {
	switch strings.ToUpper(f[0]) {
	case "$ORIGIN":
		if len(f) != 2 {
			return errors.New("$ORIGIN wants a name")
		}
		p.origin, err = wireName(f[1], p.origin)
		return err
	case "$TTL":
		if len(f) != 2 {
			return errors.New("$TTL wants a time")
		}
		p.ttl, err = seconds(f[1])
		return err
	}
	if strings.HasPrefix(f[0], "$") {
		return fmt.Errorf("directive %s is not known", f[0])
	}
	if !blank {
		if p.owner, err = wireName(f[0], p.origin); err != nil {
			return err
		}
		f = f[1:]
	}
	ttl := p.ttl
	for len(f) > 0 {
		if strings.EqualFold(f[0], "IN") {
			f = f[1:]
		} else if t, err := seconds(f[0]); err == nil {
			ttl, f = t, f[1:]
		} else {
			break
		}
	}
	if len(f) == 0 {
		return errors.New("a record without a type")
	}
	kind, ok := kinds[strings.ToUpper(f[0])]
	if number, is := strings.CutPrefix(strings.ToUpper(f[0]), "TYPE"); !ok && is {
		n, err := strconv.ParseUint(number, 10, 16)
		kind, ok = uint16(n), err == nil
	}
	if !ok {
		return fmt.Errorf("type %s is not known; write it as TYPEnn \\# length hex", f[0])
	}
	data, err := p.data(kind, f[1:])
	if err != nil {
		return fmt.Errorf("%s: %w", f[0], err)
	}
	return p.add(kind, ttl, data)
}

// seconds reads a time: 3600, 1h, 2d.
func seconds(s string) (uint32, error) {
	if s == "" {
		return 0, errors.New("no time")
	}
	unit, digits := uint64(1), s
	if i := strings.IndexByte("smhdw", s[len(s)-1]|0x20); i >= 0 {
		unit, digits = []uint64{1, 60, 3600, 86400, 604800}[i], s[:len(s)-1]
	}
	n, err := strconv.ParseUint(digits, 10, 32)
	if err != nil || n*unit > 1<<31-1 {
		return 0, fmt.Errorf("%q is no time", s)
	}
	return uint32(n * unit), nil
}

// wireName makes a name's wire form in lower case; one without a final dot is below origin.
func wireName(s, origin string) (string, error) {
	if s == "@" {
		return origin, nil
	}
	if s == "." {
		return "\x00", nil
	}
	absolute := strings.HasSuffix(s, ".")
	var b []byte
	for label := range strings.SplitSeq(strings.TrimSuffix(s, "."), ".") {
		if len(label) == 0 || len(label) > 63 {
			return "", fmt.Errorf("name %q has a label of %d bytes", s, len(label))
		}
		b = append(append(b, byte(len(label))), strings.ToLower(label)...)
	}
	if absolute {
		b = append(b, 0)
	} else {
		b = append(b, origin...)
	}
	if len(b) > 255 || b[len(b)-1] != 0 {
		return "", fmt.Errorf("name %q is too long, or has no origin", s)
	}
	return string(b), nil
}

// data makes a record's data of its fields.
func (p *parser) data(kind uint16, f []string) (b []byte, err error) {
	if len(f) >= 2 && f[0] == `\#` {
		if kind == typeNS || kind == typeCNAME || kind == typeSOA { // Whose names are followed, and so must be right.
			return nil, errors.New("data of NS, CNAME and SOA are wanted in words")
		}
		b, err = hex.DecodeString(strings.Join(f[2:], ""))
		if n, bad := strconv.Atoi(f[1]); err != nil || bad != nil || n != len(b) || n > 65535 {
			return nil, fmt.Errorf("%s bytes of hexadecimal are wanted", f[1])
		}
		return b, nil
	}
	want := map[uint16]int{1: 1, 2: 1, 5: 1, 6: 7, 12: 1, 15: 2, 28: 1, 33: 4, 257: 3}[kind]
	if kind == 16 && len(f) == 0 || kind != 16 && len(f) != want || kind != 16 && want == 0 {
		return nil, fmt.Errorf("%d fields, want %d", len(f), want)
	}
	number := func(s string, bits int) {
		n, e := strconv.ParseUint(s, 10, bits)
		err = errors.Join(err, e)
		b = binary.BigEndian.AppendUint64(b, n)
		b = append(b[:len(b)-8], b[len(b)-bits/8:]...)
	}
	name := func(s string) {
		n, e := wireName(s, p.origin)
		err = errors.Join(err, e)
		b = append(b, n...)
	}
	switch kind {
	case typeA, typeAAAA:
		a, e := netip.ParseAddr(f[0])
		if e != nil || a.Is4() != (kind == typeA) {
			return nil, fmt.Errorf("%q is no address of this type", f[0])
		}
		return a.AsSlice(), nil
	case typeNS, typeCNAME, 12:
		name(f[0])
	case 15:
		number(f[0], 16)
		name(f[1])
	case 33:
		for _, s := range f[:3] {
			number(s, 16)
		}
		name(f[3])
	case typeSOA:
		name(f[0])
		name(f[1])
		number(f[2], 32)
		for _, s := range f[3:] {
			n, e := seconds(s)
			err = errors.Join(err, e)
			b = binary.BigEndian.AppendUint32(b, n)
		}
	case 16:
		for _, s := range f {
			if s = strings.TrimPrefix(s, `"`); len(s) > 255 {
				return nil, fmt.Errorf("a text of %d bytes, 255 at most", len(s))
			}
			b = append(append(b, byte(len(s))), s...)
		}
	case 257:
		number(f[0], 8)
		b = append(append(b, byte(len(f[1]))), f[1]...)
		b = append(b, strings.TrimPrefix(f[2], `"`)...)
	}
	return b, err
}

// add keeps a record.
func (p *parser) add(kind uint16, ttl uint32, data []byte) error {
	z := p.zone
	if !within(p.owner, z.apex) {
		return errors.New("the name is not within the zone")
	}
	if len(data) > 65535 {
		return errors.New("the data are too long")
	}
	n := z.nodes[p.owner]
	if n == nil {
		n = &node{}
		z.nodes[p.owner] = n
	}
	s := n.set(kind)
	if s == nil {
		n.sets = append(n.sets, set{kind: kind})
		s = &n.sets[len(n.sets)-1]
	}
	if s.count > 0 && (kind == typeCNAME || kind == typeSOA) {
		return errors.New("a second record where there can be one")
	}
	if n.set(typeCNAME) != nil && len(n.sets) > 1 && kind != typeRRSIG && kind != 47 {
		return errors.New("a CNAME beside other records")
	}
	s.count++
	s.records = binary.BigEndian.AppendUint16(s.records, kind)
	s.records = binary.BigEndian.AppendUint16(s.records, 1)
	s.records = binary.BigEndian.AppendUint32(s.records, ttl)
	s.records = binary.BigEndian.AppendUint16(s.records, uint16(len(data)))
	s.records = append(s.records, data...)
	return nil
}

// within says whether a name is an apex or below it, label by label.
func within(name, apex string) bool {
	for len(name) > len(apex) {
		name = name[1+name[0]:]
	}
	return name == apex
}

// finish checks the zone, and gives the names between others (empty non-terminals) a node.
func (p *parser) finish() error {
	z := p.zone
	apex := z.nodes[z.apex]
	if apex == nil || apex.set(typeSOA) == nil {
		return errors.New("no SOA record at the zone's name")
	}
	if apex.set(typeNS) == nil {
		return errors.New("no NS record at the zone's name")
	}
	soa := apex.set(typeSOA).records
	z.negative = min(binary.BigEndian.Uint32(soa[len(soa)-4:]), binary.BigEndian.Uint32(soa[4:]), uint32(24*time.Hour/time.Second))
	names := make([]string, 0, len(z.nodes))
	for name := range z.nodes {
		names = append(names, name)
	}
	for _, name := range names {
		for name != z.apex {
			name = name[1+name[0]:]
			if z.nodes[name] == nil {
				z.nodes[name] = &node{}
			}
		}
	}
	return nil
}
