package sensor

import (
	"fmt"

	"github.com/hauberk/hauberk/sensor/internal/detect"
	"github.com/hauberk/hauberk/sensor/internal/eve"
	"github.com/hauberk/hauberk/sensor/internal/flow"
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

// target is what policies are for. Their names are the counters'.
type target uint8

const (
	ofMidstream  target = iota // A connection whose beginning was not seen.
	ofReassembly               // Bytes of a stream found no room.
	ofFlowMemcap               // A flow found no room.
	targets
)

// targetOf says how a target is called.
var targetOf = [targets]struct{ key, counter, drop, flow string }{
	ofMidstream:  {"stream.midstream-policy", "exception_policy.tcp.midstream.", "stream midstream", "stream_midstream"},
	ofReassembly: {"stream.reassembly.memcap-policy", "exception_policy.tcp.reassembly.", "stream reassembly", "stream_reassembly_memcap"},
	ofFlowMemcap: {"flow.memcap-policy", "exception_policy.flow.memcap.", "flow memcap", ""},
}

// readPolicies reads the policies. Without one of its own the policy for
// everything counts, exception-policy; auto drops inline, but no connections
// from midstream where those are wanted.
func readPolicies(tree *yamlconf.Tree, ips bool) (list [targets]policy, err error) {
	for t := range targets {
		auto := policyIgnore
		switch {
		case !ips, t == ofMidstream && tree.Bool("stream.midstream", false):
		case t == ofFlowMemcap: // There is no flow to drop.
			auto = policyDropPacket
		default:
			auto = policyDropFlow
		}
		text := tree.String(targetOf[t].key, tree.String("exception-policy", "auto"))
		p, ok := policyTexts[text]
		switch {
		case text == "auto":
			p = auto
		case !ok:
			return list, fmt.Errorf("%s: no policy %q", targetOf[t].key, text)
		case !ips && (p == policyDropFlow || p == policyDropPacket):
			p = policyIgnore // There is nothing to drop.
		}
		list[t] = p
	}
	return list, nil
}

// follows says whether connections are followed under a policy at all.
func (p policy) follows() bool {
	return p == policyIgnore || p == policyPassFlow || p == policyPassPacket
}

// exceptions are how often each policy was applied.
type exceptions [targets][policies]uint64

// exception applies the policy of a target to a packet and its flow.
func (pl *pipeline) exception(t target, in *detect.Packet) {
	p := pl.settings.policies[t]
	pl.exceptions[t][p]++
	f := in.Flow
	if f == nil {
		f = &flow.Flow{} // Nothing that follows is affected.
	}
	f.Exceptions |= 1 << t
	switch p {
	case policyPassFlow:
		f.NoInspection, f.Passed = true, true
	case policyBypass:
		f.NoInspection, f.Passed, f.Bypass = true, true, true
	case policyDropFlow, policyReject:
		f.NoInspection, f.Dropped = true, pl.settings.ips
		pl.drop(targetOf[t].drop)
	case policyDropPacket:
		pl.drop(targetOf[t].drop)
	}
}

// drop drops the packet that is followed, inline.
func (pl *pipeline) drop(because string) {
	if pl.settings.ips {
		pl.because = because
	}
}

// exceptionsOf names the policies that were applied to a flow, for its event.
func (s *settings) exceptionsOf(f *flow.Flow) (list []eve.Exception) {
	for t := range targets {
		if f.Exceptions>>t&1 == 1 && targetOf[t].flow != "" {
			list = append(list, eve.Exception{Target: targetOf[t].flow, Policy: policyNames[s.policies[t]]})
		}
	}
	return list
}
