package engine

import (
	"bytes"
	"encoding/hex"
	"net/netip"
	"testing"

	"github.com/hauberk/hauberk/netstack/port"
	"github.com/hauberk/hauberk/packet"
)

// keeper keeps what is sent.
type keeper struct{ frames [][]byte }

func (s *keeper) Buffer() (port.Frame, bool) { return port.Frame{Data: make([]byte, 0, 2048)}, true }
func (s *keeper) Release(...port.Frame)      {}
func (s *keeper) Transmit(f port.Frame)      { s.frames = append(s.frames, bytes.Clone(f.Data)) }

// TestLearnNeighbours answers a ping from a stranger's link address: at once where neighbours are learnt from what they
// send, after a question where they are not.
func TestLearnNeighbours(t *testing.T) {
	for _, learn := range []bool{true, false} {
		out := &keeper{}
		cfg := DefaultConfig()
		cfg.Addresses, cfg.MAC = []netip.Prefix{netip.MustParsePrefix("10.0.0.2/24")}, [6]byte{2, 0, 0, 0, 0, 2}
		cfg.LearnNeighbours = learn
		s, err := New(cfg, out, 0)
		if err != nil {
			t.Fatal(err)
		}
		ping, err := hex.DecodeString("020000000002" + "020000000009" + "0800" + "4500001c0000400040010000" + "0a0000010a000002" + "0800000000010001")
		if err != nil {
			t.Fatal(err)
		}
		be.PutUint16(ping[24:], packet.Checksum(ping[14:34]))
		be.PutUint16(ping[36:], packet.Checksum(ping[34:]))
		s.Input(1, port.Frame{Data: ping})
		if len(out.frames) != 1 {
			t.Fatalf("%d frames", len(out.frames))
		}
		got := out.frames[0]
		if arp := got[12] == 8 && got[13] == 6; arp == learn {
			t.Errorf("learn %v: sent %x", learn, got)
		}
		if learn && !bytes.HasPrefix(got, ping[6:12]) {
			t.Errorf("answered to %x", got[:6])
		}
	}
}
