package control_test

import (
	"context"
	"crypto/tls"
	"errors"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hauberk/hauberk/bus"
	"github.com/hauberk/hauberk/control"
	"github.com/hauberk/hauberk/event"
	"github.com/hauberk/hauberk/fleet"
	"github.com/hauberk/hauberk/link"
	"github.com/hauberk/hauberk/link/linktest"
)

func TestGatewayConforms(t *testing.T) {
	t.Parallel()
	c := newCentre(t)
	r := c.gateway(nil)
	linktest.Run(t, linktest.Subject{
		Address:  r.Address,
		NewToken: func(testing.TB) link.Token { return c.token(nil) },
	})
	if r.count("hauberk_control_enrolments_refused_total", "reason=spent") == 0 {
		t.Error("the second use of a token was not counted")
	}
	if r.count("hauberk_link_connections_cut_total", "reason=protocol") == 0 || r.count("hauberk_link_connections_refused_total", "reason=certificate") == 0 {
		t.Error("broken frames or foreign certificates were not counted")
	}
}

// TestLife follows a node from token to farewell.
func TestLife(t *testing.T) {
	t.Parallel()
	c := newCentre(t)
	r := c.gateway(nil)
	labels := map[string]string{"role": "web", "room": "f2"}
	m := c.enrol(r, "web-7", labels)
	if m.Identity.Tenant != "acme" || m.Identity.Domain != "test.hauberk" || !maps.Equal(m.Enrolled.Labels, labels) {
		t.Errorf("enrolled as %s with %v", m.Identity, m.Enrolled.Labels)
	}
	if life := time.Until(m.Leaf.NotAfter); life < 23*time.Hour || life > 25*time.Hour {
		t.Errorf("certificate is good for %s", life)
	}
	e, err := c.Admin.Enrolment(t.Context(), m.Identity.Node)
	if err != nil || e.Host != "web-7" || e.Kind != "agent" || e.Tenant != "acme" || !maps.Equal(e.Labels, labels) {
		t.Errorf("enrolment %v, %v", e, err)
	}

	p, w := m.connect(t, r)
	if !maps.Equal(w.Labels, labels) || w.MaxBackoff == 0 {
		t.Errorf("welcome: %v", w)
	}
	seen := c.Bus.presence(t, m.Identity.Node, "online", is(online))
	if seen.Host != "web-7" || seen.Tenant != "acme" || seen.Kind != "agent" || !maps.Equal(seen.Labels, labels) || seen.Gateway != w.Gateway || seen.Address == "" {
		t.Errorf("presence: %v", seen)
	}
	b := linktest.NewHost(1).Batch(20)
	b.Tenant, b.Host = "umbrella", &event.Host{Name: "forged"}
	p.Send(t, linktest.BatchFrame(t, b, w.Dictionary))
	p.Acked(t, event.Class_CLASS_BULK, b.LastSequence())
	var got event.Batch
	c.Bus.await(t, bus.Events, "the batch", func(all []bus.Message) bool {
		if len(all) == 0 {
			return false
		}
		if string(all[0].Key) != string(m.Identity.Node[:]) {
			t.Errorf("key %x", all[0].Key)
		}
		return got.UnmarshalVT(all[0].Value) == nil
	})
	if err := got.Check(); err != nil || got.Tenant != "acme" || got.Host.GetName() != "web-7" || got.Host.Labels["role"] != "web" || len(got.Events) != len(b.Events) {
		t.Errorf("on the bus: %v of %q on %v, %v", len(got.Events), got.Tenant, got.Host, err)
	}

	p.Close()
	gone := c.Bus.presence(t, m.Identity.Node, "offline", is(offline))
	if gone.Reason != "connection closed" {
		t.Errorf("offline because %q", gone.Reason)
	}
}

func TestStatusAndSilence(t *testing.T) {
	t.Parallel()
	c := newCentre(t)
	r := c.gateway(func(cfg *control.Config) { cfg.Heartbeat = time.Second })
	m := c.enrol(r, "a", nil)
	p, _ := m.connect(t, r)
	p.Send(t, &link.Frame{Body: &link.Frame_Status{Status: &link.Status{
		ModeEpoch: 7, Stopped: true, Backlog: 3, ConfigHash: "h", ConfigVersion: 2,
		Status: &event.NodeStatus{Mode: "stopped", Sensors: []*event.Sensor{{Name: "process"}}},
	}}})
	seen := c.Bus.presence(t, m.Identity.Node, "the status", func(p *fleet.Presence) bool { return p.ModeEpoch == 7 })
	if !seen.Stopped || seen.Backlog != 3 || seen.ConfigHash != "h" || seen.ConfigVersion != 2 || seen.Status.GetMode() != "stopped" {
		t.Errorf("presence: %v", seen)
	}
	// The node says nothing more.
	gone := c.Bus.presence(t, m.Identity.Node, "offline", is(offline))
	if gone.Reason != "silent for 2.5 heartbeats" {
		t.Errorf("offline because %q", gone.Reason)
	}
}

