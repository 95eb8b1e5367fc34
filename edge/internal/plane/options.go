// Package plane is the data plane of the edge: XDP programs that balance
// packets (bpf/), the tables they share with this process, and the state
// they are told.
//
// The contract:
//
//	Open(Options) (*Plane, error)        load, or take over what is pinned
//	(*Plane).Apply(*State) error         the whole wanted state, all or nothing
//	(*Plane).Totals() / VIP(id) / Backend(id)   counters
//	(*Plane).Sessions(func(Session) bool)       every live session, without a system call
//	(*Plane).References() map[uint32]int        live sessions by backend id
//	(*Plane).Packets(ctx, func(Sample))         sampled drops, captured packets
//	(*Plane).Close(keep bool)                   keep: programs and tables live on
package plane

import (
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// Options is what is fixed when the programs are loaded.
type Options struct {
	Interfaces []string // to attach to; each needs a route to clients or backends
	// PinDir is a folder of a BPF filesystem: tables and links are pinned
	// below it in v<layout>, so that they outlive the process. Empty: nothing
	// is pinned, and all ends with Close.
	PinDir string
	// Slots of the FullNAT session table, 66 bytes each; a power of two, 64
	// to 2^28. One local address carries PortsPerLocal of them.
	Slots int
	// Flows of the table for DR and tunnels, 8 bytes each; a power of two, 64 to 2^30.
	Flows    int
	VIPs     int // ids below this; at most 65,536
	Backends int // ids below this; at most 65,536
	Entries  int // of the choice tables of all VIPs together
	MTU      int // of the networks behind the edge, 1280 to 9000
	// Partial completes TCP and UDP checksums that a local virtual interface
	// (veth, tap) hands over unfinished. A physical card never does.
	Partial bool
	// Key of the hashes of flows: the same on every edge of a cluster, so that
	// they choose alike. Zero: a random one, kept with the pinned tables.
	Key [2]uint64
	// Generic forces the slow XDP hook every driver has; otherwise it is the
	// fallback, and Native says which it was.
	Generic bool
}

// DefaultOptions serve a million sessions in 110 MB.
func DefaultOptions() Options {
	return Options{Slots: 1 << 20, Flows: 1 << 20, VIPs: 1024, Backends: 16384, Entries: 1 << 21, MTU: 1500}
}

// Validate reports all problems.
func (o Options) Validate() error {
	var bad []error
	between := func(what string, v, low, high int) {
		if v < low || v > high {
			bad = append(bad, fmt.Errorf("%s: %d is not %d to %d", what, v, low, high))
		}
	}
	power := func(what string, v int) {
		if v&(v-1) != 0 {
			bad = append(bad, fmt.Errorf("%s: %d is not a power of two", what, v))
		}
	}
	between("slots", o.Slots, 64, 1<<28)
	power("slots", o.Slots)
	between("flows", o.Flows, 64, 1<<30)
	power("flows", o.Flows)
	between("vips", o.VIPs, 2, 1<<16)
	between("backends", o.Backends, 2, 1<<16)
	between("entries", o.Entries, 1, 1<<28)
	between("mtu", o.MTU, 1280, 9000)
	return errors.Join(bad...)
}

// Session is one live FullNAT or SNAT session.
type Session struct {
	Slot    uint32
	VIP     uint32 // id; 0 for SNAT
	Backend uint32 // id; 0 for SNAT
	Proto   uint8
	Phase   Phase
	Client  netip.AddrPort
	Service netip.AddrPort // where the client sends to
	Local   netip.AddrPort // where the backend is spoken to from
	Server  netip.AddrPort // the backend
	Idle    time.Duration
	Left    time.Duration // until it expires
}

// Counter is packets and bytes (of the frame) in each direction, and flows begun.
type Counter struct {
	PacketsIn, BytesIn   uint64 // from clients
	PacketsOut, BytesOut uint64 // from backends; FullNAT only
	Flows                uint64
}

// Sample is one packet as the plane saw it.
type Sample struct {
	Time      time.Time
	Reason    Reason // why it was dropped; Forwarded when it was not
	VIP       uint32 // id, 0 where none is known
	Interface int    // index it came in on
	Length    int    // of the frame
	Data      []byte // its first bytes, at most SampleBytes; valid during the call
}
