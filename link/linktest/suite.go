package linktest

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"testing"
	"time"

	"github.com/hauberk/hauberk/event"
	"github.com/hauberk/hauberk/link"
	"github.com/klauspost/compress/zstd"
)

// Subject is a running gateway under test.
type Subject struct {
	Address string
	// NewToken returns a token good for one enrolment.
	NewToken func(t testing.TB) link.Token
}

// Run is the conformance suite: every server of the protocol passes it.
// It treats the gateway as a black box.
func Run(t *testing.T, s Subject) {
	for _, c := range []struct {
		name string
		run  func(*testing.T, Subject)
	}{
		{"enrol, then hello, then batches of both classes", enrolAndSend},
		{"a token is good once", tokenTwice},
		{"bad tokens and requests are refused", badTokens},
		{"a wrong server is seen by the pin", wrongPin},
		{"foreign and self-made certificates are refused", foreign},
		{"a stranger may not say hello or renew", stranger},
		{"renewal needs the same key", renewal},
		{"version", version},
		{"batches sent again are acknowledged again", resend},
		{"heartbeats are answered", heartbeat},
		{"unknown frames are skipped", unknownFrame},
		{"broken frames cut only their sender", brokenFrames},
		{"a batch beyond the limit is refused", overlong},
		{"order of positions", disorder},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t, s) })
	}
}

