package importer

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// A statement of keepalived.conf: words, and perhaps a block of statements.
type statement struct {
	line  int
	words []string
	block []statement
}

func (s *statement) word(i int) string {
	if i < len(s.words) {
		return s.words[i]
	}
	return ""
}

func (s *statement) text() string { return strings.Join(s.words, " ") }

// maxDepth bounds the nesting of blocks; keepalived itself has five levels.
const maxDepth = 32

// A token is a word or a brace; braces in quotes are words.
type token struct {
	line  int
	text  string
	brace bool
}

// parser reads tokens into statements.
type parser struct{ rest []token }

// parse reads statements to the end of the block, or of the text at depth 0.
// A statement ends with its line, at a brace, or after its block.
func (p *parser) parse(depth int) ([]statement, error) {
	var out []statement
	fresh := true // the next word begins a statement
	for len(p.rest) > 0 {
		t := p.rest[0]
		p.rest = p.rest[1:]
		switch {
		case !t.brace:
			if fresh || out[len(out)-1].line != t.line {
				out = append(out, statement{line: t.line})
			}
			last := &out[len(out)-1]
			last.words = append(last.words, t.text)
			fresh = false
		case t.text == "}":
			if depth == 0 {
				return nil, fmt.Errorf("line %d: } closes nothing", t.line)
			}
			return out, nil
		case len(out) == 0:
			return nil, fmt.Errorf("line %d: { opens nothing", t.line)
		case depth == maxDepth:
			return nil, fmt.Errorf("line %d: blocks are nested over %d deep", t.line, maxDepth)
		default:
			block, err := p.parse(depth + 1)
			if err != nil {
				return nil, err
			}
			last := &out[len(out)-1]
			last.block = append(last.block, block...)
			fresh = true
		}
	}
	if depth > 0 {
		return nil, errors.New("a block is not closed at the end")
	}
	return out, nil
}

// tokens cuts a text into words, braces and quoted strings; # and ! begin a comment.
func tokens(text string) []token {
	var out []token
	number := 0
	for line := range strings.Lines(text) {
		number++
		for _, t := range split(line) {
			t.line = number
			out = append(out, t)
		}
	}
	return out
}

// split is tokens of one line, without its number.
func split(line string) []token {
	const ends = " \t\r\n{}"
	var out []token
	for i := 0; i < len(line); {
		switch c := line[i]; {
		case strings.IndexByte(" \t\r\n", c) >= 0:
			i++
		case c == '#' || c == '!':
			return out
		case c == '{' || c == '}':
			out = append(out, token{text: string(c), brace: true})
			i++
		case c == '"':
			word, _, _ := strings.Cut(line[i+1:], `"`)
			out = append(out, token{text: strings.TrimRight(word, "\r\n")})
			i += len(word) + 2
		default:
			end := strings.IndexAny(line[i:], ends)
			if end < 0 {
				end = len(line) - i
			}
			out = append(out, token{text: line[i : i+end]})
			i += end
		}
	}
	return out
}

func readKeepalived(data []byte, n *notes) ([]*vip, error) {
	p := &parser{rest: tokens(string(data))}
	statements, err := p.parse(0)
	if err != nil {
		return nil, fmt.Errorf("read keepalived.conf: %w", err)
	}
	var out []*vip
	for i := range statements {
		s := &statements[i]
		if s.word(0) != "virtual_server" {
			n.add(s.line, s.text(), "is no virtual_server")
			continue
		}
		if v := virtualServer(s, n); v != nil {
			out = append(out, v)
		}
	}
	return out, nil
}

// kinds are keepalived's names of forwarding.
var kinds = map[string]string{"NAT": "fullnat", "DR": "dr", "TUN": "ipip"}

func virtualServer(s *statement, n *notes) *vip {
	addr, err := netip.ParseAddr(s.word(1))
	port, portErr := strconv.ParseUint(s.word(2), 10, 16)
	if s.word(2) == "" {
		port, portErr = 0, nil
	}
	if err != nil || portErr != nil {
		n.add(s.line, s.text(), "only virtual servers with an address and a port number are taken")
		return nil
	}
	v := &vip{Address: addr.String(), Ports: strconv.FormatUint(port, 10), Scheduler: "wlc", Mode: "fullnat", Proto: "tcp"}
	if port == 0 {
		v.Ports = "1-65535"
	}
	mode, persistent, persistLine := v.Mode, false, s.line
	for i := range s.block {
		b := &s.block[i]
		value := b.word(1)
		switch b.word(0) {
		case "lb_algo", "lvs_sched":
			v.schedule(value, b.line, n)
		case "lb_kind", "lvs_method":
			kind, ok := kinds[value]
			if !ok {
				n.add(b.line, b.text(), "is not known")
				continue
			}
			mode = kind
			if b.word(2) == "type" && b.word(3) == "gue" {
				mode = "gue"
			}
		case "protocol":
			v.Proto = strings.ToLower(value)
			if v.Proto != "tcp" && v.Proto != "udp" {
				n.add(b.line, b.text(), "is not balanced")
				return nil
			}
		case "delay_loop":
			v.seconds(b, n, func(c *check, text string) { c.Interval = text })
		case "persistence_timeout":
			persistent, persistLine = true, b.line
		case "persistence_granularity":
			bits, err := maskBits(value)
			if err != nil {
				n.add(b.line, b.text(), "%v", err)
				continue
			}
			v.PersistenceBits = bits
		case "ops":
			v.OnePacket, v.opsLine = true, b.line
		case "quorum":
			v.number(b, n, &v.Quorum)
		case "hysteresis":
			v.number(b, n, &v.QuorumUp)
		case "virtualhost":
			v.health().Host = value
		case "sorry_server":
			a, err := netip.ParseAddr(value)
			p, portErr := strconv.ParseUint(b.word(2), 10, 16)
			if err != nil || portErr != nil {
				n.add(b.line, b.text(), "is no address and port")
				continue
			}
			v.Sorry = &backend{Address: a.String(), Port: int(p)}
		case "real_server", "alpha", "omega":
			// Real servers follow when the mode is known; alpha (down until probed)
			// and omega are as it is here.
		default:
			n.add(b.line, b.text(), "has no counterpart")
		}
	}
	if v.QuorumUp > 0 {
		v.QuorumUp += max(v.Quorum, 1) // a hysteresis there, a bound here
	}
	v.Mode = mode
	for i := range s.block {
		if s.block[i].word(0) == "real_server" {
			v.realServer(&s.block[i], mode, n)
		}
	}
	if v.Sorry != nil && mode != "fullnat" {
		v.Sorry.Port = 0
	}
	v.persist(persistent, persistLine, n)
	return v
}

