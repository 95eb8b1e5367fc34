package decoy

import (
	"net/netip"
	"strings"
	"time"

	"github.com/hauberk/hauberk/decoy/internal/trap"
	"github.com/hauberk/hauberk/event"
)

// Sink takes events for the centre; an enrolled node is one. It must not wait for the network.
type Sink interface {
	Put(class event.Class, observed time.Time, e *event.Event) error
}

// words says a session in the fleet's words: the flow, each attempt to log in, what TLS and HTTP told of the client. What
// they have no word for, as the transcript, stays in the journal.
func words(s *trap.Session) (priority, bulk []*event.Event) {
	ends := &event.Endpoints{
		SourceIp: s.Source.AsSlice(), SourcePort: uint32(s.SourcePort), DestinationIp: s.Destination.AsSlice(),
		DestinationPort: uint32(s.DestinationPort), Transport: event.Transport_TRANSPORT_TCP, Flow: flow(s),
	}
	if s.Transport == "udp" {
		ends.Transport = event.Transport_TRANSPORT_UDP
	}
	for _, c := range s.Credentials {
		priority = append(priority, &event.Event{Body: &event.Event_Login{Login: &event.Login{
			Kind: event.LoginKind_LOGIN_KIND_LOGIN, User: []byte(c.User), SourceIp: ends.SourceIp, SourcePort: ends.SourcePort,
			Method: c.Method, Service: []byte(s.Service), Message: []byte(c.Secret),
		}}})
	}
	if s.JA3 != "" {
		bulk = append(bulk, &event.Event{Body: &event.Event_Tls{Tls: &event.Tls{Endpoints: ends, ServerName: []byte(s.ServerName), Ja3: s.JA3}}})
	}
	if s.Service == "http" || s.Service == "https" {
		for _, r := range s.Requests {
			method, rest, _ := strings.Cut(r, " ")
			host, path, _ := strings.Cut(rest, "/")
			bulk = append(bulk, &event.Event{Body: &event.Event_Http{Http: &event.Http{
				Endpoints: ends, Method: []byte(method), Host: []byte(host), Url: []byte("/" + path), UserAgent: []byte(s.Client), Status: 401,
			}}})
		}
	}
	return priority, append(bulk, &event.Event{Body: &event.Event_Flow{Flow: &event.Flow{
		Endpoints: ends, SourceBytes: uint64(s.Received), DestinationBytes: uint64(s.Sent), Duration: uint64(s.Duration),
		Application: s.Service, EndReason: s.End,
	}}})
}

// flow is a number that joins the events of a session: FNV-1a of its beginning and its ends.
func flow(s *trap.Session) uint64 {
	h := uint64(14695981039346656037)
	mix := func(b ...byte) {
		for _, c := range b {
			h = (h ^ uint64(c)) * 1099511628211
		}
	}
	for _, a := range []netip.Addr{s.Source, s.Destination} {
		mix(a.AsSlice()...)
	}
	start := uint64(s.Time.UnixNano())
	for i := range 8 {
		mix(byte(start >> (8 * i)))
	}
	mix(byte(s.SourcePort), byte(s.SourcePort>>8), byte(s.DestinationPort), byte(s.DestinationPort>>8))
	return h
}
