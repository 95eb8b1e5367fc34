package app

import (
	"bytes"
	"slices"

	"github.com/hauberk/hauberk/sensor/internal/app/file"
)

// Registry is the protocols a sensor knows.
type Registry struct {
	// GivenUp counts the transactions that were forgotten before they were
	// judged, because too many waited.
	GivenUp uint64

	config   *Config
	list     []*Protocol
	spare    []byte               // Memory for bytes that wait.
	frames   map[*Protocol]uint32 // The kinds that are kept.
	counted  map[*Protocol]*counted
	reversed bool // What was recognised last comes from its other side.
}

// NewRegistry takes protocols in the order in which they are asked.
func NewRegistry(c *Config, list []*Protocol) *Registry {
	r := &Registry{config: c, list: list, counted: map[*Protocol]*counted{}}
	for _, p := range list {
		r.counted[p] = &counted{}
	}
	return r
}

// Protocols are those of the registry.
func (r *Registry) Protocols() []*Protocol { return r.list }

// Files says what is made of the files that begin from now on. It may be
// changed between packets.
func (r *Registry) Files() *file.Config { return &r.config.Files }

// Find returns a protocol by its name or an alias.
func (r *Registry) Find(name string) *Protocol {
	for _, p := range r.list {
		if p.Name == name || slices.Contains(p.Aliases, name) {
			return p
		}
	}
	return nil
}

// recognise finds the protocol of the first bytes of a direction; unsure says
// that more of them may tell. sure leaves out probes that are not of the
// flow's ports.
func (r *Registry) recognise(dir Dir, data []byte, f FlowInfo, sure bool) (p *Protocol, unsure bool) {
	r.reversed = false
	transport := TCP
	if f.UDP {
		transport = UDP
	}
	for _, p := range r.list {
		if p.Transport&transport == 0 {
			continue
		}
		for i := range p.Signatures {
			sig := &p.Signatures[i]
			if sig.Dir != dir {
				continue
			}
			switch sig.look(data) {
			case Yes:
				return p, false
			case Unsure:
				unsure = true
			}
		}
	}
	for _, p := range r.list {
		if p.probes(transport, f) != atPort {
			continue
		}
		if p.asked(r, dir, data, &unsure) {
			return p, false
		}
	}
	for _, p := range r.list {
		if p.probes(transport, f) == anywhere && !sure && p.asked(r, dir, data, &unsure) {
			return p, false
		}
	}
	return nil, unsure && !f.UDP
}

// where says at which ports a protocol's probe is asked.
type where uint8

const (
	nowhere where = iota
	atPort
	anywhere
)

// probes says whether a protocol's probe is asked about a flow: at its ports,
// or at all if it names none.
func (p *Protocol) probes(t Transport, f FlowInfo) where {
	switch {
	case p.Probe == nil || p.Transport&t == 0:
		return nowhere
	case len(p.Ports) == 0:
		return anywhere
	case slices.Contains(p.Ports, f.ServerPort) || slices.Contains(p.Ports, f.ClientPort):
		return atPort
	}
	return nowhere
}

// asked probes. It says whether it is the protocol.
func (p *Protocol) asked(r *Registry, dir Dir, data []byte, unsure *bool) bool {
	switch p.Probe(dir, data) {
	case Yes:
		return true
	case Reversed:
		r.reversed = true
		return true
	case Unsure, Fallback:
		*unsure = true
	}
	return false
}

// fallback finds the protocol that the first bytes of a server may be, when
// those of its client tell of none.
func (r *Registry) fallback(data []byte, f FlowInfo) *Protocol {
	for _, p := range r.list {
		if p.probes(TCP, f) == atPort && p.Probe(ToClient, data) == Fallback {
			return p
		}
	}
	return nil
}

// look compares a signature with the first bytes.
func (sig *Signature) look(data []byte) Verdict {
	end := min(len(data), sig.Depth)
	if end <= sig.Offset {
		return Unsure
	}
	window := data[sig.Offset:end]
	text := []byte(sig.Text)
	if sig.Fold {
		window, text = bytes.ToLower(window), bytes.ToLower(text)
	}
	if bytes.Contains(window, text) {
		return Yes
	}
	if len(data) >= sig.Depth {
		return No
	}
	for n := min(len(text)-1, len(window)); n > 0; n-- { // The text may have begun.
		if bytes.HasSuffix(window, text[:n]) {
			return Unsure
		}
	}
	if sig.Offset+len(text) == sig.Depth {
		return No // It had to be here.
	}
	return Unsure
}
