package sensor

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/hauberk/hauberk/sensor/internal/app/file"
	"github.com/hauberk/hauberk/sensor/internal/decode"
	"github.com/hauberk/hauberk/sensor/internal/decode/hostos"
	"github.com/hauberk/hauberk/sensor/internal/flow"
	"github.com/hauberk/hauberk/sensor/internal/stream"
	"github.com/hauberk/hauberk/sensor/internal/yamlconf"
)

// settings are what suricata.yaml says to the parts of a pipeline.
type settings struct {
	decode decode.Config
	flow   flow.Config
	stream stream.Config
	files  file.Config // What logs want of files.
	// streamChecksums: segments with a wrong checksum are no part of a stream.
	streamChecksums bool
	// pcapChecksums is auto, yes or no: whether checksums of a capture count.
	pcapChecksums string
	// eventCounts: statistics have what is wrong with packets (stats.decoder-events).
	eventCounts bool
	// bypass: flows that a parser says are not worth following are not (stream.bypass).
	bypass bool
	// policies are what becomes of what cannot be followed as it should be.
	policies [targets]policy
	// ips: what rules drop is dropped.
	ips  bool
	tree *yamlconf.Tree
}

// reader reads settings and keeps the first problem.
type reader struct {
	tree *yamlconf.Tree
	err  error
}

func (r *reader) int(path string, def int64) int64 {
	n, err := r.tree.Int(path, def)
	if err != nil && r.err == nil {
		r.err = err
	}
	return n
}

func (r *reader) size(path string, def uint64) uint64 {
	n, err := r.tree.Size(path, def)
	if err != nil && r.err == nil {
		r.err = err
	}
	return n
}

// readSettings reads what pipelines need of a configuration.
func readSettings(tree *yamlconf.Tree) (settings, error) {
	r := &reader{tree: tree}
	s := settings{decode: decode.DefaultConfig(), flow: flow.DefaultConfig(), stream: stream.DefaultConfig(), tree: tree}
	s.decode.MaxLayers = int(r.int("packet-max-layers", r.int("decoder.max-layers", 16)))
	s.decode.IgnoreVLAN = !tree.Bool("vlan.use-for-tracking", true)
	s.decode.IgnoreDevice = !tree.Bool("livedev.use-for-tracking", true)
	r.ports(&s.decode.VXLANPorts, "decoder.vxlan", 4789)
	r.ports(&s.decode.GenevePorts, "decoder.geneve", 6081)
	r.teredo(&s.decode)
	r.flow(&s.flow)
	r.stream(&s.stream)
	s.eventCounts = tree.Bool("stats.decoder-events", true)
	s.bypass = tree.Bool("stream.bypass", false)
	wantHashes(tree, &s.files)
	s.streamChecksums = tree.Bool("stream.checksum-validation", true)
	s.pcapChecksums = tree.String("pcap-file.checksum-checks", "auto")
	return s, r.err
}

// ports reads the ports of a tunnel.
func (r *reader) ports(ports *[]uint16, path string, def uint16) {
	if !r.tree.Bool(path+".enabled", true) {
		*ports = nil
		return
	}
	if text := r.tree.String(path+".ports", ""); text != "" {
		*ports = portList(text, def)
	}
}

// portList reads $VARIABLES as the default, and numbers.
func portList(text string, def uint16) []uint16 {
	var list []uint16
	for _, part := range strings.FieldsFunc(text, func(c rune) bool { return strings.ContainsRune(" ,[]", c) }) {
		if strings.HasPrefix(part, "$") {
			list = append(list, def)
		} else if n, err := strconv.ParseUint(part, 10, 16); err == nil {
			list = append(list, uint16(n))
		}
	}
	return list
}

func (r *reader) teredo(c *decode.Config) {
	if !r.tree.Bool("decoder.teredo.enabled", true) {
		c.TeredoAnywhere, c.TeredoPorts = false, nil
		return
	}
	text := r.tree.String("decoder.teredo.ports", "any")
	if text == "any" || strings.HasPrefix(text, "$") {
		const teredoPort = 3544 // RFC 4380
		c.TeredoAnywhere, c.TeredoPorts = text == "any", []uint16{teredoPort}
		return
	}
	c.TeredoAnywhere, c.TeredoPorts = false, portList(text, 3544)
}

func (r *reader) flow(c *flow.Config) {
	const bytesPerFlow = 320 // What a flow takes, for a memcap in bytes.
	if r.tree.Node("flow.memcap") != nil {
		c.MaxFlows = int(max(r.size("flow.memcap", 128<<20)/bytesPerFlow, 1024))
	}
	for _, k := range []struct {
		name             string
		normal, pressure *flow.Timeouts
	}{{"default", &c.Default, &c.EmergencyDefault}, {"tcp", &c.TCP, &c.EmergencyTCP}, {"udp", &c.UDP, &c.EmergencyUDP}, {"icmp", &c.ICMP, &c.EmergencyICMP}} {
		for state, name := range [...]string{"new", "established", "closed", "bypassed"} {
			base := "flow-timeouts." + k.name + "."
			k.normal[state] = r.int(base+name, k.normal[state])
			k.pressure[state] = r.int(base+"emergency-"+name, k.pressure[state])
		}
	}
}

func (r *reader) stream(c *stream.Config) {
	c.Midstream = r.tree.Bool("stream.midstream", false)
	c.AsyncOneside = r.tree.Bool("stream.async-oneside", false)
	c.Inline = r.tree.Bool("stream.inline", false)
	c.Depth = r.size("stream.reassembly.depth", 1<<20)
	c.Memory = int(r.size("stream.reassembly.memcap", 256<<20))
	c.CheckOverlap = r.tree.Bool("stream.reassembly.check-overlap-different-data", true)
	c.MaxSYNACK = int(r.int("stream.max-synack-queued", 5))
	c.OS = r.hostOS()
}

// hostOS reads host-os-policy.
func (r *reader) hostOS() *hostos.Table {
	n := r.tree.Node("host-os-policy")
	if n == nil {
		return nil
	}
	policies := map[netip.Prefix]hostos.Policy{}
	for _, c := range n.Children {
		policy, err := hostos.Parse(c.Name)
		if err != nil {
			if r.err == nil {
				r.err = fmt.Errorf("host-os-policy: %w", err)
			}
			continue
		}
		texts := strings.FieldsFunc(c.Value, func(c rune) bool { return strings.ContainsRune(" ,[]\"", c) })
		for _, e := range c.Children {
			texts = append(texts, e.Value)
		}
		for _, text := range texts {
			prefix, err := parsePrefix(text)
			if err != nil {
				if r.err == nil {
					r.err = fmt.Errorf("host-os-policy: %s: %w", c.Name, err)
				}
				continue
			}
			policies[prefix] = policy
		}
	}
	return hostos.NewTable(policies)
}

func parsePrefix(text string) (netip.Prefix, error) {
	if strings.Contains(text, "/") {
		return netip.ParsePrefix(text)
	}
	a, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Prefix{}, err
	}
	return a.Prefix(a.BitLen())
}
