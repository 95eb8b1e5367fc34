package api

import "github.com/hauberk/hauberk/store/cases"

var rank = map[cases.Role]int{cases.RoleViewer: 1, cases.RoleAnalyst: 2, cases.RoleAdmin: 3}

// may reports whether role has includes the rights of role want.
func may(has, want cases.Role) bool { return rank[has] > 0 && rank[has] >= rank[want] }

// Rule is a rule in force.
type Rule struct {
	ID         string   `json:"id"`
	Title      string   `json:"title"`
	Level      string   `json:"level"`
	Techniques []string `json:"techniques"`
	Source     string   `json:"source"`
}

// Status is what the platform says of itself.
type Status struct {
	Roles     []RoleStatus `json:"roles"`
	Ingest    Ingest       `json:"ingest"`
	Addresses Addresses    `json:"addresses"`
	// Disk is the file system of the data directory, in bytes.
	Disk Disk `json:"disk"`
	// Counters are the important ones of the other processes, by name.
	Counters map[string]uint64 `json:"counters,omitempty"`
}

// RoleStatus is the health of one role.
type RoleStatus struct {
	Name   string `json:"name"`  // gateway, bus, detect, store, api
	State  string `json:"state"` // ready, degraded or down
	Detail string `json:"detail,omitempty"`
}

// Ingest says whether events are taken.
type Ingest struct {
	Stopped bool   `json:"stopped"`
	Reason  string `json:"reason,omitempty"`
}

// Addresses are where the platform is reached.
type Addresses struct {
	Console string `json:"console,omitempty"`
	Nodes   string `json:"nodes,omitempty"`
}

// Disk is free and total room and the reserve at which ingest stops, bytes.
type Disk struct {
	Free    uint64 `json:"free"`
	Total   uint64 `json:"total"`
	Reserve uint64 `json:"reserve"`
}
