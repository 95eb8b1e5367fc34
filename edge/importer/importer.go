// Package importer reads what other balancers are configured with, the output
// of `ipvsadm -S -n` and the virtual_server blocks of keepalived.conf, and makes
// VIPs of an edge.yaml from it. What has no counterpart is a note with its
// line: nothing is dropped in silence.
package importer

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxInput bounds what is read, in bytes.
const maxInput = 64 << 20

// A vip is written as edge.yaml has it.
type vip struct {
	Name            string    `yaml:"name,omitempty"`
	Address         string    `yaml:"address"`
	Proto           string    `yaml:"proto,omitempty"`
	Ports           string    `yaml:"ports"`
	Mode            string    `yaml:"mode"`
	Scheduler       string    `yaml:"scheduler"`
	PersistenceBits int       `yaml:"persistence_bits,omitempty"`
	OnePacket       bool      `yaml:"one_packet,omitempty"`
	Quorum          int       `yaml:"quorum,omitempty"`
	QuorumUp        int       `yaml:"quorum_up,omitempty"`
	Health          *check    `yaml:"health,omitempty,flow"`
	Sorry           *backend  `yaml:"sorry,omitempty,flow"`
	Backends        []backend `yaml:"backends"`

	healthLine, opsLine int
}

type backend struct {
	Address        string `yaml:"address"`
	Port           int    `yaml:"port,omitempty"`
	Weight         *int   `yaml:"weight,omitempty"`
	MaxConnections int    `yaml:"max_connections,omitempty"`
}

func (b backend) MarshalYAML() (any, error) {
	type plain backend
	var n yaml.Node
	if err := n.Encode(plain(b)); err != nil {
		return nil, err
	}
	n.Style = yaml.FlowStyle
	return &n, nil
}

type check struct {
	Type     string   `yaml:"type,omitempty"`
	Interval string   `yaml:"interval,omitempty"`
	Timeout  string   `yaml:"timeout,omitempty"`
	Fall     int      `yaml:"fall,omitempty"`
	Port     int      `yaml:"port,omitempty"`
	Path     string   `yaml:"path,omitempty"`
	Host     string   `yaml:"host,omitempty"`
	Status   string   `yaml:"status,omitempty"`
	Name     string   `yaml:"name,omitempty"`
	Record   string   `yaml:"record,omitempty"`
	Command  []string `yaml:"command,omitempty"`
}

// A Note is a line, or a part of one, without a counterpart.
type Note struct {
	Line int
	Text string // what it is
	Why  string
}

func (n Note) String() string { return fmt.Sprintf("line %d: %s: %s", n.Line, n.Text, n.Why) }

type notes []Note

func (n *notes) add(line int, text, why string, args ...any) {
	*n = append(*n, Note{line, text, fmt.Sprintf(why, args...)})
}

// Read reads either form and returns the vips as YAML.
func Read(r io.Reader) ([]byte, []Note, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxInput+1))
	if err != nil {
		return nil, nil, fmt.Errorf("read import: %w", err)
	}
	if len(data) > maxInput {
		return nil, nil, fmt.Errorf("read import: over %d bytes", maxInput)
	}
	var n notes
	var vips []*vip
	if isIPVS(data) {
		vips = readIPVS(data, &n)
	} else if vips, err = readKeepalived(data, &n); err != nil {
		return nil, nil, err
	}
	for _, v := range vips {
		if v.OnePacket && v.Mode == "fullnat" {
			n.add(v.opsLine, "ops", "needs dr or a tunnel: with fullnat the answer needs a session; it is given up")
			v.OnePacket = false
		}
	}
	out := struct {
		VIPs []*vip `yaml:"vips"`
	}{vips}
	var text bytes.Buffer
	e := yaml.NewEncoder(&text)
	e.SetIndent(2)
	if err := e.Encode(out); err != nil {
		return nil, nil, err
	}
	return text.Bytes(), n, nil
}

// isIPVS says whether the first line with something in it is a rule of ipvsadm.
func isIPVS(data []byte) bool {
	for line := range strings.Lines(string(data)) {
		f := strings.Fields(line)
		if len(f) == 0 || strings.HasPrefix(f[0], "#") {
			continue
		}
		switch f[0] {
		case "-A", "-a", "--add-service", "--add-server":
			return true
		}
		return false
	}
	return false
}

