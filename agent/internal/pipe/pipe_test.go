package pipe

import (
	"bytes"
	"errors"
	"testing"

	"github.com/hauberk/hauberk/event"
)

func TestRoundTrip(t *testing.T) {
	var body []byte
	want := []Event{{event.Class_CLASS_PRIORITY, -5, nil}, {event.Class_CLASS_BULK, 1 << 60, nil}}
	for i := range want {
		e := &event.Event{Process: &event.Process{Pid: uint32(i + 1)}}
		want[i].Body, _ = e.MarshalVT()
		var err error
		if body, err = AppendEvent(body, want[i].Class, want[i].Observed, e); err != nil {
			t.Fatal(err)
		}
	}
	var stream bytes.Buffer
	if err := Write(&stream, KindEvents, body); err != nil {
		t.Fatal(err)
	}
	k, got, _, err := Read(&stream, nil)
	if err != nil || k != KindEvents {
		t.Fatalf("read %q, %v", k, err)
	}
	i := 0
	err = Events(got, func(e Event) error {
		if e.Class != want[i].Class || e.Observed != want[i].Observed || !bytes.Equal(e.Body, want[i].Body) {
			t.Errorf("event %d is %v, want %v", i, e, want[i])
		}
		i++
		return nil
	})
	if err != nil || i != len(want) {
		t.Fatalf("%d events, %v", i, err)
	}
	stop := errors.New("stop")
	if err := Events(got, func(Event) error { return stop }); err != stop {
		t.Fatalf("the consumer's error became %v", err)
	}
}

func FuzzEvents(f *testing.F) {
	body, err := AppendEvent(nil, event.Class_CLASS_BULK, 7, &event.Event{Skip: 1})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(body)
	f.Add(body[:5])
	f.Add([]byte{9, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, body []byte) {
		n := 0
		Events(body, func(e Event) error { n += eventHead + len(e.Body); return nil })
		if n > len(body) {
			t.Fatalf("%d bytes of events in %d", n, len(body))
		}
	})
}
