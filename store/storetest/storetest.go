// Package storetest makes what the tests and benchmarks of the store feed it:
// events of every kind, alike at every run.
package storetest

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"

	"github.com/hauberk/hauberk/event"
)

// Node returns the n-th node id.
func Node(n int) event.NodeID {
	var id event.NodeID
	binary.BigEndian.PutUint64(id[:], 0x6861756265726b00)
	binary.BigEndian.PutUint64(id[8:], uint64(n))
	return id
}

// Maker makes batches of one node. Its events are what a busy server makes:
// execs 55 %, connections 25 %, exits, file changes, denials, DNS.
type Maker struct {
	Node        event.NodeID
	Incarnation uint32
	Next        uint64 // sequence of the next event
	Tenant      string
	Host        string
	random      *rand.Rand
}

// NewMaker makes the maker of the n-th node.
func NewMaker(n int) *Maker {
	return &Maker{Node: Node(n), Incarnation: 1, Next: 1, Tenant: "acme", Host: fmt.Sprintf("web%04d", n), random: rand.New(rand.NewPCG(uint64(n), 1))}
}

// Batch makes the next batch of count events, the first at a time (Unix ns),
// some 10 ms apart.
func (m *Maker) Batch(count int, at int64) *event.Batch {
	b := &event.Batch{
		Node: m.Node[:], Incarnation: m.Incarnation, Tenant: m.Tenant, FirstSequence: m.Next, BaseTime: at, Schema: event.Schema,
		Class: event.Class_CLASS_BULK, Host: &event.Host{Name: m.Host, Labels: map[string]string{"role": "web", "site": "ams"}},
	}
	for i := range count {
		e := m.event()
		e.ObservedDelta = int64(i)*10_000_000 + m.random.Int64N(5_000_000)
		b.Events = append(b.Events, e)
	}
	m.Next += uint64(count)
	return b
}

var programs = [...]struct{ exe, args string }{
	{"/usr/bin/bash", "bash\x00-c\x00exec /usr/bin/job --id %d"},
	{"/usr/bin/curl", "curl\x00-fsS\x00https://api.example.org/v1/items/%d"},
	{"/usr/bin/python3.11", "python3\x00/opt/app/worker.py\x00--job\x00%d"},
	{"/usr/bin/grep", "grep\x00-q\x00id=%d\x00/var/log/app.log"},
	{"/usr/bin/sed", "sed\x00-n\x00%dp\x00/etc/passwd"},
	{"/usr/lib/git-core/git", "git\x00fetch\x00origin\x00refs/changes/%d"},
	{"/usr/bin/stat", "stat\x00-c\x00%%Y\x00/srv/data/%d.bin"},
	{"/usr/bin/date", "date\x00+%%s"},
}

func (m *Maker) process() *event.Process {
	p := programs[m.random.IntN(len(programs))]
	args, n := "date\x00+%s", m.random.IntN(100_000)
	if p.exe != "/usr/bin/date" {
		args = fmt.Sprintf(p.args, n)
	}
	pid := uint32(1000 + m.random.IntN(60_000))
	start := uint64(1e12) + uint64(m.random.IntN(1e9))*1000
	name := p.exe[len(p.exe)-min(4, len(p.exe)):]
	return &event.Process{
		Pid: pid, Start: start, Executable: []byte(p.exe), Args: []byte(args + "\x00"), WorkingDirectory: []byte("/srv/app"),
		Uid: 33, Gid: 33, EffectiveUid: 33, User: "www-data", Cgroup: 4711, Name: []byte(name), Session: 800,
		Ancestors: []*event.Ancestor{
			{Pid: pid - 1, Start: start - 1e6, Executable: []byte("/usr/bin/bash"), Args: []byte("bash\x00/opt/app/run.sh\x00"), Name: []byte("bash"), Uid: 33},
			{Pid: 800, Start: 9e9, Executable: []byte("/usr/sbin/nginx"), Args: []byte("nginx: worker process\x00"), Name: []byte("nginx"), Uid: 33},
			{Pid: 1, Start: 10, Executable: []byte("/usr/lib/systemd/systemd"), Args: []byte("/sbin/init\x00"), Name: []byte("systemd")},
		},
	}
}

func (m *Maker) event() *event.Event {
	e := &event.Event{Process: m.process(), Collector: event.Collector_COLLECTOR_EBPF}
	switch n := m.random.IntN(100); {
	case n < 55:
		e.Body = &event.Event_Exec{Exec: &event.ProcessExec{Stdin: []byte("pipe")}}
	case n < 80:
		e.Body = &event.Event_Connection{Connection: &event.Connection{
			Direction: event.Direction_DIRECTION_OUTBOUND, Transport: event.Transport_TRANSPORT_TCP,
			SourceIp: []byte{10, 0, 1, 7}, SourcePort: uint32(32768 + m.random.IntN(28000)),
			DestinationIp: []byte{10, 0, byte(m.random.IntN(4)), byte(m.random.IntN(250))}, DestinationPort: 443,
		}}
	case n < 90:
		e.Body = &event.Event_Exit{Exit: &event.ProcessExit{ExitCode: int32(m.random.IntN(2)), Lifetime: uint64(m.random.IntN(1e9))}}
	case n < 95:
		e.Body = &event.Event_File{File: &event.FileChange{
			Action: event.FileAction_FILE_ACTION_MODIFIED, Path: fmt.Appendf(nil, "/srv/data/%d.bin", m.random.IntN(10000)), Mode: 0o644, Size: uint64(m.random.IntN(1 << 20)),
		}}
	case n < 98:
		e.Process = nil
		e.Collector = event.Collector_COLLECTOR_SENSOR
		e.Body = &event.Event_Dns{Dns: &event.Dns{
			Endpoints:    &event.Endpoints{SourceIp: []byte{10, 0, 1, 7}, SourcePort: 5353, DestinationIp: []byte{10, 0, 0, 53}, DestinationPort: 53, Transport: event.Transport_TRANSPORT_UDP},
			QuestionName: fmt.Appendf(nil, "h%d.example.org", m.random.IntN(500)), QuestionType: "A", Answers: [][]byte{[]byte("192.0.2.1")},
		}}
	default:
		e.Body = &event.Event_Denied{Denied: &event.AccessDenied{Operation: "open", Path: []byte("/etc/shadow"), Error: 13}}
	}
	return e
}
