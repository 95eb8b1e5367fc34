// Package publish makes the fleet's events of what a sensor sees: one table
// says which type of EVE event becomes which body of package event. Types that
// are not in it stay in the sensor's own logs.
package publish

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/hauberk/hauberk/event"
	"github.com/hauberk/hauberk/packet"
	"github.com/hauberk/hauberk/sensor/internal/app"
	"github.com/hauberk/hauberk/sensor/internal/decode"
	"github.com/hauberk/hauberk/sensor/internal/flow"
	"github.com/hauberk/hauberk/suricata"
	"github.com/hauberk/hauberk/suricata/siteconf"
)

// bodies are by EVE type what makes the body of a transaction's event.
var bodies = map[string]func(*event.Endpoints, app.Tx) *event.Event{
	"dns":   dns,
	"http":  http,
	"http2": http,
	"tls":   tls,
	"quic":  tls,
}

// Tx is the event of a transaction that EVE logs under that type; nil: there is none.
func Tx(kind string, f *flow.Flow, tx app.Tx) *event.Event {
	make := bodies[kind]
	if make == nil || f == nil {
		return nil
	}
	return make(Endpoints(f), tx)
}

// Endpoints are a flow's, the client first.
func Endpoints(f *flow.Flow) *event.Endpoints {
	return endpoints(f.Client(), f.Server(), f.Proto(), f.ID)
}

func endpoints(from, to netip.AddrPort, proto packet.Proto, id uint64) *event.Endpoints {
	e := &event.Endpoints{SourceIp: from.Addr().Unmap().AsSlice(), DestinationIp: to.Addr().Unmap().AsSlice(), Transport: transports[proto], Flow: id}
	if e.Transport != event.Transport_TRANSPORT_ICMP {
		e.SourcePort, e.DestinationPort = uint32(from.Port()), uint32(to.Port())
	}
	return e
}

var transports = map[packet.Proto]event.Transport{
	packet.ProtoTCP: event.Transport_TRANSPORT_TCP, packet.ProtoUDP: event.Transport_TRANSPORT_UDP, packet.ProtoSCTP: event.Transport_TRANSPORT_SCTP,
	packet.ProtoICMPv4: event.Transport_TRANSPORT_ICMP, packet.ProtoICMPv6: event.Transport_TRANSPORT_ICMP,
}

// Flow is the event of a flow that ended.
func Flow(f *flow.Flow, application string, reason flow.Reason) *event.Event {
	return &event.Event{Body: &event.Event_Flow{Flow: &event.Flow{
		Endpoints: Endpoints(f), SourceBytes: f.Bytes[flow.ToServer], DestinationBytes: f.Bytes[flow.ToClient],
		SourcePackets: f.Packets[flow.ToServer], DestinationPackets: f.Packets[flow.ToClient],
		Duration: uint64(max(f.Last-f.Start, 0)), Application: application, EndReason: reason.String(),
	}}}
}

// values reads buffers of a transaction.
type values struct {
	tx      app.Tx
	scratch []byte
}

// maxValue bounds what is taken of a buffer, in bytes.
const maxValue = 4 << 10

// of is the first value of a buffer, a copy.
func (v *values) of(b suricata.Buffer, dir app.Dir) []byte {
	got, ok := v.tx.Buffer(b, dir, 0, &v.scratch)
	if !ok {
		return nil
	}
	return append([]byte(nil), got.Data[:min(len(got.Data), maxValue)]...)
}

func dns(e *event.Endpoints, tx app.Tx) *event.Event {
	message, ok := tx.(interface{ Event() *event.Dns })
	if !ok {
		return nil
	}
	d := message.Event()
	d.Endpoints = e
	return &event.Event{Body: &event.Event_Dns{Dns: d}}
}

func http(e *event.Endpoints, tx app.Tx) *event.Event {
	v := values{tx: tx}
	h := &event.Http{
		Endpoints: e, Method: v.of(suricata.BufHTTPMethod, app.ToServer), Host: v.of(suricata.BufHTTPHost, app.ToServer),
		Url: v.of(suricata.BufHTTPURIRaw, app.ToServer), UserAgent: v.of(suricata.BufHTTPUserAgent, app.ToServer),
		Referrer: v.of(suricata.BufHTTPReferer, app.ToServer),
	}
	if n, err := strconv.ParseUint(string(v.of(suricata.BufHTTPStatCode, app.ToClient)), 10, 16); err == nil {
		h.Status = uint32(n)
	}
	return &event.Event{Body: &event.Event_Http{Http: h}}
}

