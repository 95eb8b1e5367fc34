package gateway

import (
	"context"
	"fmt"
	"time"

	"github.com/hauberk/hauberk/bus"
	"github.com/hauberk/hauberk/event"
	"github.com/hauberk/hauberk/link"
)

// credit is what nodes may send now.
type credit struct {
	priority, bulk bool
	reason         string // why not
}

// restoreFill is how empty the bus must be before bulk events may come
// again: far enough below bus.WithdrawFill not to flutter.
const restoreFill = 0.6

// fillPatience bounds asking the bus.
const fillPatience = 5 * time.Second

// meter decides on credit and tells the nodes if it changed. A full disk
// stops everything, before any engine meets the end of it; a bus whose
// consumers lag stops only bulk, because alerts are few.
func (g *Gateway) meter(ctx context.Context) {
	now := credit{priority: true, bulk: true}
	g.mu.Lock()
	before := g.credit
	g.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, fillPatience)
	defer cancel()
	fill, err := g.deps.Bus.Fill(ctx)
	switch {
	case err != nil: // nothing new is known
		g.count.fillFailed.Inc()
		now.bulk, now.reason = before.bulk, before.reason
	case fill >= bus.WithdrawFill, !before.bulk && before.priority && fill >= restoreFill:
		now.bulk, now.reason = false, fmt.Sprintf("bus is %d %% full of events not yet consumed", int(fill*100))
	}
	if ok, reason := g.deps.Ingest(); !ok {
		now = credit{reason: reason}
	} else if err != nil && !before.priority {
		now = credit{priority: true, bulk: true} // the disk has room again, and of the bus nothing bad is known
	}
	g.grant(now)
}

func (g *Gateway) grant(now credit) {
	g.mu.Lock()
	defer g.mu.Unlock()
	before := g.credit
	g.credit = now
	if before.priority == now.priority && before.bulk == now.bulk {
		return
	}
	if now.bulk {
		g.deps.Log.Info("nodes may send again")
	} else {
		g.count.withdrawn.Inc()
		g.deps.Log.Warn("nodes may not send", "priority_too", !now.priority, "cause", now.reason)
	}
	for _, n := range g.nodes {
		if n.who.Load() == nil {
			continue // gets the credit of its Welcome
		}
		for _, c := range now.windows() {
			n.conn.Grant(c.Class, c.Window)
		}
	}
}

func (c credit) windows() []*link.Credit {
	window := func(on bool, class event.Class, size uint64) *link.Credit {
		if !on {
			size = 0
		}
		return &link.Credit{Class: class, Window: size}
	}
	return []*link.Credit{
		window(c.priority, event.Class_CLASS_PRIORITY, link.DefaultPriorityWindow),
		window(c.bulk, event.Class_CLASS_BULK, link.DefaultBulkWindow),
	}
}
