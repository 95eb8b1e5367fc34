package trap

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"time"
)

// allowance is what a prefix may still get today: answers and reports, by a bucket that fills with time.
type allowance struct {
	left float64
	at   time.Time
}

// Bounds of datagrams, whose senders nobody has proved: per /24 or /64 a burst of 8 and one each 2 s, and 16,384 prefixes.
const (
	burst       = 8
	perSecond   = 0.5
	maxPrefixes = 16384
	sweepEvery  = time.Second // A look at all prefixes; a flood of invented senders must not buy one with each datagram.
)

// allow takes one from the allowance of a source's prefix.
func (t *Trap) allow(source netip.Addr, now time.Time) bool {
	bits := 24
	if source.Is6() {
		bits = 64
	}
	p, err := source.Prefix(bits)
	if err != nil {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	a := t.prefix[p]
	if a == nil {
		if len(t.prefix) >= maxPrefixes && now.Sub(t.swept) >= sweepEvery {
			t.swept = now
			for k, v := range t.prefix { // Whoever has been quiet may begin anew.
				if now.Sub(v.at) > burst/perSecond*time.Second {
					delete(t.prefix, k)
				}
			}
		}
		if len(t.prefix) >= maxPrefixes {
			return false
		}
		a = &allowance{left: burst, at: now}
		t.prefix[p] = a
	}
	a.left = min(burst, a.left+now.Sub(a.at).Seconds()*perSecond)
	a.at = now
	if a.left < 1 {
		return false
	}
	a.left--
	return true
}

// Datagram takes a datagram and gives the answer to send, or nil. An answer is never longer than the question, and each
// prefix gets few: nothing is to be gained by sending in another's name.
func (t *Trap) Datagram(now time.Time, local, remote netip.AddrPort, b []byte) []byte {
	t.Count.Datagrams.Add(1)
	if !t.allow(remote.Addr(), now) {
		t.Count.NotAnswered.Add(1)
		return nil
	}
	answer, name := reply(local.Port(), b)
	kept := b[:min(len(b), t.limits.Keep)]
	sum := sha256.Sum256(b)
	t.report(&Session{
		Time: now, Transport: "udp", Service: name, Source: remote.Addr(), SourcePort: remote.Port(), Destination: local.Addr(),
		DestinationPort: local.Port(), Received: int64(len(b)), Sent: int64(len(answer)), Payload: hex.EncodeToString(sum[:]),
		Transcript: printable(kept), Cut: len(kept) < len(b), End: "closed", Observer: "decoy",
	})
	if len(answer) == 0 || len(answer) > len(b) {
		t.Count.NotAnswered.Add(1)
		return nil
	}
	t.Count.Answered.Add(1)
	return answer
}

// reply is what a service says to a datagram.
func reply(port uint16, b []byte) (answer []byte, name string) {
	switch {
	case port == 53 && len(b) >= 12 && b[2]&0x80 == 0:
		answer = append(answer, b...)
		answer[2] |= 0x80
		answer[3] = 5 // REFUSED (RFC 1035 section 4.1.1), the question as it came.
		return answer, "dns"
	case port == 123 && len(b) >= 48 && b[0]&7 == 3:
		answer = make([]byte, 48)
		answer[0] = b[0]&0x38 | 4 // Same version, server.
		answer[0] |= 0xc0         // The clock is not synchronised (RFC 5905).
		copy(answer[24:32], b[40:48])
		since1900 := uint32(time.Now().Unix() + 2208988800)
		binary.BigEndian.PutUint32(answer[32:], since1900)
		binary.BigEndian.PutUint32(answer[40:], since1900)
		return answer, "ntp"
	case port == 161:
		return nil, "snmp"
	case port == 1900:
		return nil, "ssdp"
	case port == 5060:
		return nil, "sip"
	}
	return nil, "unknown"
}
