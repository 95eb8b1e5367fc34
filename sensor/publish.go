package sensor

import (
	"time"

	"github.com/hauberk/hauberk/event"
	"github.com/hauberk/hauberk/sensor/internal/app"
	"github.com/hauberk/hauberk/sensor/internal/detect"
	"github.com/hauberk/hauberk/sensor/internal/flow"
	"github.com/hauberk/hauberk/sensor/internal/publish"
)

// Sink takes the events of a sensor that is a node of the fleet. It must not wait for a network.
type Sink interface {
	Put(class event.Class, observed time.Time, e *event.Event) error
}

// Publish makes the sensor send its events to a sink, beside its logs. It is called before Run.
func (l *Live) Publish(to Sink) { l.pipeline.sink = to }

// put hands an event over; trouble is kept as that of logs is.
func (pl *pipeline) put(class event.Class, at int64, e *event.Event) {
	if e != nil {
		pl.keep(pl.sink.Put(class, time.Unix(0, at), e))
	}
}

func (pl *pipeline) publishAlert(in *detect.Packet, a *detect.Alert, tx app.Tx) {
	if pl.sink != nil {
		pl.put(event.Class_CLASS_PRIORITY, in.Time, publish.Alert(a.Rule, a.Class, in.Packet, in.Flow, in.App, tx))
	}
}

func (pl *pipeline) publishTx(kind string, f *flow.Flow, tx app.Tx, at int64) {
	if pl.sink != nil {
		pl.put(event.Class_CLASS_BULK, at, publish.Tx(kind, f, tx))
	}
}

func (pl *pipeline) publishFlow(f *flow.Flow, application string, reason flow.Reason) {
	if pl.sink != nil {
		pl.put(event.Class_CLASS_BULK, f.Last, publish.Flow(f, application, reason))
	}
}