// TestPeriodicPresence sends the same status twice, presence_every apart.
func TestPeriodicPresence(t *testing.T) {
	t.Parallel()
	c := newCentre(t)
	r := c.gateway(nil)
	m := c.enrol(r, "a", nil)
	p, _ := m.connect(t, r)
	first := c.Bus.presence(t, m.Identity.Node, "online", is(online))
	beat := func() {
		t.Helper()
		p.Send(t, &link.Frame{Body: &link.Frame_Status{Status: &link.Status{}}})
		next(t, p, "the answer to a heartbeat", func(f *link.Frame) (*link.StatusAck, bool) { return f.GetStatusAck(), f.GetStatusAck() != nil })
	}
	beat() // changes nothing, says nothing
	c.Clock.jump(c.Config.PresenceEvery)
	beat()
	later := c.Bus.presence(t, m.Identity.Node, "a later word", func(p *fleet.Presence) bool { return p.Heard > first.Heard })
	if later.Since != first.Since || time.Duration(later.Heard-first.Heard) < c.Config.PresenceEvery {
		t.Errorf("presence %v after %v", later, first)
	}
}

func TestTokensOfManyUses(t *testing.T) {
	t.Parallel()
	c := newCentre(t)
	r := c.gateway(nil)
	token := c.token(func(s *control.TokenSpec) { s.Uses = 5 })
	var wg sync.WaitGroup
	results := make(chan error, 12)
	for range cap(results) {
		key := linktest.NewKey(t)
		wg.Go(func() {
			_, err := link.Enrol(t.Context(), r.Address, token, key, &link.EnrolRequest{Host: "h", Kind: "agent"})
			results <- err
		})
	}
	wg.Wait()
	close(results)
	in := 0
	for err := range results {
		var refusal *link.Refusal
		switch {
		case err == nil:
			in++
		case !errors.As(err, &refusal) || refusal.Reason != link.Reason_REASON_TOKEN || !strings.Contains(refusal.Detail, "used already"):
			t.Errorf("refused with %v", err)
		}
	}
	all, err := c.Admin.Enrolments(t.Context(), "acme")
	if in != 5 || len(all) != 5 || err != nil {
		t.Errorf("%d got in, %d enrolments, %v; want 5", in, len(all), err)
	}
}

func TestTokensThatAreRefused(t *testing.T) {
	t.Parallel()
	c := newCentre(t)
	r := c.gateway(nil)
	enrol := func(token link.Token, kind string) string {
		_, err := link.Enrol(t.Context(), r.Address, token, linktest.NewKey(t), &link.EnrolRequest{Host: "h", Kind: kind})
		var refusal *link.Refusal
		if !errors.As(err, &refusal) {
			t.Fatalf("not refused: %v", err)
		}
		return refusal.Detail
	}
	if got := enrol(c.token(func(s *control.TokenSpec) { s.Kind = "sensor" }), "agent"); !strings.Contains(got, "of kind sensor") {
		t.Errorf("wrong kind: %s", got)
	}
	deleted := c.token(nil)
	if err := c.Admin.DeleteToken(t.Context(), deleted.ID); err != nil {
		t.Fatal(err)
	}
	if got := enrol(deleted, "agent"); !strings.Contains(got, "no such token") {
		t.Errorf("deleted: %s", got)
	}
	if got := enrol(c.token(nil), "Bad Kind"); !strings.Contains(got, "kind") {
		t.Errorf("nonsense in the request: %s", got)
	}
	old := c.token(func(s *control.TokenSpec) { s.Life = time.Minute })
	c.Clock.jump(time.Minute)
	if got := enrol(old, "agent"); !strings.Contains(got, "expired at") {
		t.Errorf("expired: %s", got)
	}
	for _, reason := range []string{"kind", "unknown", "request", "expired"} {
		if r.count("hauberk_control_enrolments_refused_total", "reason="+reason) != 1 {
			t.Errorf("refusal for %s not counted once", reason)
		}
	}
	// A dead token is remembered for 30 days, then forgotten.
	count := func() int {
		c.token(nil)
		all, err := c.Admin.Tokens(t.Context(), "acme")
		if err != nil {
			t.Fatal(err)
		}
		return len(all)
	}
	before := count()
	c.Clock.jump(32 * 24 * time.Hour)
	if after := count(); before < 4 || after != 1 {
		t.Errorf("%d tokens, a month later %d", before, after)
	}
}