// enrolled joins a new node and returns what it got.
func enrolled(t *testing.T, s Subject) (*link.Credentials, *link.Enrolled, *ecdsa.PrivateKey) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	key := NewKey(t)
	out, err := link.Enrol(ctx, s.Address, s.NewToken(t), key, &link.EnrolRequest{Host: "conformance", Kind: "agent", Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	creds, err := link.NewCredentials(out.Chain, key, out.Roots)
	if err != nil {
		t.Fatal(err)
	}
	return creds, out, key
}

func enrolAndSend(t *testing.T, s Subject) {
	creds, out, _ := enrolled(t, s)
	if id := creds.Identity; !bytes.Equal(id.Node[:], out.Node) || id.Tenant != out.Tenant {
		t.Fatalf("enrolled as node %x of %q, certificate says %s", out.Node, out.Tenant, id)
	}
	if len(out.CommandKeys) == 0 {
		t.Fatal("no key to verify commands with")
	}
	if life := time.Until(creds.Leaf.NotAfter); life <= 0 {
		t.Fatalf("certificate is good for %s", life)
	}
	p := Dial(t, s.Address, &creds.Certificate)
	w := p.Hello(t)
	if w.Protocol != link.Protocol || w.Heartbeat == 0 || w.MaxBatch == 0 || w.MaxFrame == 0 {
		t.Fatalf("welcome lacks something: %v", w)
	}
	bulk := NewHost(1).Batch(100)
	p.Send(t, BatchFrame(t, bulk, w.Dictionary))
	p.Acked(t, event.Class_CLASS_BULK, bulk.LastSequence())
	urgent := &event.Batch{FirstSequence: bulk.LastSequence() + 1, Class: event.Class_CLASS_PRIORITY, BaseTime: 1, Events: []*event.Event{{Skip: 3}}}
	p.Send(t, BatchFrame(t, urgent, 0))
	p.Acked(t, event.Class_CLASS_PRIORITY, urgent.LastSequence())
}

func tokenTwice(t *testing.T, s Subject) {
	token := s.NewToken(t)
	for i := range 2 {
		p := Dial(t, s.Address, nil)
		csr, err := link.NewCSR(NewKey(t))
		if err != nil {
			t.Fatal(err)
		}
		p.Send(t, &link.Frame{Body: &link.Frame_Enrol{Enrol: &link.EnrolRequest{Token: token.String(), Csr: csr, Host: "conformance", Kind: "agent"}}})
		if i == 0 {
			if f := p.Receive(t); f.GetEnrolled() == nil {
				t.Fatalf("first use: %v", f)
			}
			continue
		}
		p.Refused(t, link.Reason_REASON_TOKEN)
	}
}

func badTokens(t *testing.T, s Subject) {
	forged := s.NewToken(t)
	forged.Secret[0] ^= 1
	unknown := s.NewToken(t)
	unknown.ID = "0123456789abcdef"
	csr, err := link.NewCSR(NewKey(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"", "hbk1", "hbk9.a.b.c.d", forged.String(), unknown.String()} {
		p := Dial(t, s.Address, nil)
		p.Send(t, &link.Frame{Body: &link.Frame_Enrol{Enrol: &link.EnrolRequest{Token: text, Csr: csr, Host: "x", Kind: "agent"}}})
		p.Refused(t, link.Reason_REASON_TOKEN)
	}
}

func wrongPin(t *testing.T, s Subject) {
	token := s.NewToken(t)
	token.Pin[31] ^= 1
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if _, err := link.Enrol(ctx, s.Address, token, NewKey(t), &link.EnrolRequest{}); err == nil {
		t.Fatal("enrolled at a gateway the token does not name")
	}
}

func foreign(t *testing.T, s Subject) {
	creds := NewAuthority(t).Node(t, "acme")
	p := Dial(t, s.Address, &creds.Certificate)
	p.Send(t, HelloFrame())
	p.Refused(t, link.Reason_REASON_UNAUTHORIZED)
}

func stranger(t *testing.T, s Subject) {
	p := Dial(t, s.Address, nil)
	p.Send(t, HelloFrame())
	p.Refused(t, link.Reason_REASON_UNAUTHORIZED)
	p = Dial(t, s.Address, nil)
	p.Send(t, &link.Frame{Body: &link.Frame_Renew{Renew: &link.RenewRequest{}}})
	p.Refused(t, link.Reason_REASON_UNAUTHORIZED)
}

func renewal(t *testing.T, s Subject) {
	creds, _, key := enrolled(t, s)
	for _, c := range []struct {
		key  *ecdsa.PrivateKey
		fine bool
	}{{NewKey(t), false}, {key, true}} {
		csr, err := link.NewCSR(c.key)
		if err != nil {
			t.Fatal(err)
		}
		p := Dial(t, s.Address, &creds.Certificate)
		p.Send(t, &link.Frame{Body: &link.Frame_Renew{Renew: &link.RenewRequest{Csr: csr}}})
		if !c.fine {
			p.Refused(t, link.Reason_REASON_UNAUTHORIZED)
			continue
		}
		f := p.Receive(t)
		if f.GetRenewed() == nil {
			t.Fatalf("renewal: %v", f)
		}
		again, err := link.NewCredentials(f.GetRenewed().Chain, key, f.GetRenewed().Roots)
		if err != nil || again.Identity != creds.Identity {
			t.Fatalf("renewed as %v, %v; was %v", again, err, creds.Identity)
		}
		Dial(t, s.Address, &again.Certificate).Hello(t)
	}
}

func version(t *testing.T, s Subject) {
	creds, _, _ := enrolled(t, s)
	p := Dial(t, s.Address, &creds.Certificate)
	old := HelloFrame()
	old.GetHello().Protocol = 0
	p.Send(t, old)
	p.Refused(t, link.Reason_REASON_VERSION)
	p = Dial(t, s.Address, &creds.Certificate)
	newer := HelloFrame()
	newer.GetHello().Protocol = 9
	p.Send(t, newer)
	if w := p.Receive(t).GetWelcome(); w.GetProtocol() == 0 || w.GetProtocol() > link.Protocol {
		t.Fatalf("a newer node was welcomed with %v", w)
	}
}

func resend(t *testing.T, s Subject) {
	creds, _, _ := enrolled(t, s)
	b := NewHost(2).Batch(50)
	for range 2 {
		p := Dial(t, s.Address, &creds.Certificate)
		p.Send(t, BatchFrame(t, b, p.Hello(t).Dictionary))
		p.Acked(t, event.Class_CLASS_BULK, b.LastSequence())
		p.Close()
	}
}

func heartbeat(t *testing.T, s Subject) {
	creds, _, _ := enrolled(t, s)
	p := Dial(t, s.Address, &creds.Certificate)
	p.Hello(t)
	p.Send(t, &link.Frame{Body: &link.Frame_Status{Status: &link.Status{}}})
	for f := p.Receive(t); f.GetStatusAck() == nil; f = p.Receive(t) {
		if f == nil || f.GetGoaway() != nil {
			t.Fatalf("heartbeat: %v", f)
		}
	}
}

func unknownFrame(t *testing.T, s Subject) {
	creds, _, _ := enrolled(t, s)
	p := Dial(t, s.Address, &creds.Certificate)
	p.Hello(t)
	p.Raw([]byte{0xfa, 0x7f, 3, 'n', 'e', 'w'}) // field 2047, length 3
	p.Raw(nil)
	b := NewHost(3).Batch(5)
	p.Send(t, BatchFrame(t, b, 0))
	p.Acked(t, event.Class_CLASS_BULK, b.LastSequence())
}

func brokenFrames(t *testing.T, s Subject) {
	creds, _, _ := enrolled(t, s)
	good := Dial(t, s.Address, &enrolledCertificate(t, s).Certificate)
	good.Hello(t)
	sane := func() *link.Batch { return BatchFrame(t, NewHost(4).Batch(20), link.Dictionary).GetBatch() }
	batch := func(change func(*link.Batch)) []byte {
		b := sane()
		change(b)
		body, err := (&link.Frame{Body: &link.Frame_Batch{Batch: b}}).MarshalVT()
		if err != nil {
			t.Fatal(err)
		}
		return body
	}
	plain := func(b *link.Batch, payload []byte) {
		b.Encoding, b.Payload, b.Size = link.Encoding_ENCODING_PLAIN, payload, uint32(len(payload))
	}
	for name, body := range map[string][]byte{
		"no protobuf":          {0xff, 0xff, 0xff, 0xff, 0xff},
		"truncated field":      {0x2a, 0x7f, 1},
		"second hello":         mustMarshal(t, HelloFrame()),
		"frame of a gateway":   mustMarshal(t, &link.Frame{Body: &link.Frame_Welcome{Welcome: &link.Welcome{}}}),
		"no zstd":              batch(func(b *link.Batch) { b.Payload = []byte("this is not a zstd frame at all") }),
		"unknown encoding":     batch(func(b *link.Batch) { b.Encoding = 77 }),
		"wrong size":           batch(func(b *link.Batch) { b.Size-- }),
		"size beyond limit":    batch(func(b *link.Batch) { b.Size = 1 << 31 }),
		"bomb":                 batch(func(b *link.Batch) { b.Payload, b.Size = bomb(t), 1000 }),
		"honest bomb":          batch(func(b *link.Batch) { b.Payload, b.Size = bomb(t), bombSize }),
		"wrong count":          batch(func(b *link.Batch) { b.Events-- }),
		"wrong last":           batch(func(b *link.Batch) { b.LastSequence++ }),
		"first is 0":           batch(func(b *link.Batch) { b.FirstSequence = 0 }),
		"no class":             batch(func(b *link.Batch) { b.Class = 0 }),
		"class differs":        batch(func(b *link.Batch) { b.Class = event.Class_CLASS_PRIORITY }),
		"payload is no batch":  batch(func(b *link.Batch) { plain(b, []byte{0x42, 0x7f}) }),
		"empty payload":        batch(func(b *link.Batch) { plain(b, nil) }),
		"sequence passes 2^64": batch(func(b *link.Batch) { plain(b, []byte{0x20, 1, 0x42, 6, 0x08, 0xff, 0xff, 0xff, 0xff, 0x7f}) }),
		"event is no protobuf": batch(func(b *link.Batch) { plain(b, []byte{0x20, 1, 0x42, 2, 0xff, 0xff}) }),
		"ack from a node":      mustMarshal(t, &link.Frame{Body: &link.Frame_Ack{Ack: &link.Ack{}}}),
	} {
		p := Dial(t, s.Address, &creds.Certificate)
		p.Hello(t)
		p.Raw(body)
		t.Run(name, func(t *testing.T) { p.Refused(t, link.Reason_REASON_PROTOCOL) })
	}
	p := Dial(t, s.Address, &creds.Certificate)
	p.Hello(t)
	p.Write([]byte{0x7f, 0xff, 0xff, 0xff})
	p.Refused(t, link.Reason_REASON_PROTOCOL)

	b := NewHost(5).Batch(20)
	good.Send(t, BatchFrame(t, b, 0))
	good.Acked(t, event.Class_CLASS_BULK, b.LastSequence())
}

func enrolledCertificate(t *testing.T, s Subject) *link.Credentials {
	creds, _, _ := enrolled(t, s)
	return creds
}

func mustMarshal(t *testing.T, f *link.Frame) []byte {
	t.Helper()
	body, err := f.MarshalVT()
	if err != nil {
		t.Fatal(err)
	}
	return body
}

const bombSize = 64 << 20

func bomb(t *testing.T) []byte {
	t.Helper()
	e, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	return e.EncodeAll(make([]byte, bombSize), nil)
}

func overlong(t *testing.T, s Subject) {
	creds, _, _ := enrolled(t, s)
	p := Dial(t, s.Address, &creds.Certificate)
	p.Hello(t)
	p.Send(t, &link.Frame{Body: &link.Frame_Batch{Batch: &link.Batch{
		Class: event.Class_CLASS_BULK, Incarnation: 1, FirstSequence: 1, LastSequence: 1, Events: 1,
		Size: link.MaxBatch + 1, Payload: bytes.Repeat([]byte{1}, link.MaxBatch+1),
	}}})
	p.Refused(t, link.Reason_REASON_PROTOCOL)
}

func disorder(t *testing.T, s Subject) {
	creds, _, _ := enrolled(t, s)
	for name, next := range map[string]func(b *event.Batch){
		"same again":           func(*event.Batch) {},
		"overlap":              func(b *event.Batch) { b.FirstSequence += 3 },
		"earlier incarnation":  func(b *event.Batch) { b.Incarnation, b.FirstSequence = 4, 1000 },
		"earlier and overlaps": func(b *event.Batch) { b.Incarnation = 3 },
	} {
		p := Dial(t, s.Address, &creds.Certificate)
		p.Hello(t)
		b := NewHost(6).Batch(10)
		b.Incarnation = 5
		p.Send(t, BatchFrame(t, b, 0))
		next(b)
		p.Send(t, BatchFrame(t, b, 0))
		t.Run(name, func(t *testing.T) { p.Refused(t, link.Reason_REASON_PROTOCOL) })
	}
	p := Dial(t, s.Address, &creds.Certificate)
	p.Hello(t)
	for _, incarnation := range []uint32{5, 6} {
		b := NewHost(7).Batch(10)
		b.Incarnation = incarnation
		p.Send(t, BatchFrame(t, b, 0))
		p.Acked(t, event.Class_CLASS_BULK, b.LastSequence())
	}
}
