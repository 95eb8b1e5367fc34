package decoy

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/hauberk/hauberk/decoy/internal/trap"
	"github.com/hauberk/hauberk/event"
	"github.com/hauberk/hauberk/internal/logfile"
)

// journalDepth is how many sessions may wait to be written; more are dropped and counted, as the network must not wait for
// a disk.
const journalDepth = 4096

// journal writes sessions to a file, a line of JSON each, and tells the centre where there is one.
type journal struct {
	file             *logfile.File
	sink             Sink
	log              *slog.Logger
	queue            chan *trap.Session
	written, dropped atomic.Uint64
}

func openJournal(path string, size int64, sink Sink, log *slog.Logger) (*journal, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return nil, fmt.Errorf("open events: %w", err)
	}
	file, err := logfile.Open(path, size)
	if err != nil {
		return nil, fmt.Errorf("open events: %w", err)
	}
	return &journal{file: file, sink: sink, log: log, queue: make(chan *trap.Session, journalDepth)}, nil
}

// report takes a session without waiting.
func (j *journal) report(s *trap.Session) {
	select {
	case j.queue <- s:
	default:
		j.dropped.Add(1)
	}
}

// run writes until nobody reports any more, and then what is left. A disk that refuses costs events, not the decoy.
func (j *journal) run(over <-chan struct{}) error {
	failing := false
	write := func(s *trap.Session) {
		line, err := json.Marshal(s)
		if err == nil {
			_, err = j.file.Write(append(line, '\n'))
		}
		if j.sink != nil {
			err = errors.Join(err, j.tell(s))
		}
		if err != nil {
			j.dropped.Add(1)
			if !failing {
				j.log.Error("events are lost", "cause", err)
			}
		} else {
			j.written.Add(1)
		}
		failing = err != nil
	}
	for {
		select {
		case s := <-j.queue:
			write(s)
			continue
		case <-over:
		}
		for {
			select {
			case s := <-j.queue:
				write(s)
				continue
			default:
			}
			return j.file.Close()
		}
	}
}

// tell gives a session to the centre.
func (j *journal) tell(s *trap.Session) (err error) {
	priority, bulk := words(s)
	end := s.Time.Add(time.Duration(s.Duration))
	for class, events := range map[event.Class][]*event.Event{event.Class_CLASS_PRIORITY: priority, event.Class_CLASS_BULK: bulk} {
		for _, e := range events {
			e.Collector = event.Collector_COLLECTOR_DECOY
			err = errors.Join(err, j.sink.Put(class, end, e))
		}
	}
	return err
}