func TestBadTokenSpecs(t *testing.T) {
	t.Parallel()
	c := newCentre(t)
	for name, s := range map[string]control.TokenSpec{
		"no tenant": {},
		"tenant":    {Tenant: "Acme Inc."},
		"life":      {Tenant: "acme", Life: 400 * 24 * time.Hour},
		"negative":  {Tenant: "acme", Life: -time.Second},
		"kind":      {Tenant: "acme", Kind: "Agent"},
		"label":     {Tenant: "acme", Labels: map[string]string{"two words": "x"}},
		"value":     {Tenant: "acme", Labels: map[string]string{"a": "\x1b[2J"}},
	} {
		if _, _, err := c.Admin.CreateToken(t.Context(), s); !errors.Is(err, control.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := c.Admin.DeleteToken(t.Context(), "0123456789abcdef"); !errors.Is(err, control.ErrUnknown) {
		t.Errorf("deleting nothing: %v", err)
	}
}

// TestExpiredCertificateMayOnlyRenew lets the clock pass the certificate's
// end, then the 30 days after it.
func TestExpiredCertificateMayOnlyRenew(t *testing.T) {
	t.Parallel()
	c := newCentre(t)
	r := c.gateway(nil)
	m := c.enrol(r, "a", nil)
	c.Clock.jump(25 * time.Hour)
	p := linktest.Dial(t, r.Address, &m.Certificate)
	p.Send(t, linktest.HelloFrame())
	p.Refused(t, link.Reason_REASON_RENEW_ONLY)

	renew := func(csrKey *member, other bool) *linktest.Peer {
		key := csrKey.Key
		if other {
			key = linktest.NewKey(t)
		}
		csr, err := link.NewCSR(key)
		if err != nil {
			t.Fatal(err)
		}
		p := linktest.Dial(t, r.Address, &m.Certificate)
		p.Send(t, &link.Frame{Body: &link.Frame_Renew{Renew: &link.RenewRequest{Csr: csr}}})
		return p
	}
	renew(m, true).Refused(t, link.Reason_REASON_UNAUTHORIZED)
	renewed := renew(m, false).Receive(t).GetRenewed()
	if renewed == nil {
		t.Fatal("an expired certificate could not be renewed with its key")
	}
	creds, err := link.NewCredentials(renewed.Chain, m.Key, renewed.Roots)
	if err != nil || creds.Identity != m.Identity {
		t.Fatalf("renewed as %v, %v", creds, err)
	}
	again := &member{Credentials: creds}
	again.connect(t, r)

	c.Clock.jump(31 * 24 * time.Hour)
	renew(m, false).Refused(t, link.Reason_REASON_UNAUTHORIZED)
}

// TestClientRenewsByItself lets a real client run past its certificate.
func TestClientRenewsByItself(t *testing.T) {
	t.Parallel()
	c := newCentre(t)
	r := c.gateway(nil)
	m := c.enrol(r, "a", nil)
	n := linktest.NewNode(m.Credentials)
	renewed := make(chan *link.Credentials, 1)
	n.Store = func(w *link.Renewed) (*link.Credentials, error) {
		creds, err := link.NewCredentials(w.Chain, m.Key, w.Roots)
		if err == nil {
			renewed <- creds
		}
		return creds, err
	}
	c.Clock.jump(26 * time.Hour)
	client := link.NewClient(link.ClientConfig{Gateways: []string{r.Address}, Now: c.Clock.now, Incarnation: 1}, n, n)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- client.Run(ctx) }()
	creds := <-renewed
	if !creds.Leaf.NotAfter.After(c.Clock.now()) {
		t.Errorf("renewed until %s, now %s", creds.Leaf.NotAfter, c.Clock.now())
	}
	c.Bus.presence(t, m.Identity.Node, "online", is(online))
	n.Make(event.Class_CLASS_PRIORITY, 5)
	c.Bus.await(t, bus.Events, "an event", func(all []bus.Message) bool { return len(all) > 0 })
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestRevocationIsLive(t *testing.T) {
	t.Parallel()
	c := newCentre(t)
	r := c.gateway(nil)
	m, other := c.enrol(r, "bad", nil), c.enrol(r, "good", nil)
	p, w := m.connect(t, r)
	q, _ := other.connect(t, r)
	c.Bus.presence(t, m.Identity.Node, "online", is(online))
	if _, err := c.Admin.Revoke(t.Context(), m.Identity.Node, "ann"); err != nil {
		t.Fatal(err)
	}
	p.Refused(t, link.Reason_REASON_UNAUTHORIZED)
	if gone := c.Bus.presence(t, m.Identity.Node, "offline", is(offline)); gone.Reason != "revoked" {
		t.Errorf("offline because %q", gone.Reason)
	}
	// What it still sends is not taken.
	b := linktest.NewHost(1).Batch(5)
	p.Send(t, linktest.BatchFrame(t, b, w.Dictionary))
	for f := p.Receive(t); f != nil; f = p.Receive(t) {
		if f.GetAck() != nil {
			t.Error("a revoked node's batch was acknowledged")
		}
	}
	again := linktest.Dial(t, r.Address, &m.Certificate)
	again.Send(t, linktest.HelloFrame())
	again.Refused(t, link.Reason_REASON_UNAUTHORIZED)
	csr, err := link.NewCSR(m.Key)
	if err != nil {
		t.Fatal(err)
	}
	renewal := linktest.Dial(t, r.Address, &m.Certificate)
	renewal.Send(t, &link.Frame{Body: &link.Frame_Renew{Renew: &link.RenewRequest{Csr: csr}}})
	renewal.Refused(t, link.Reason_REASON_UNAUTHORIZED)
	q.Send(t, linktest.BatchFrame(t, b, 0))
	q.Acked(t, event.Class_CLASS_BULK, b.LastSequence())
	e, err := c.Admin.Enrolment(t.Context(), m.Identity.Node)
	if err != nil || !e.Revoked || e.RevokedBy != "ann" || e.RevokedAt == 0 {
		t.Errorf("enrolment: %v, %v", e, err)
	}
	c.Bus.await(t, bus.Events, "the other's batch alone", func(all []bus.Message) bool { return len(all) == 1 })
	if _, err := c.Admin.Revoke(t.Context(), event.NewNodeID(), "ann"); !errors.Is(err, control.ErrUnknown) {
		t.Errorf("revoking nobody: %v", err)
	}
}

func TestSecondConnectionReplacesTheFirst(t *testing.T) {
	t.Parallel()
	c := newCentre(t)
	r := c.gateway(nil)
	m := c.enrol(r, "a", nil)
	first, _ := m.connect(t, r)
	second, _ := m.connect(t, r)
	first.Refused(t, link.Reason_REASON_REPLACED)
	for f := first.Receive(t); f != nil; f = first.Receive(t) {
	}
	b := linktest.NewHost(1).Batch(5)
	second.Send(t, linktest.BatchFrame(t, b, 0))
	second.Acked(t, event.Class_CLASS_BULK, b.LastSequence())
	c.Bus.presence(t, m.Identity.Node, "online", func(p *fleet.Presence) bool {
		if p.State == offline {
			t.Error("the end of the first connection made the node offline")
		}
		return true
	})
}

// TestBusFailure: what the bus does not take is not acknowledged, and the
// node is told to come back.
func TestBusFailure(t *testing.T) {
	t.Parallel()
	c := newCentre(t)
	r := c.gateway(nil)
	m := c.enrol(r, "a", nil)
	p, _ := m.connect(t, r)
	c.Bus.set(func(b *memoryBus) { b.refuse = bus.ErrFull })
	b := linktest.NewHost(1).Batch(5)
	p.Send(t, linktest.BatchFrame(t, b, 0))
	p.Refused(t, link.Reason_REASON_UNAVAILABLE)
	c.Bus.set(func(b *memoryBus) { b.refuse = nil })
	p, _ = m.connect(t, r)
	p.Send(t, linktest.BatchFrame(t, b, 0))
	p.Acked(t, event.Class_CLASS_BULK, b.LastSequence())
	if r.count("hauberk_gateway_publish_failures_total", "topic=events") != 1 {
		t.Error("the failure was not counted")
	}
}

// TestCredit: a full disk stops everything and a full bus bulk; both go on by
// themselves.
func TestCredit(t *testing.T) {
	t.Parallel()
	c := newCentre(t)
	r := c.gateway(nil)
	m := c.enrol(r, "a", nil)
	p, w := m.connect(t, r)
	if w.Credits[0].Window == 0 || w.Credits[1].Window == 0 {
		t.Fatalf("no credit at first: %v", w.Credits)
	}
	credit := func(want map[event.Class]bool) {
		t.Helper()
		for len(want) > 0 {
			got := next(t, p, "credit", func(f *link.Frame) (*link.Credit, bool) { return f.GetCredit(), f.GetCredit() != nil })
			open, expected := want[got.Class]
			if !expected || open != (got.Window > 0) {
				t.Fatalf("credit %v, want %v", got, want)
			}
			delete(want, got.Class)
		}
	}
	const priority, bulk = event.Class_CLASS_PRIORITY, event.Class_CLASS_BULK
	c.full.Store(true)
	credit(map[event.Class]bool{priority: false, bulk: false})
	if r.count("hauberk_gateway_ingest_stopped", "") != 1 {
		t.Error("gauge does not say that ingest is stopped")
	}
	// Who joins now gets none either.
	late := c.enrol(r, "late", nil)
	_, w = late.connect(t, r)
	if w.Credits[0].Window != 0 || w.Credits[1].Window != 0 {
		t.Errorf("credit for a newcomer: %v", w.Credits)
	}
	c.full.Store(false)
	credit(map[event.Class]bool{priority: true, bulk: true})
	c.Bus.set(func(b *memoryBus) { b.fill = bus.WithdrawFill })
	credit(map[event.Class]bool{priority: true, bulk: false})
	// Nothing known is no news.
	c.Bus.set(func(b *memoryBus) { b.fillErr = errors.New("broker away") })
	c.Bus.askedAgain(t)
	c.Bus.askedAgain(t) // so that the answer before was acted on
	if r.count("hauberk_gateway_ingest_stopped", "") != 1 || r.count("hauberk_gateway_bus_fill_failures_total", "") == 0 {
		t.Error("credit came back while the bus did not answer")
	}
	c.Bus.set(func(b *memoryBus) { b.fill, b.fillErr = 0.3, nil })
	credit(map[event.Class]bool{priority: true, bulk: true})
	b := linktest.NewHost(1).Batch(5)
	p.Send(t, linktest.BatchFrame(t, b, 0))
	p.Acked(t, bulk, b.LastSequence())
}

// TestTicketsAreShared resumes at a second gateway the session of the first.
func TestTicketsAreShared(t *testing.T) {
	t.Parallel()
	c := newCentre(t)
	a, b := c.gateway(nil), c.gateway(func(cfg *control.Config) { cfg.Name = "second" })
	m := c.enrol(a, "a", nil)
	config := &tls.Config{
		InsecureSkipVerify: true, MinVersion: tls.VersionTLS13, NextProtos: []string{link.ALPN}, ServerName: "gateway",
		Certificates: []tls.Certificate{m.Certificate}, ClientSessionCache: tls.NewLRUClientSessionCache(1),
	}
	for i, r := range []*running{a, b} {
		conn, err := tls.Dial("tcp", r.Address, config)
		if err != nil {
			t.Fatal(err)
		}
		p := &linktest.Peer{Conn: conn}
		p.Hello(t)
		if resumed := conn.ConnectionState().DidResume; resumed != (i == 1) {
			t.Errorf("connection %d resumed: %v", i, resumed)
		}
		conn.Close()
	}
}

// TestClockJumps: a wall clock that goes a week ahead and back ends no
// connection, and the gateway always shows a certificate of the time.
func TestClockJumps(t *testing.T) {
	t.Parallel()
	c := newCentre(t)
	r := c.gateway(nil)
	m := c.enrol(r, "a", nil)
	p, _ := m.connect(t, r)
	b := linktest.NewHost(1).Batch(5)
	for _, jump := range []time.Duration{7 * 24 * time.Hour, -14 * 24 * time.Hour, 7 * 24 * time.Hour} {
		c.Clock.jump(jump)
		p.Send(t, linktest.BatchFrame(t, b, 0))
		p.Acked(t, event.Class_CLASS_BULK, b.LastSequence())
		b.FirstSequence = b.LastSequence() + 1
		fresh := linktest.Dial(t, r.Address, nil)
		leaf := fresh.ConnectionState().PeerCertificates[0]
		if now := c.Clock.now(); now.Before(leaf.NotBefore) || now.After(leaf.NotAfter) {
			t.Errorf("at %s the gateway shows a certificate from %s to %s", now, leaf.NotBefore, leaf.NotAfter)
		}
	}
}
