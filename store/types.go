package store

import (
	"time"

	"github.com/hauberk/hauberk/internal/disk"
)

// Query asks for events. Times are Unix ns.
type Query struct {
	// LogsQL is the query; empty selects all. One that consists of nothing but
	// words looks for each of them in every field.
	LogsQL string `json:"query"`
	// Tenant whose events are searched; empty: every tenant's.
	Tenant string `json:"tenant,omitempty"`
	// Start and End bound the events' time, [Start, End); 0: unbounded.
	Start int64 `json:"start,omitempty"`
	End   int64 `json:"end,omitempty"`
	// Limit of rows; 0: no limit. With a limit the newest rows come, newest
	// first; without one, rows come in no order.
	Limit int `json:"limit,omitempty"`
	// Timeout after which the query ends with ErrTimeout; 0: the store's
	// default. The store's maximum holds.
	Timeout time.Duration `json:"timeout,omitempty"`
}

// QueryEnd is what the store says at the end of a query.
type QueryEnd struct {
	Rows     uint64        `json:"rows"`
	Duration time.Duration `json:"duration"`
	Scanned  uint64        `json:"scanned"` // rows looked at
}

// TailRequest asks for events as they are stored.
type TailRequest struct {
	LogsQL string `json:"query"` // a filter, without pipes
	Tenant string `json:"tenant,omitempty"`
}

// Stats are the store's numbers.
type Stats struct {
	Events    EventStats        `json:"events"`
	Disk      disk.Space        `json:"disk"`
	CasesSize int64             `json:"cases_bytes"`
	Nodes     uint64            `json:"nodes"`
	Counters  map[string]uint64 `json:"counters"` // name{label}
	// Ledger sums Reconcile over all nodes.
	Ledger Reconciliation `json:"ledger"`
}

// EventStats are those of the event database.
type EventStats struct {
	Rows   uint64 `json:"rows"`
	Bytes  uint64 `json:"bytes"` // on disk
	Days   int    `json:"days"`
	Oldest int64  `json:"oldest,omitempty"` // Unix ns of the oldest event
	Newest int64  `json:"newest,omitempty"`
}

// Reconciliation follows the events of a node to their end:
// Produced = Stored + sum(Rejected) + sum(Dropped) + Difference, where
// Difference is what is still on its way, and 0 once the node is idle and
// everything has arrived.
type Reconciliation struct {
	Node string `json:"node,omitempty"`
	Host string `json:"host,omitempty"`
	// Incarnation of the node; 0 in sums over several.
	Incarnation uint32            `json:"incarnation,omitempty"`
	Produced    uint64            `json:"produced"` // events that were given a sequence
	Stored      uint64            `json:"stored"`
	Rejected    map[string]uint64 `json:"rejected,omitempty"` // by the store, by reason
	Dropped     map[string]uint64 `json:"dropped,omitempty"`  // by the node, by reason
	Waiting     uint64            `json:"waiting,omitempty"`  // in the node's spool, as it last said
	Difference  int64             `json:"difference"`
}

// Health says whether the store takes events.
type Health struct {
	OK      bool       `json:"ok"`
	Reasons []string   `json:"reasons,omitempty"` // why not
	Disk    disk.Space `json:"disk"`
}