func tls(e *event.Endpoints, tx app.Tx) *event.Event {
	v := values{tx: tx}
	sni := v.of(suricata.BufTLSSNI, app.ToServer)
	if sni == nil {
		sni = v.of(suricata.BufQUICSNI, app.ToServer)
	}
	return &event.Event{Body: &event.Event_Tls{Tls: &event.Tls{
		Endpoints: e, ServerName: sni,
		Ja3: string(v.of(suricata.BufJA3Hash, app.ToServer)), Ja3S: string(v.of(suricata.BufJA3SHash, app.ToClient)),
		Subject: v.of(suricata.BufTLSCertSubject, app.ToClient), Issuer: v.of(suricata.BufTLSCertIssuer, app.ToClient),
		Fingerprint: string(v.of(suricata.BufTLSCertFingerprint, app.ToClient)),
	}}}
}

// Alert is the event of a rule that matched: in a transaction if tx is not
// nil, in a flow if f is not. Evidence is the transaction or the flow so far.
func Alert(rule *suricata.Compiled, class siteconf.Class, p *decode.Packet, f *flow.Flow, application string, tx app.Tx) *event.Event {
	ends := endpoints(netip.AddrPortFrom(p.Src(), p.SrcPort), netip.AddrPortFrom(p.Dst(), p.DstPort), p.Proto, 0)
	var evidence *event.Event
	if f != nil {
		ends = Endpoints(f)
		evidence = Flow(f, application, flow.Forced)
		evidence.GetFlow().EndReason = "" // it goes on
		if tx != nil {
			if body := Tx(tx.Common().Protocol.Name, f, tx); body != nil {
				evidence = body
			}
		}
	} else {
		evidence = &event.Event{Body: &event.Event_Flow{Flow: &event.Flow{Endpoints: ends, SourcePackets: 1, SourceBytes: uint64(len(p.Data))}}}
	}
	a := &event.Alert{
		RuleId: fmt.Sprintf("suricata:%d:%d", rule.GID, rule.SID), RuleName: rule.Msg, Severity: severity(class.Priority),
		Description: class.Description, Ruleset: "suricata",
		Fingerprint: text(ends.SourceIp, 0) + " " + text(ends.DestinationIp, 0),
		Evidence:    []*event.Evidence{{Time: p.Time, Event: evidence}},
		Summary:     summary(ends, application, evidence),
	}
	annotate(a, rule)
	return &event.Event{Body: &event.Event_Alert{Alert: a}}
}

// severity is the fleet's of a priority of Suricata's, of which 1 is the most severe.
func severity(priority int) event.Severity {
	switch priority {
	case 0, 1:
		return event.Severity_SEVERITY_HIGH
	case 2:
		return event.Severity_SEVERITY_MEDIUM
	case 3:
		return event.Severity_SEVERITY_LOW
	}
	return event.Severity_SEVERITY_INFORMATIONAL
}

// annotate adds the rule's references and what its metadata says of ATT&CK.
func annotate(a *event.Alert, rule *suricata.Compiled) {
	for i := range rule.Options {
		o := &rule.Options[i]
		if o.Value == nil {
			continue
		}
		switch text := o.Value.String(); o.Name {
		case "reference":
			if kind, id, ok := strings.Cut(text, ","); ok && kind == "url" {
				a.References = append(a.References, "https://"+strings.TrimPrefix(strings.TrimSpace(id), "https://"))
			} else {
				a.References = append(a.References, text)
			}
		case "metadata":
			for pair := range strings.SplitSeq(text, ",") {
				switch key, value, _ := strings.Cut(strings.TrimSpace(pair), " "); key {
				case "mitre_technique_id":
					a.Techniques = append(a.Techniques, value)
				case "mitre_technique_name":
					a.TechniqueNames = append(a.TechniqueNames, strings.ReplaceAll(value, "_", " "))
				case "mitre_tactic_name":
					a.Tactics = append(a.Tactics, strings.ReplaceAll(value, "_", " "))
				}
			}
		}
	}
}

// summary is a line for people: who with whom, and about what.
func summary(e *event.Endpoints, application string, evidence *event.Event) string {
	var b strings.Builder
	b.WriteString(text(e.SourceIp, e.SourcePort) + " -> " + text(e.DestinationIp, e.DestinationPort))
	switch body := evidence.Body.(type) {
	case *event.Event_Http:
		fmt.Fprintf(&b, ": %s %s%s", body.Http.Method, body.Http.Host, body.Http.Url)
	case *event.Event_Dns:
		fmt.Fprintf(&b, ": DNS %s %s", body.Dns.QuestionType, body.Dns.QuestionName)
	case *event.Event_Tls:
		fmt.Fprintf(&b, ": TLS %s", body.Tls.ServerName)
	default:
		if application != "" {
			b.WriteString(": " + application)
		}
	}
	return b.String()
}

// text is an address with its port, if it has one.
func text(ip []byte, port uint32) string {
	a, _ := netip.AddrFromSlice(ip)
	if port == 0 {
		return a.String()
	}
	return netip.AddrPortFrom(a, uint16(port)).String()
}
