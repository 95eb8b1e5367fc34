package sensor

import (
	"fmt"

	"github.com/hauberk/hauberk/sensor/internal/detect"
	"github.com/hauberk/hauberk/sensor/internal/yamlconf"
)

// policy is what becomes of traffic that cannot be followed as it should be
// (user guide, "Exception Policies"). Their names are EVE's and the counters'.
type policy uint8

const (
	policyIgnore policy = iota
	policyPassPacket
	policyPassFlow
	policyBypass
	policyDropPacket
	policyDropFlow
	policyReject
	policies
)

var policyNames = [policies]string{"ignore", "pass_packet", "pass_flow", "bypass", "drop_packet", "drop_flow", "reject"}

// policyTexts are what suricata.yaml calls them.
var policyTexts = map[string]policy{
	"ignore": policyIgnore, "pass-packet": policyPassPacket, "pass-flow": policyPassFlow, "bypass": policyBypass,
	"drop-packet": policyDropPacket, "drop-flow": policyDropFlow, "reject": policyReject, "rejectboth": policyReject,
}

// midstreamPolicy reads stream.midstream-policy: what becomes of connections
// whose beginning was not seen. Without it the policy for everything counts;
// auto drops, where that is possible and midstream is not wanted.
func midstreamPolicy(tree *yamlconf.Tree, ips bool) (policy, error) {
	midstream := tree.Bool("stream.midstream", false)
	auto := policyIgnore
	if ips && !midstream {
		auto = policyDropFlow
	}
	text := tree.String("stream.midstream-policy", tree.String("exception-policy", "auto"))
	if text == "auto" {
		return auto, nil
	}
	p, ok := policyTexts[text]
	if !ok {
		return 0, fmt.Errorf("stream.midstream-policy: no policy %q", text)
	}
	if !ips && (p == policyDropFlow || p == policyDropPacket) {
		p = policyIgnore // There is nothing to drop.
	}
	return p, nil
}

// follows says whether connections are followed under a policy at all.
func (p policy) follows() bool { return p == policyIgnore || p == policyPassFlow || p == policyPassPacket }

// exceptions are what was done by policies.
type exceptions struct{ midstream [policies]uint64 }

// reasonMidstream is what a drop by the policy is called.
const reasonMidstream = "stream midstream"

// midstreamSeen applies the policy to a packet of a connection whose beginning
// was not seen. It returns why the packet is dropped, "" if it is not.
func (pl *pipeline) midstreamSeen(in *detect.Packet) (drop string) {
	p := pl.settings.midstream
	pl.exceptions.midstream[p]++
	f := in.Flow
	f.Midstream = true
	switch p {
	case policyPassFlow:
		f.NoInspection, f.Passed = true, true
	case policyBypass:
		f.NoInspection, f.Bypass = true, true
	case policyDropFlow, policyReject:
		f.Dropped = true
		return reasonMidstream
	case policyDropPacket:
		return reasonMidstream
	}
	return ""
}
