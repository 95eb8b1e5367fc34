package link

import (
	"bytes"
	"errors"
	"net/url"
	"testing"

	"github.com/hauberk/hauberk/event"
)

func FuzzFrame(f *testing.F) {
	for _, g := range golden() {
		body, err := g.frame.MarshalVT()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(body)
	}
	f.Add([]byte{0xfa, 0x7f, 1, 'x'})
	f.Fuzz(func(t *testing.T, body []byte) {
		in, err := Decode(body)
		if err != nil {
			if !errors.Is(err, ErrProtocol) {
				t.Fatalf("error of another kind: %v", err)
			}
			return
		}
		out, err := Encode(in)
		if err != nil {
			return // grown beyond the limit
		}
		if _, err := Decode(out[4:]); err != nil {
			t.Fatalf("own encoding is unreadable: %v", err)
		}
	})
}

// FuzzBatch lets any bytes come as a batch: what passes is a batch the bus
// may get, whatever its frame claimed.
func FuzzBatch(f *testing.F) {
	inflate, err := NewDecompressor()
	if err != nil {
		f.Fatal(err)
	}
	seed := &event.Batch{
		Node: make([]byte, 16), Tenant: "evil", FirstSequence: 7, Class: event.Class_CLASS_BULK,
		Events: []*event.Event{{Skip: 2}, {}}, Host: &event.Host{Name: "evil"},
	}
	raw, err := seed.MarshalVT()
	if err != nil {
		f.Fatal(err)
	}
	compressor, err := NewCompressor(Dictionary)
	if err != nil {
		f.Fatal(err)
	}
	long := bytes.Repeat(raw, 20)
	compressed, _ := compressor.Compress(long)
	f.Add(raw, uint32(len(raw)), int32(0), uint32(2), uint64(7), uint64(10))
	f.Add(bytes.Clone(compressed), uint32(len(long)), int32(1), uint32(40), uint64(7), uint64(10))
	f.Add([]byte{0x28, 0xb5, 0x2f, 0xfd, 0, 0, 0}, uint32(9), int32(1), uint32(1), uint64(1), uint64(1))
	id := Identity{Domain: "d", Tenant: "acme", Node: event.NodeID{1}}
	f.Fuzz(func(t *testing.T, payload []byte, size uint32, encoding int32, events uint32, first, last uint64) {
		b := &Batch{Class: event.Class_CLASS_BULK, Size: size, Encoding: Encoding(encoding), Events: events, FirstSequence: first, LastSequence: last, Payload: payload}
		raw, err := inflate.Decompress(b)
		if err == nil {
			raw, err = scrub(raw, b)
		}
		if err != nil {
			if !errors.Is(err, ErrProtocol) {
				t.Fatalf("error of another kind: %v", err)
			}
			return
		}
		record, err := stamp(raw, id, 3, &event.Host{Name: "host"})
		if err != nil {
			t.Fatal(err)
		}
		var got event.Batch
		if got.UnmarshalVT(record) != nil {
			return // something inside an event: readers of the bus bear it
		}
		if got.Tenant != "acme" || event.NodeID(got.Node) != id.Node || got.Incarnation != 3 || got.Host.GetName() != "host" {
			t.Fatalf("the node's word got through: %v", &got)
		}
		if first != 0 && (got.FirstSequence != first || got.LastSequence() != last || len(got.Events) != int(events)) {
			t.Fatalf("claimed %d events %d to %d, are %d events %d to %d", events, first, last, len(got.Events), got.FirstSequence, got.LastSequence())
		}
	})
}

func FuzzToken(f *testing.F) {
	f.Add(Token{Tenant: "acme", ID: "0123456789abcdef"}.String())
	f.Add("hbk1....")
	f.Fuzz(func(t *testing.T, text string) {
		token, err := ParseToken(text)
		if err != nil {
			return
		}
		if again, err := ParseToken(token.String()); err != nil || again != token {
			t.Fatalf("%q read as %v, read again as %v, %v", text, token, again, err)
		}
	})
}

func FuzzIdentity(f *testing.F) {
	f.Add("spiffe://d.example/tenant/acme/node/0123456789abcdef0123456789abcdef")
	f.Add("spiffe://d.example/gateway/gw-1")
	f.Fuzz(func(t *testing.T, text string) {
		u, err := url.Parse(text)
		if err != nil {
			return
		}
		id, err := ParseIdentity(u)
		if err != nil {
			return
		}
		if again, err := ParseIdentity(id.URI()); err != nil || again != id {
			t.Fatalf("%q read as %v, read again as %v, %v", text, id, again, err)
		}
	})
}
