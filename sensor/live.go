package sensor

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/hauberk/hauberk/sensor/internal/capture"
	"github.com/hauberk/hauberk/sensor/internal/detect"
)

// Live is a sensor on an interface.
type Live struct {
	config   Config
	report   func(Problem)
	pipeline *pipeline
	ring     *capture.Ring

	reopen atomic.Bool
	latest *detect.Ruleset      // Loaded last; of Reload's caller.
	rules  chan *detect.Ruleset // Loaded, to be applied.
	stats  time.Time            // When statistics were written last.
	told   time.Time            // When trouble with logs was.
}

// idle is how long the loop waits for packets before it looks after flows.
const idle = 100 // Milliseconds.

// OpenLive opens the interface, the logs and the rules. Problems of single
// rules are told to report and leave those rules out.
func OpenLive(c Config, report func(Problem)) (*Live, error) {
	pl, err := open(c, report)
	if err != nil {
		return nil, err
	}
	ring, err := capture.Open(capture.DefaultConfig(c.Interface))
	if err != nil {
		return nil, errors.Join(err, pl.out.close())
	}
	if c.Checksums == "" {
		pl.sums.mode = "no" // A local sender's are filled in by its card, after the capture.
	}
	l := &Live{config: c, report: report, pipeline: pl, ring: ring, rules: make(chan *detect.Ruleset, 1)}
	if pl.engine != nil {
		l.latest = pl.engine.Rules()
	}
	return l, nil
}

// Run watches until the context ends.
func (l *Live) Run(ctx context.Context) (Summary, error) {
	defer l.ring.Close()
	defer context.AfterFunc(ctx, l.ring.Stop)()
	var sum Summary
	pl := l.pipeline
	var err error
	for err == nil && ctx.Err() == nil {
		err = l.ring.Next(idle, func(p capture.Packet) {
			sum.Packets++
			sum.Bytes += uint64(len(p.Data))
			pl.take(l.ring.Link, sum.Packets, p.Time, p.Data)
		})
		l.tend()
	}
	if errors.Is(err, capture.ErrClosed) {
		err = nil
	}
	stats := l.ring.Stats()
	pl.kernelPackets, pl.kernelDrops = stats.Packets, stats.Drops
	err = errors.Join(err, pl.finish(), pl.out.close())
	sum.Alerts, sum.Rules, sum.Dropped = pl.alerts, pl.rules(), stats.Drops
	return sum, err
}

// tend does between packets what is due: it ends flows, applies rules that were
// loaded, and writes the logs out. Trouble with logs is told and does not end
// the watch: what could not be written is lost and counted.
func (l *Live) tend() {
	pl := l.pipeline
	now := time.Now()
	pl.now = max(pl.now, now.UnixNano()-int64(time.Second)) // Packets still in the ring are older.
	pl.flows.Advance(pl.now)
	select {
	case rules := <-l.rules:
		pl.engine.Replace(rules)
		pl.reloaded = pl.now
		pl.wantFrames()
		pl.wantFiles()
	default:
	}
	pl.keep(pl.out.drain())
	if l.reopen.Swap(false) {
		if err := pl.out.each((*logFile).reopen); err != nil {
			l.report(Problem{Part: "logs", Text: err.Error()})
		}
	}
	const statsEvery = 8 * time.Second
	if now.Sub(l.stats) >= statsEvery {
		if !l.stats.IsZero() {
			stats := l.ring.Stats()
			pl.kernelPackets, pl.kernelDrops = stats.Packets, stats.Drops
			pl.writeStats()
		}
		l.stats = now
	}
	pl.keep(pl.out.each((*logFile).flush))
	if pl.err != nil && now.Sub(l.told) >= tellEvery {
		l.told = now
		l.report(Problem{Part: "logs", Text: fmt.Sprintf("%v; %d bytes of logs are lost so far", pl.err, pl.out.lost())})
		pl.err = nil
	}
}

// tellEvery is how often trouble with logs is told.
const tellEvery = 10 * time.Second

// Reopen begins the logs anew, so that they may be moved away. It may be
// called from anywhere.
func (l *Live) Reopen() { l.reopen.Store(true) }

// Reload reads the rules again and applies them; with an error those of before
// stay. It may be called from anywhere, by one caller at a time.
func (l *Live) Reload() (rules int, err error) {
	if l.latest == nil {
		return 0, errors.New("reload rules: detection is disabled")
	}
	tree, err := l.config.load()
	if err != nil {
		return 0, fmt.Errorf("reload rules: %w", err)
	}
	set, err := loadRules(l.config, tree, l.pipeline.registry, l.latest, l.pipeline.out.journal, l.report)
	if err != nil {
		return 0, fmt.Errorf("reload rules: %w", err)
	}
	l.latest = set
	select {
	case <-l.rules: // One that was not applied yet.
	default:
	}
	l.rules <- set
	return set.Len(), nil
}
