package asset

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/hauberk/hauberk/packet"
	"github.com/hauberk/hauberk/sensor/internal/decode"
	"github.com/hauberk/hauberk/sensor/internal/flow"
	"github.com/hauberk/hauberk/sensor/internal/jsonw"
)

type prefix struct{ netip.Prefix }

// syn is an IPv4 SYN as captured.
func syn(src string, ttl uint8, window uint16, options []byte) []byte {
	tcp := 20 + len(options)
	b := make([]byte, 20+tcp)
	b[0], b[8], b[9] = 0x45, ttl, 6
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	a := netip.MustParseAddr(src).As4()
	copy(b[12:], a[:])
	copy(b[16:], []byte{10, 0, 0, 9})
	b[20+12], b[20+13] = byte(tcp/4)<<4, byte(packet.SYN)
	binary.BigEndian.PutUint16(b[20:], 40000)
	binary.BigEndian.PutUint16(b[22:], 80)
	binary.BigEndian.PutUint16(b[20+14:], window)
	copy(b[40:], options)
	return b
}

func decoded(t *testing.T, data []byte) *decode.Packet {
	t.Helper()
	d := decode.New(decode.DefaultConfig())
	var batch decode.Batch
	d.Decode(&batch, packet.LinkRaw, 1, 1e9, 0, data)
	return batch.Packets[0]
}

func TestSystem(t *testing.T) {
	linux := []byte{2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7}
	windows := []byte{2, 4, 5, 180, 1, 3, 3, 8, 1, 1, 4, 2}
	mac := []byte{2, 4, 5, 180, 1, 3, 3, 6, 1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 4, 2, 0, 0}
	for _, c := range []struct {
		ttl     uint8
		window  uint16
		options []byte
		want    string
	}{
		{64, 64240, linux, "Linux"}, {51, 29200, linux, "Linux"}, {128, 64240, windows, "Windows"}, {117, 8192, windows, "Windows"},
		{64, 65535, mac, "macOS or iOS"}, {64, 1024, mac, ""}, {128, 64240, linux, ""}, {64, 100, []byte{2, 90, 0, 0}, ""},
	} {
		if got := System(decoded(t, syn("10.0.0.1", c.ttl, c.window, c.options))); got != c.want {
			t.Errorf("ttl %d, window %d, options %x: %q, want %q", c.ttl, c.window, c.options, got, c.want)
		}
	}
}

func TestInventoryIsBounded(t *testing.T) {
	v := New(prefix{netip.MustParsePrefix("10.0.0.0/8")})
	for i := range maxHosts + 5 {
		v.Begins(decoded(t, syn(fmt.Sprintf("10.%d.%d.%d", i>>16&255, i>>8&255, i&255), 64, 1, nil)))
	}
	if len(v.hosts) != maxHosts || v.Lost != 5 {
		t.Errorf("%d hosts, %d lost", len(v.hosts), v.Lost)
	}
}

func TestAppendTellsChangesOnce(t *testing.T) {
	v := New(prefix{netip.MustParsePrefix("10.0.0.0/8")})
	tell := func() string {
		var w jsonw.Writer
		v.Append(&w)
		return string(w.Bytes())
	}
	v.Begins(decoded(t, syn("10.0.0.2", 64, 1, nil)))
	v.Begins(decoded(t, syn("10.0.0.1", 64, 1, nil)))
	v.Begins(decoded(t, syn("192.0.2.1", 64, 1, nil)))
	first := tell()
	if a, b := strings.Index(first, `"ip":"10.0.0.1"`), strings.Index(first, `"ip":"10.0.0.2"`); a < 0 || b < a || strings.Contains(first, "192.0.2.1") {
		t.Errorf("told %s", first)
	}
	if again := tell(); again != "" {
		t.Errorf("told again: %s", again)
	}
	v.Begins(decoded(t, syn("10.0.0.2", 128, 1, []byte{2, 4, 5, 180, 1, 3, 3, 8, 1, 1, 4, 2})))
	if changed := tell(); !strings.Contains(changed, `"os_guess":"Windows"`) || strings.Count(changed, "\n") != 1 {
		t.Errorf("told after a change: %s", changed)
	}
}

func TestUnansweredIsNoConversation(t *testing.T) {
	v := New(prefix{netip.MustParsePrefix("10.0.0.0/8")})
	f := &flow.Flow{Key: decoded(t, syn("10.0.0.1", 64, 1, nil)).Key, Start: 1, Last: 2, Packets: [2]uint64{3, 0}}
	v.Ends(f, "")
	if len(v.talks) != 0 || len(v.services) != 0 {
		t.Errorf("%d conversations, %d services of a flow without an answer", len(v.talks), len(v.services))
	}
	f.Packets[flow.ToClient] = 1
	v.Ends(f, "")
	if len(v.talks) != 1 {
		t.Errorf("%d conversations of a flow with an answer", len(v.talks))
	}
}

func FuzzOptionOrder(f *testing.F) {
	f.Add([]byte{2, 4, 5, 180, 1, 3, 3, 8, 0})
	f.Add([]byte{8, 0})
	f.Fuzz(func(t *testing.T, options []byte) {
		if got := optionOrder(make([]byte, 0, 20), options); len(got) > 20 {
			t.Fatalf("%d letters", len(got))
		}
	})
}