// schedulers that are the same here and there.
var schedulers = map[string]string{"rr": "rr", "wrr": "wrr", "wlc": "wlc", "sh": "sh", "mh": "mh"}

// near are schedulers that one of ours comes close to.
var near = map[string]string{"lc": "wlc", "sed": "wlc", "nq": "wlc", "lblc": "mh", "lblcr": "mh", "dh": "mh", "fo": "wrr", "ovf": "wrr", "twos": "wlc"}

func (v *vip) schedule(name string, line int, n *notes) {
	if same, ok := schedulers[name]; ok {
		v.Scheduler = same
		return
	}
	if close, ok := near[name]; ok {
		v.Scheduler = close
		n.add(line, "scheduler "+name, "there is none; %s is the nearest", close)
		return
	}
	n.add(line, "scheduler "+name, "is not known; %s is taken", v.Scheduler)
}

// readIPVS reads rules, a service or a server each.
func readIPVS(data []byte, n *notes) []*vip {
	var out []*vip
	known := map[string]*vip{}
	s := bufio.NewScanner(bytes.NewReader(data))
	s.Buffer(nil, maxInput)
	for line := 1; s.Scan(); line++ {
		f := strings.Fields(s.Text())
		if len(f) == 0 || strings.HasPrefix(f[0], "#") {
			continue
		}
		switch f[0] {
		case "-A", "--add-service":
			if v, key := service(f[1:], line, n); v != nil {
				if known[key] != nil {
					n.add(line, s.Text(), "the service was there before")
					continue
				}
				known[key] = v
				out = append(out, v)
			}
		case "-a", "--add-server":
			server(f[1:], line, known, n)
		default:
			n.add(line, s.Text(), "is neither a service (-A) nor a server (-a)")
		}
	}
	return out
}

// options of ipvsadm that have a value.
var valued = map[string]bool{
	"-t": true, "-u": true, "-f": true, "-s": true, "-p": true, "-M": true, "-r": true, "-w": true, "-x": true, "-y": true, "-b": true,
	"--tcp-service": true, "--udp-service": true, "--fwmark-service": true, "--sctp-service": true, "--scheduler": true, "--persistent": true,
	"--netmask": true, "--real-server": true, "--weight": true, "--u-threshold": true, "--l-threshold": true, "--sched-flags": true, "--pe": true,
	"--tun-type": true, "--tun-port": true,
}

// flags splits a rule into options and their values.
func flags(f []string, line int, n *notes, each func(flag, value string)) {
	for i := 0; i < len(f); i++ {
		flag, value := f[i], ""
		if name, rest, ok := strings.Cut(flag, "="); ok && strings.HasPrefix(flag, "--") {
			flag, value = name, rest
		} else if valued[flag] {
			if i+1 == len(f) {
				n.add(line, flag, "its value is missing")
				return
			}
			i++
			value = f[i]
		}
		each(flag, value)
	}
}

// endpoint reads address:port, as ipvsadm -n prints it.
func endpoint(text string) (netip.Addr, int, error) {
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		return netip.Addr{}, 0, err
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return netip.Addr{}, 0, fmt.Errorf("%q is no address: save with ipvsadm -S -n", host)
	}
	p, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return netip.Addr{}, 0, fmt.Errorf("%q is no port: save with ipvsadm -S -n", port)
	}
	return addr, int(p), nil
}

func service(f []string, line int, n *notes) (*vip, string) {
	v := &vip{Scheduler: "wlc", Mode: "dr"} // ipvsadm's defaults
	key, unusable := "", ""
	persistent := false
	flags(f, line, n, func(flag, value string) {
		switch flag {
		case "-t", "--tcp-service", "-u", "--udp-service":
			key = value
			v.Proto = "tcp"
			if flag == "-u" || flag == "--udp-service" {
				v.Proto = "udp"
			}
			key = v.Proto + value
			addr, port, err := endpoint(value)
			if err != nil {
				unusable = err.Error()
				return
			}
			v.Address, v.Ports = addr.String(), strconv.Itoa(port)
			if port == 0 {
				v.Ports = "1-65535"
			}
		case "-f", "--fwmark-service":
			unusable = "firewall marks are no VIPs here: name addresses and port ranges"
		case "--sctp-service":
			unusable = "SCTP is not balanced"
		case "-s", "--scheduler":
			v.schedule(value, line, n)
		case "-p", "--persistent":
			persistent = true
		case "-M", "--netmask":
			bits, err := maskBits(value)
			if err != nil {
				n.add(line, flag+" "+value, "%v", err)
				return
			}
			v.PersistenceBits = bits
		case "-o", "--ops":
			v.OnePacket, v.opsLine = true, line
		default:
			n.add(line, strings.TrimSpace(flag+" "+value), "has no counterpart")
		}
	})
	if unusable == "" && v.Address == "" {
		unusable = "names no service"
	}
	if unusable != "" {
		n.add(line, strings.Join(f, " "), "%s", unusable)
		return nil, ""
	}
	v.persist(persistent, line, n)
	return v, key
}