func (v *vip) health() *check {
	if v.Health == nil {
		v.Health = &check{}
	}
	return v.Health
}

func (v *vip) number(b *statement, n *notes, into *int) {
	x, err := strconv.Atoi(b.word(1))
	if err != nil || x < 0 {
		n.add(b.line, b.text(), "is no number")
		return
	}
	*into = x
}

// seconds reads a number of seconds, which may have a fraction.
func (v *vip) seconds(b *statement, n *notes, set func(*check, string)) {
	x, err := strconv.ParseFloat(b.word(1), 64)
	if err != nil || x <= 0 || x > 3600 {
		n.add(b.line, b.text(), "is no number of seconds up to an hour")
		return
	}
	set(v.health(), strconv.FormatFloat(x, 'f', -1, 64)+"s")
}

// checks are keepalived's names of probes.
var checks = map[string]string{"TCP_CHECK": "tcp", "HTTP_GET": "http", "SSL_GET": "https", "MISC_CHECK": "script", "DNS_CHECK": "dns", "UDP_CHECK": "udp"}

func (v *vip) realServer(s *statement, mode string, n *notes) {
	addr, err := netip.ParseAddr(s.word(1))
	port, portErr := strconv.ParseUint(s.word(2), 10, 16)
	if err != nil || s.word(2) != "" && portErr != nil {
		n.add(s.line, s.text(), "is no address and port")
		return
	}
	b := backend{Address: addr.String(), Port: int(port)}
	for i := range s.block {
		x := &s.block[i]
		switch name := x.word(0); {
		case name == "weight":
			w := 0
			v.number(x, n, &w)
			b.Weight = &w
		case name == "uthreshold":
			v.number(x, n, &b.MaxConnections)
		case checks[name] != "":
			v.probe(x, checks[name], n)
		default:
			n.add(x.line, x.text(), "has no counterpart")
		}
	}
	v.add(b, mode, s.line, n)
}

// probe takes the check of a real server for the whole VIP: the first one's,
// and the others must be like it.
func (v *vip) probe(s *statement, kind string, n *notes) {
	c := v.health()
	old := *c
	c.Type = kind
	for i := range s.block {
		v.probeOption(&s.block[i], c, n)
	}
	if v.healthLine == 0 {
		v.healthLine = s.line
		return
	}
	if fmt.Sprint(old) != fmt.Sprint(*c) {
		n.add(s.line, s.text(), "differs from the check in line %d; a VIP has one here", v.healthLine)
	}
	*c = old
}

func (v *vip) probeOption(x *statement, c *check, n *notes) {
	value := x.word(1)
	switch x.word(0) {
	case "connect_port":
		v.number(x, n, &c.Port)
	case "connect_timeout", "misc_timeout", "timeout":
		v.seconds(x, n, func(c *check, text string) { c.Timeout = text })
	case "retry", "nb_get_retry":
		v.number(x, n, &c.Fall)
		c.Fall++ // the first failure is no retry
	case "url":
		if c.Path != "" && c == v.Health && len(x.block) > 0 && v.healthLine == 0 {
			n.add(x.line, "a second url", "one is probed; the last is taken")
		}
		for i := range x.block {
			u := &x.block[i]
			switch u.word(0) {
			case "path":
				c.Path = u.word(1)
			case "status_code":
				c.Status = strings.Join(u.words[1:], " ")
			case "virtualhost":
				c.Host = u.word(1)
			default:
				n.add(u.line, u.text(), "has no counterpart")
			}
		}
	case "virtualhost":
		c.Host = value
	case "misc_path":
		c.Command = strings.Fields(value)
	case "name":
		c.Name = value
	case "type":
		c.Record = value
	default:
		n.add(x.line, x.text(), "has no counterpart")
	}
}
