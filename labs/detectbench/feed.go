package main

import (
	"bufio"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/hauberk/hauberk/bus"
	"github.com/hauberk/hauberk/detect"
	"github.com/hauberk/hauberk/event"
)

// load reads the recorded execs.
func load(name string) ([]*event.Event, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	unzipped, err := gzip.NewReader(file)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	var list []*event.Event
	lines := bufio.NewScanner(unzipped)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var r struct {
			Exe    string   `json:"exe"`
			Args   []string `json:"args"`
			Parent []string `json:"anc"`
			CWD    string   `json:"cwd"`
		}
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			return nil, fmt.Errorf("read %s: %w", name, err)
		}
		list = append(list, exec(r.Exe, r.Args, r.Parent, r.CWD))
	}
	return list, lines.Err()
}

// exec makes an event with the fields an agent fills.
func exec(exe string, args, parents []string, cwd string) *event.Event {
	p := &event.Process{Pid: 4242, Start: 123_456_789_000, Executable: []byte(exe), Args: []byte(strings.Join(args, "\x00") + "\x00"), WorkingDirectory: []byte(cwd),
		Uid: 1000, Gid: 1000, EffectiveUid: 1000, LoginUid: 1001, User: "build", Tty: []byte("pts/0"), Cgroup: 77, Name: []byte(path.Base(exe)), Session: 4000}
	for i, e := range parents {
		p.Ancestors = append(p.Ancestors, &event.Ancestor{Pid: uint32(4000 - i), Start: uint64(1000 - i), Executable: []byte(e), Args: []byte(e + "\x00"), Name: []byte(path.Base(e))})
	}
	return &event.Event{Process: p, Collector: event.Collector_COLLECTOR_EBPF, Body: &event.Event_Exec{Exec: &event.ProcessExec{Stdin: []byte("tty")}}}
}

// batchSize is what an agent sends at once under load.
const batchSize = 200

// batches gives n records of the bus with the corpus over and over.
func batches(corpus []*event.Event, n int) (messages []bus.Message, events int, err error) {
	b := event.NewBuilder(event.NewNodeID(), 1, event.Class_CLASS_BULK)
	sequence := uint64(0)
	for i := range n {
		for range batchSize {
			e := corpus[int(sequence)%len(corpus)]
			sequence++
			if err := b.Add(sequence, 1_700_000_000_000_000_000+int64(sequence)*1e6, 0, e); err != nil {
				return nil, 0, err
			}
		}
		batch := b.Take()
		batch.Tenant, batch.Host = "default", &event.Host{Name: "build1", Labels: map[string]string{"role": "build"}}
		value, err := batch.MarshalVT()
		if err != nil {
			return nil, 0, err
		}
		messages = append(messages, bus.Message{Topic: bus.Events, Key: batch.Node, Value: value, Offset: int64(i)})
		events += batchSize
	}
	return messages, events, nil
}

// feed is a bus that hands over its handler and drops what is published.
type feed struct {
	handle func(context.Context, []bus.Message) error
	ready  chan struct{}
}

func (f *feed) Consume(ctx context.Context, _ bus.Group, handle func(context.Context, []bus.Message) error) error {
	f.handle = handle
	close(f.ready)
	<-ctx.Done()
	return nil
}

func (f *feed) Publish(context.Context, ...bus.Message) error { return nil }

func (f *feed) Replay(context.Context, string, int32, int64, func(context.Context, []bus.Message) error) error {
	return nil
}

func (f *feed) Usage(context.Context) ([]bus.Usage, error) { return nil, nil }

// open runs detect with the rules on one worker.
func open(ctx context.Context, rules detect.Rules) (*feed, func(), error) {
	f := &feed{ready: make(chan struct{})}
	config := detect.DefaultConfig()
	config.Rules, config.Workers = rules, 1
	d, err := detect.New(config, detect.Deps{Bus: f})
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	<-f.ready
	return f, func() { cancel(); <-done }, nil
}

func absolute(dir string) (string, error) { return filepath.Abs(dir) }