// persist makes persistence of what there is: the source decides, for ever.
func (v *vip) persist(is bool, line int, n *notes) {
	if is {
		if v.Scheduler != "sh" {
			n.add(line, "persistence", "is by a hash of the client (scheduler sh) here, without a timeout; %s is given up", v.Scheduler)
		}
		v.Scheduler = "sh"
	} else {
		v.PersistenceBits = 0
	}
}

// maskBits reads 255.255.255.0, or a length as IPv6 has it.
func maskBits(text string) (int, error) {
	if bits, err := strconv.Atoi(text); err == nil && bits >= 0 && bits <= 128 {
		return bits, nil
	}
	addr, err := netip.ParseAddr(text)
	if err != nil || !addr.Is4() {
		return 0, fmt.Errorf("is no mask")
	}
	ones, bits := net.IPMask(addr.AsSlice()).Size()
	if bits == 0 {
		return 0, fmt.Errorf("is no mask")
	}
	return ones, nil
}

func server(f []string, line int, known map[string]*vip, n *notes) {
	var b backend
	key, mode, unusable := "", "dr", "names no server"
	flags(f, line, n, func(flag, value string) {
		switch flag {
		case "-t", "--tcp-service":
			key = "tcp" + value
		case "-u", "--udp-service":
			key = "udp" + value
		case "-f", "--fwmark-service", "--sctp-service":
			key = flag
		case "-r", "--real-server":
			addr, port, err := endpoint(value)
			if err != nil {
				unusable = err.Error()
				return
			}
			b.Address, b.Port, unusable = addr.String(), port, ""
		case "-g", "--gatewaying":
			mode = "dr"
		case "-i", "--ipip":
			mode = "ipip"
		case "-m", "--masquerading":
			mode = "fullnat"
		case "--tun-type":
			if value == "gue" {
				mode = "gue"
			} else if value != "ipip" {
				n.add(line, flag+" "+value, "has no counterpart")
			}
		case "-w", "--weight":
			if w, err := strconv.Atoi(value); err == nil && w >= 0 {
				b.Weight = &w
			} else {
				n.add(line, flag+" "+value, "is no weight")
			}
		case "-x", "--u-threshold":
			if x, err := strconv.Atoi(value); err == nil && x >= 0 {
				b.MaxConnections = x
			} else {
				n.add(line, flag+" "+value, "is no number")
			}
		case "-y", "--l-threshold":
			if value != "0" {
				n.add(line, flag+" "+value, "a full backend takes flows again as soon as one ended")
			}
		default:
			n.add(line, strings.TrimSpace(flag+" "+value), "has no counterpart")
		}
	})
	v := known[key]
	if unusable == "" && v == nil {
		unusable = "its service is not there"
	}
	if unusable != "" {
		n.add(line, strings.Join(f, " "), "%s", unusable)
		return
	}
	v.add(b, mode, line, n)
}

// add puts a server into a VIP, whose mode the first one decides.
func (v *vip) add(b backend, mode string, line int, n *notes) {
	if len(v.Backends) == 0 {
		v.Mode = mode
	}
	if v.Mode != mode {
		n.add(line, b.Address, "forwards by %s, the first of its VIP by %s; a VIP has one mode here", mode, v.Mode)
		return
	}
	if mode != "fullnat" {
		b.Port = 0 // cannot be another than the VIP's
		if b.MaxConnections != 0 {
			n.add(line, fmt.Sprintf("%s: at most %d connections", b.Address, b.MaxConnections), "sessions of %s are not counted", mode)
			b.MaxConnections = 0
		}
	}
	v.Backends = append(v.Backends, b)
}
