package engine

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"testing"

	"github.com/hauberk/hauberk/netstack/port"
	"github.com/hauberk/hauberk/packet"
)

// A script is a conversation, a line each:
//
//	listen, dial          port 80 is listened on, or port 9 of the peer is dialled
//	< S 0(0) win 9 ...    a segment in: flags (S F R P . E C), sequence number(length), then any of ack, win, mss, ws, ts,
//	                      sack A-B (each after its word), sackok, ce
//	write n, read n, shut, close, abort, nagle, keep s: what the application does
//	wait s                time passes
//	icmp mtu n, icmp unreachable: an error that quotes the last segment sent
//	> ...                 a segment out, as the stack must send it next: +seconds since the last line that did something
//	* ...                 what the application is told
//
// All that the stack does must be said, in its order; numbers are relative to each side's first, windows as in the header.
type player struct {
	t      *testing.T
	s      *Stack
	id     ID
	iss    uint32
	known  bool // iss
	last   []byte
	base   int64
	out    []string
	greedy bool // Takes data at once; else only read does.
}

const peerISS = 5000

func (p *player) Buffer() (port.Frame, bool) { return port.Frame{Data: make([]byte, 0, 2048)}, true }
func (p *player) Release(...port.Frame)      {}

// Transmit writes a segment down.
func (p *player) Transmit(f port.Frame) {
	ip4 := packet.IPv4(f.Data)
	tcp := packet.TCP(ip4.Payload())
	p.last = f.Data
	flags := ""
	for i, name := range "FSRP.?EC" {
		if tcp.Flags()&(1<<i) != 0 {
			flags += string(name)
		}
	}
	if tcp.Flags().Has(packet.SYN) && !p.known {
		p.iss, p.known = uint32(tcp.Seq()), true
	}
	line := fmt.Sprintf("> +%.2f %s %d(%d)", float64(p.s.now-p.base)/1e9, flags, uint32(tcp.Seq())-p.iss, len(tcp.Payload()))
	if tcp.Flags().Has(packet.ACK) {
		line += fmt.Sprintf(" ack %d", uint32(tcp.Ack())-peerISS)
	}
	line += fmt.Sprintf(" win %d", tcp.Window())
	var h header
	parseTCP(tcp, &h)
	if tcp.Flags().Has(packet.SYN) {
		line += fmt.Sprintf(" mss %d", h.mss)
		if h.scale >= 0 {
			line += fmt.Sprintf(" ws %d", h.scale)
		}
		if h.sackOK {
			line += " sackok"
		}
	}
	if h.stamped {
		line += " ts"
	}
	for _, b := range h.sack[:h.nsack] {
		line += fmt.Sprintf(" sack %d-%d", b[0]-peerISS, b[1]-peerISS)
	}
	p.out = append(p.out, line)
}

func (p *player) say(format string, args ...any) {
	p.out = append(p.out, fmt.Sprintf("* "+format, args...))
}
func (p *player) Opened(_ *Stack, id ID) { p.id = id; p.say("opened") }
func (p *player) Data(_ *Stack, _ ID, b []byte) int {
	p.say("data %d", len(b))
	if p.greedy {
		return len(b)
	}
	return 0
}
func (p *player) EOF(*Stack, ID)                 { p.say("eof") }
func (p *player) Writable(*Stack, ID)            { p.say("writable") }
func (p *player) Closed(_ *Stack, _ ID, e error) { p.say("closed %v", e) }

// in builds a segment from its words and gives it to the stack.
func (p *player) in(words []string) {
	b := make([]byte, 40, 2048)
	copy(b, []byte{0x45, 0, 0, 0, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 0, 9, 0, 80})
	for i, name := range "FSRP.?EC" {
		if strings.ContainsRune(words[0], name) {
			b[33] |= 1 << i
		}
	}
	var seq, n uint32
	if _, err := fmt.Sscanf(words[1], "%d(%d)", &seq, &n); err != nil {
		p.t.Fatalf("segment %q: %v", words, err)
	}
	be.PutUint32(b[24:], peerISS+seq)
	be.PutUint16(b[34:], 65535)
	var sacks []byte
	for i := 2; i < len(words); i++ {
		v := uint32(0)
		if word := words[i]; word != "sackok" && word != "ce" && word != "sack" {
			i++
			u, err := strconv.ParseUint(words[i], 10, 32)
			if err != nil {
				p.t.Fatalf("segment %q: %v", words, err)
			}
			v = uint32(u)
			words[i-1] = word
			switch word {
			case "ack":
				be.PutUint32(b[28:], p.iss+v)
			case "win":
				be.PutUint16(b[34:], uint16(v))
			case "mss":
				b = append(b, 2, 4, byte(v>>8), byte(v))
			case "ws":
				b = append(b, 1, 3, 3, byte(v))
			case "ts":
				b = be.AppendUint32(append(b, 1, 1, 8, 10), v)
				b = append(b, 0, 0, 0, 0)
			}
			continue
		}
		switch words[i] {
		case "sackok":
			b = append(b, 1, 1, 4, 2)
		case "ce":
			b[1] = 3
		case "sack":
			i++
			var from, to uint32
			if _, err := fmt.Sscanf(words[i], "%d-%d", &from, &to); err != nil {
				p.t.Fatalf("segment %q: %v", words, err)
			}
			sacks = be.AppendUint32(be.AppendUint32(sacks, p.iss+from), p.iss+to)
		}
	}
	if len(sacks) > 0 {
		b = append(append(b, 1, 1, 5, byte(2+len(sacks))), sacks...)
	}
	b[32] = byte(len(b)-20) / 4 << 4
	b = append(b, make([]byte, n)...)
	be.PutUint16(b[2:], uint16(len(b)))
	seal(b)
	p.s.Input(p.s.now, port.Frame{Data: b})
}

