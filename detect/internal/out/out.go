// Package out sends alerts out of the platform: to a JSON-lines file, a
// webhook, a syslog server. Each output has a bounded queue and a goroutine of
// its own, so that a slow one holds up nobody: what does not fit is dropped
// and counted. Alerts stay on the bus and in the store whatever happens here.
package out

import (
	"context"
	"log/slog"
	"time"

	"github.com/hauberk/hauberk/event"
	"github.com/hauberk/hauberk/internal/obs"
	"github.com/hauberk/hauberk/internal/run"
)

// Sink delivers one alert, given as one JSON object without a line end. An
// error means that it may be tried again.
type Sink interface {
	Send(ctx context.Context, alert *Alert) error
	Close() error
}

// Alert is what a Sink gets. JSON is that of event.AppendAlertJSON.
type Alert struct {
	JSON     []byte
	Severity event.Severity
	Time     time.Time // when it was last seen
	ID       string
	Host     string
	Rule     string
	Summary  string
}

// Output is a Sink behind a queue.
type Output struct {
	name  string
	sink  Sink
	queue chan *Alert
	tries int
	log   *slog.Logger

	sent, full, failed *obs.Counter
}

// Attempts before an alert is dropped, with backoff of backoffMin to
// backoffMax between them: a receiver may restart within a minute.
const (
	attempts   = 6
	backoffMin = 200 * time.Millisecond
	backoffMax = 15 * time.Second
)

// New returns an Output with room for queue alerts.
func New(name string, sink Sink, queue int, log *slog.Logger, metrics *obs.Registry) *Output {
	dropped := func(reason string) *obs.Counter {
		return metrics.Counter("hauberk_detect_output_dropped_total", "output="+name+",reason="+reason, "alerts an output gave up")
	}
	return &Output{
		name: name, sink: sink, queue: make(chan *Alert, queue), tries: attempts, log: log,
		sent: metrics.Counter("hauberk_detect_output_sent_total", "output="+name, "alerts an output delivered"),
		full: dropped("full"), failed: dropped("failed"),
	}
}

// Put queues an alert, or drops and counts it when the queue is full.
func (o *Output) Put(a *Alert) {
	select {
	case o.queue <- a:
	default:
		o.full.Inc()
	}
}

// Run delivers until ctx ends, then what is still queued, as far as it gets
// within the grace of a second.
func (o *Output) Run(ctx context.Context) error {
	defer o.sink.Close()
	for {
		select {
		case a := <-o.queue:
			o.deliver(ctx, a)
		case <-ctx.Done():
			return o.drain(ctx)
		}
	}
}

// drainGrace bounds what the end of the process waits for.
const drainGrace = time.Second

func (o *Output) drain(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainGrace)
	defer cancel()
	for {
		select {
		case a := <-o.queue:
			o.deliver(ctx, a)
		default:
			return nil
		}
	}
}

// deliver tries until the alert is sent, the attempts are used up or ctx ends.
func (o *Output) deliver(ctx context.Context, a *Alert) {
	backoff := run.Backoff{Min: backoffMin, Max: backoffMax}
	var err error
	for range o.tries {
		if err = o.sink.Send(ctx, a); err == nil {
			o.sent.Inc()
			return
		}
		var final *PermanentError
		if isPermanent(err, &final) || run.Sleep(ctx, backoff.Next()) != nil {
			break
		}
	}
	o.failed.Inc()
	o.log.Warn("alert not delivered", "output", o.name, "alert", a.ID, "err", err)
}

// Close closes the sink of an Output that never ran.
func (o *Output) Close() error { return o.sink.Close() }
