package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/hauberk/hauberk/internal/perf"
	"github.com/hauberk/hauberk/packet"
	"github.com/hauberk/hauberk/packet/pcap"
	"github.com/hauberk/hauberk/packet/seqnum"
	"github.com/hauberk/hauberk/suricata"
)

// attack is traffic that is made to cost much.
type attack struct {
	name   string
	header bool // Its cost counts by the packet, not by the byte.
	make   func(*traffic) error
}

var attacks = []attack{
	{"segments of one byte", true, func(t *traffic) error { return t.streams(200, make([]byte, 2000), 1, false) }},
	{"segments in reverse order", true, func(t *traffic) error { return t.streams(200, make([]byte, 200_000), 100, true) }},
	{"a flood of SYN", true, func(t *traffic) error { return t.flood(400_000) }},
	{"the texts of all rules, over and over", false, func(t *traffic) error { return t.streams(20, t.texts, 1400, false) }},
	{"text that nearly matches many rules", false, func(t *traffic) error { return t.streams(20, t.nearly, 1400, false) }},
}

// traffic writes the packets of an attack.
type traffic struct {
	w              *pcap.Writer
	at             int64
	flows          uint32
	packets, bytes int
	texts, nearly  []byte
}

// client is the address of the next flow.
func (t *traffic) client() []byte {
	t.flows++
	return binary.BigEndian.AppendUint32(nil, 11<<24|t.flows)
}

var (
	server    = []byte{10, 0, 0, 1}
	serverMAC = []byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0} // And what precedes an IPv4 packet.
)

func (t *traffic) segment(src, dst []byte, s *packet.Segment) error {
	tcp := packet.AppendTCP(nil, src, dst, s)
	data := append(append([]byte(nil), serverMAC...), packet.AppendIP(nil, src, dst, packet.ProtoTCP, 64, 0, len(tcp))...)
	data = append(data, tcp...)
	t.at += 1000
	t.packets++
	t.bytes += len(data)
	return t.w.Write(&pcap.Packet{Time: t.at, Data: data, Length: len(data), Link: packet.LinkEthernet})
}

// streams sends data in n connections to a web server, cut into pieces that
// are acknowledged at the end if they come in reverse order, else each.
func (t *traffic) streams(n int, data []byte, piece int, reverse bool) error {
	for range n {
		client := t.client()
		up := packet.Segment{SrcPort: 40000, DstPort: 80, Seq: 1, Flags: packet.SYN, Window: 65535}
		down := packet.Segment{SrcPort: 80, DstPort: 40000, Seq: 1, Ack: 2, Flags: packet.SYN | packet.ACK, Window: 65535}
		if err := errors.Join(t.segment(client, server, &up), t.segment(server, client, &down)); err != nil {
			return err
		}
		up.Seq, up.Ack, up.Flags = 2, 2, packet.ACK
		down.Seq, down.Flags = 2, packet.ACK
		if err := t.segment(client, server, &up); err != nil {
			return err
		}
		pieces := (len(data) + piece - 1) / piece
		for i := range pieces {
			if reverse {
				window := i / 600 * 600 // As much as the receiver's window takes.
				i = min(window+599, pieces-1) - (i - window)
			}
			up.Seq = seqnum.Value(2 + i*piece)
			up.Payload = data[i*piece : min((i+1)*piece, len(data))]
			if err := t.segment(client, server, &up); err != nil {
				return err
			}
			if down.Ack = up.Seq.Add(seqnum.Size(len(up.Payload))); !reverse || i%600 == 0 {
				if reverse {
					down.Ack = seqnum.Value(2 + min((i+600)*piece, len(data)))
				}
				if err := t.segment(server, client, &down); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (t *traffic) flood(n int) error {
	for i := range n {
		s := packet.Segment{SrcPort: uint16(1024 + i%60000), DstPort: 80, Seq: seqnum.Value(i), Flags: packet.SYN, Window: 1024}
		if err := t.segment(t.client(), server, &s); err != nil {
			return err
		}
	}
	return nil
}

// readTexts reads what the rules search for: whole, and without the last byte.
func (t *traffic) readTexts(path string) error {
	set, err := suricata.Load(suricata.Options{}, path)
	if err != nil {
		return err
	}
	for _, r := range set.Rules {
		for _, c := range r.Chains() {
			for _, step := range c.Steps {
				if x, ok := step.(*suricata.Content); ok && !x.Negated {
					t.texts = append(t.texts, x.Pattern...)
					t.nearly = append(t.nearly, x.Pattern[:len(x.Pattern)-1]...)
				}
			}
		}
	}
	const most = 900_000 // Below the depth of reassembly.
	t.texts, t.nearly = t.texts[:min(len(t.texts), most)], t.nearly[:min(len(t.nearly), most)]
	return nil
}

// attacked measures what attacks cost beside the small mix.
func (b *bench) attacked(r *perf.Report, s *sensor) error {
	const file = "attack.pcap"
	usual := median(s.small, cpuOf) - median(s.empty, cpuOf)
	share := float64(b.small) / float64(b.large)
	perPacket, perByte := usual/(share*s.seen.counter("decoder.pkts")), usual/float64(b.small)
	var texts traffic
	if err := texts.readTexts(filepath.Join(b.work, rules)); err != nil {
		return err
	}
	for _, a := range attacks {
		t := &traffic{at: 1767225600e9, texts: texts.texts, nearly: texts.nearly}
		f, err := os.Create(filepath.Join(b.work, file))
		if err != nil {
			return err
		}
		buffered := bufio.NewWriter(f)
		if t.w, err = pcap.NewWriter(buffered, packet.LinkEthernet, 65535, pcap.Format{}); err == nil {
			err = a.make(t)
		}
		if err = errors.Join(err, buffered.Flush(), f.Close()); err != nil {
			return err
		}
		c, err := s.run(file, false)
		if err != nil {
			return err
		}
		cost, unit := (c.cpu-median(s.empty, cpuOf))/float64(t.bytes)/perByte, "byte"
		if a.header {
			cost, unit = (c.cpu-median(s.empty, cpuOf))/float64(t.packets)/perPacket, "packet"
		}
		r.Add(perf.Figure{Name: fmt.Sprintf("attack: %s, CPU per %s beside the mix's", a.name, unit), Value: cost, Unit: "times", Target: "<= 3", Reached: cost <= 3})
	}
	return nil
}
