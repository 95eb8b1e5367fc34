// Package wire is what is said over the edge's status socket, as JSON:
// docs/formats/edge-config.md lists the requests. It links nothing of the edge.
package wire

import (
	"path/filepath"
	"time"
)

// DefaultDataDir is where root keeps the edge's state.
const DefaultDataDir = "/var/lib/hauberk-edge"

// SocketPath is where the edge with that data directory answers.
func SocketPath(dataDir string) string { return filepath.Join(dataDir, "run", "edge.sock") }

// Status is the edge in one object.
type Status struct {
	Version    string            `json:"version"`
	PID        int               `json:"pid"`
	Since      time.Time         `json:"since"`
	ConfigAt   time.Time         `json:"config_since"`
	Error      string            `json:"error,omitempty"` // why the last configuration or state was not taken
	Interfaces []InterfaceStatus `json:"interfaces"`
	VIPs       int               `json:"vips"`
	Serving    int               `json:"vips_serving"`
	Backends   int               `json:"backends"`
	Up         int               `json:"backends_up"`
	Sessions   int               `json:"sessions"`
	Slots      int               `json:"session_slots"`
	// BGP is the state of each session by the neighbour's address.
	BGP    map[string]string `json:"bgp,omitempty"`
	Routes []string          `json:"routes,omitempty"` // announced
	// Packets by what became of them.
	Packets map[string]uint64 `json:"packets"`
}

// InterfaceStatus is how an interface is attached.
type InterfaceStatus struct {
	Name   string `json:"name"`
	Native bool   `json:"native"`
}

// Traffic is what passed.
type Traffic struct {
	Flows      uint64 `json:"flows"`
	PacketsIn  uint64 `json:"packets_in"`
	PacketsOut uint64 `json:"packets_out"`
	BytesIn    uint64 `json:"bytes_in"`
	BytesOut   uint64 `json:"bytes_out"`
}

// VIPStatus is one VIP.
type VIPStatus struct {
	Name      string          `json:"name"`
	Proto     string          `json:"proto"`
	Address   string          `json:"address"`
	Ports     string          `json:"ports"`
	Mode      string          `json:"mode"`
	Scheduler string          `json:"scheduler"`
	State     string          `json:"state"` // serving, sorry, down
	Sessions  int             `json:"sessions"`
	Traffic   Traffic         `json:"traffic"`
	Backends  []BackendStatus `json:"backends"`
}

// BackendStatus is one backend of a VIP.
type BackendStatus struct {
	VIP     string `json:"vip"`
	Name    string `json:"name"`
	Address string `json:"address"`
	// State is up, down, draining, drained, full or unknown; gone is a backend
	// that is out of the configuration and still has sessions.
	State     string    `json:"state"`
	Since     time.Time `json:"since,omitzero"`
	Error     string    `json:"error,omitempty"` // of the last probe
	Weight    uint32    `json:"weight"`
	Effective float64   `json:"effective_weight"`
	Sorry     bool      `json:"sorry,omitempty"`
	Probes    uint64    `json:"probes"`
	Failures  uint64    `json:"failures"`
	Sessions  int       `json:"sessions"`
	Traffic   Traffic   `json:"traffic"`
}

// SessionStatus is one FullNAT session.
type SessionStatus struct {
	Proto   string  `json:"proto"`
	State   string  `json:"state"`
	Client  string  `json:"client"`
	Service string  `json:"service"`
	Local   string  `json:"local"`
	Backend string  `json:"backend"`
	VIP     string  `json:"vip"`
	Idle    float64 `json:"idle_seconds"`
	Left    float64 `json:"expires_seconds"`
}

// DrainRequest empties backends, or takes them back.
type DrainRequest struct {
	Backend string `json:"backend"`       // name, or address:port
	VIP     string `json:"vip,omitempty"` // its name; empty: in all
	Undo    bool   `json:"undo,omitempty"`
}

// DrainAnswer is the backends it concerned.
type DrainAnswer struct {
	Backends []BackendStatus `json:"backends"`
}

// Packet is one packet as the data plane saw it.
type Packet struct {
	Time      time.Time `json:"time"`
	Reason    string    `json:"reason"` // what became of it
	VIP       string    `json:"vip,omitempty"`
	Interface string    `json:"interface"`
	Length    int       `json:"length"` // of the frame, in bytes
	Data      []byte    `json:"data"`   // its first bytes
}