// icmp sends an error about the last segment.
func (p *player) icmp(kind, code byte, mtu uint16) {
	b := make([]byte, 28, 64)
	copy(b, []byte{0x45, 0, 0, 56, 0, 0, 0, 0, 64, 1, 0, 0, 10, 0, 0, 99, 10, 0, 0, 2, kind, code})
	be.PutUint16(b[26:], mtu)
	b = append(b, p.last[:28]...)
	seal(b)
	p.s.Input(p.s.now, port.Frame{Data: b})
}

func (p *player) wait(d int64) {
	for end := p.s.now + d; ; {
		next := p.s.Next()
		if next > end {
			p.s.Advance(end)
			return
		}
		p.s.Advance(next)
	}
}

// do runs one line.
func (p *player) do(words []string) {
	number := func() float64 {
		v, err := strconv.ParseFloat(words[len(words)-1], 64)
		if err != nil {
			p.t.Fatalf("%q: %v", words, err)
		}
		return v
	}
	var err error
	switch words[0] {
	case "listen":
		_, err = p.s.Listen(netip.MustParseAddrPort("10.0.0.2:80"), p)
	case "dial":
		p.id, err = p.s.Dial(netip.MustParseAddrPort("10.0.0.2:80"), netip.MustParseAddrPort("10.0.0.1:9"), p, 0)
	case "<":
		p.in(words[1:])
	case "write":
		n := int(number())
		var took int
		if took, err = p.s.Write(p.id, make([]byte, n)); took < n {
			p.say("took %d", took)
		}
	case "read":
		n, eof := p.s.Read(p.id, make([]byte, int(number())))
		p.say("read %d eof %t", n, eof)
	case "shut":
		p.s.CloseWrite(p.id)
	case "close":
		p.s.Close(p.id)
	case "abort":
		p.s.Abort(p.id)
	case "nagle":
		p.s.SetNagle(p.id, true)
	case "keep":
		p.s.SetKeepAlive(p.id, int64(number()*1e9))
	case "greedy":
		p.greedy = true
	case "wait":
		p.wait(int64(number() * 1e9))
	case "icmp":
		if words[1] == "mtu" {
			p.icmp(3, 4, uint16(number()))
		} else {
			p.icmp(3, 3, 0)
		}
	default:
		p.t.Fatalf("what is %q?", words)
	}
	if err != nil {
		p.say("error %v", err)
	}
	if p.s.current != 0 {
		p.t.Fatal("a connection stays current")
	}
}

func play(t *testing.T, script string, edit func(*Config)) {
	cfg := DefaultConfig()
	cfg.L3, cfg.ReceiveBuffer, cfg.ECN = true, 65535, false
	cfg.Addresses = []netip.Prefix{netip.MustParsePrefix("10.0.0.2/24")}
	if edit != nil {
		edit(&cfg)
	}
	p := &player{t: t}
	var err error
	if p.s, err = New(cfg, p, 1_000_000_000); err != nil {
		t.Fatal(err)
	}
	var did []string
	check := func() {
		if len(p.out) > 0 {
			t.Fatalf("after\n\t%s\nthe stack also did\n\t%s", strings.Join(did, "\n\t"), strings.Join(p.out, "\n\t"))
		}
	}
	for line := range strings.Lines(script) {
		line = strings.Join(strings.Fields(line), " ")
		if line == "" || line[0] == '#' {
			continue
		}
		if line[0] == '>' || line[0] == '*' {
			did = append(did, line)
			if len(p.out) == 0 || p.out[0] != line {
				t.Fatalf("wanted\n\t%s\nthe stack did\n\t%s", strings.Join(did, "\n\t"), strings.Join(p.out, "\n\t"))
			}
			p.out = p.out[1:]
			continue
		}
		check()
		did = append(did, line)
		p.base = p.s.now
		p.do(strings.Fields(line))
		invariants(t, p.s)
	}
	check()
}
