// Package host is what the sources of one host know together: its processes,
// the names of its users and containers. Sources fill it and take from it the
// process that an event belongs to.
package host

import (
	"bytes"
	"sync"
	"syscall"
	"time"

	"github.com/hauberk/hauberk/agent/internal/collect/cgroup"
	"github.com/hauberk/hauberk/agent/internal/collect/procfs"
	"github.com/hauberk/hauberk/agent/internal/collect/proctable"
	"github.com/hauberk/hauberk/event"
	"github.com/hauberk/hauberk/internal/obs"
)

// tableBytes bounds the text the process table keeps for each entry, on
// average: an executable, a short command line, a directory.
const tableBytes = 192

// farArgs is how many bytes of argv the ancestors above the parent keep in
// an event.
const farArgs = 128

// Host is the shared knowledge. Its methods need Lock held.
type Host struct {
	sync.Mutex

	Table     *proctable.Table
	Names     cgroup.Names
	Hierarchy cgroup.Hierarchy
	Proc      procfs.Reader

	// Refresh makes the source of processes deliver what is waiting, so that
	// an event from another source meets its process. It is called without
	// the lock; nil when there is nothing to wait for.
	Refresh func()

	users    users
	second   int64
	lookups  int
	missed   *obs.Counter
	fallback *obs.Counter
}

// lookupsPerSecond bounds the fallbacks to /proc, about 50 us each.
const lookupsPerSecond = 200

// New returns a host whose table holds at most that many processes.
func New(entries int, counters *obs.Registry) *Host {
	h := &Host{Table: proctable.New(entries, entries*tableBytes), users: users{file: "/etc/passwd"}}
	h.missed = counters.Counter("hauberk_collect_process_lookups_total", "result=missed", "events whose process was not known and is gone")
	h.fallback = counters.Counter("hauberk_collect_process_lookups_total", "result=procfs", "events whose process was read from /proc")
	gauge := func(name, label, help string, read func() uint64) {
		counters.Gauge(name, label, help, func() uint64 { h.Lock(); defer h.Unlock(); return read() })
	}
	gauge("hauberk_collect_processes", "", "entries of the process table", func() uint64 { return uint64(h.Table.Len()) })
	gauge("hauberk_collect_process_table_total", "reason=overflow", "processes not remembered", func() uint64 { return h.Table.Counters.Overflow })
	gauge("hauberk_collect_process_table_total", "reason=evicted", "ended processes forgotten", func() uint64 { return h.Table.Counters.Evicted })
	gauge("hauberk_collect_process_table_total", "reason=args_cut", "command lines not kept for descendants", func() uint64 { return h.Table.Counters.ArgsCut })
	if found, err := cgroup.Detect(); err == nil {
		h.Hierarchy = found
	}
	return h
}

// Tick is called before each drain: names are refreshed when they are old.
func (h *Host) Tick(now time.Time) { h.users.refresh(now) }

// User returns the name of a uid, empty when /etc/passwd has none.
func (h *Host) User(uid uint32) string { return h.users.names[uid] }

// Process returns the entry of a process life; one that is not in the table
// is read from /proc, at most lookupsPerSecond times. nil when it is unknown.
func (h *Host) Process(key proctable.Key, now int64) *proctable.Process {
	if p := h.Table.Get(key); p != nil {
		return p
	}
	return h.read(key, now)
}

// ProcessOf is Process for a source that knows only the pid.
func (h *Host) ProcessOf(pid uint32, now int64) *proctable.Process {
	if p := h.Table.Latest(pid); p != nil {
		return p
	}
	return h.read(proctable.Key{PID: pid}, now)
}

// read takes a process from /proc. A start of 0 means: whatever /proc says.
func (h *Host) read(key proctable.Key, now int64) *proctable.Process {
	if second := now / int64(time.Second); second != h.second {
		h.second, h.lookups = second, 0
	}
	if h.lookups++; h.lookups > lookupsPerSecond {
		h.missed.Inc()
		return nil
	}
	read, err := h.Proc.Read(key.PID)
	if err != nil || key.Start != 0 && !sameStart(read.Start, key.Start) {
		h.missed.Inc()
		return nil
	}
	h.fallback.Inc()
	if key.Start != 0 {
		read.Start = key.Start
	}
	return h.Remember(read)
}

// startTick is the resolution of starts in /proc, ns.
const startTick = 10_000_000

// sameStart compares a start of /proc with an exact one.
func sameStart(coarse, exact uint64) bool {
	d := int64(exact - coarse)
	return d >= -startTick && d <= 2*startTick
}

// Remember puts a process read from /proc into the table. Its parent's start
// is taken from the table.
func (h *Host) Remember(read *procfs.Process) *proctable.Process {
	facts := read.Facts
	if facts.Parent.Start == 0 {
		if parent := h.Table.Latest(facts.Parent.PID); parent != nil {
			facts.Parent = parent.Key
		}
	}
	if facts.Cgroup == 0 {
		facts.Cgroup = h.cgroupOf(read.PID)
	}
	return h.Table.Exec(&facts, read.Executable, read.Args, read.Directory, read.ArgsLength)
}

// Message is an event under construction, reused from one to the next.
type Message struct {
	Event     event.Event
	Process   event.Process
	ancestors [event.MaxAncestors]event.Ancestor
	list      [event.MaxAncestors]*event.Ancestor
	families  [families]family
}

// family is the marshalled ancestors of one process's children. A shell
// starts thousands, and their ancestors are most of what an exec has to say.
type family struct {
	of        proctable.Key
	chain     proctable.Chain
	marshaled []byte
}

// families is how many are kept; those whose pids share a place replace each other.
const families = 16

// Start makes the message an event of a source that happened lag ns ago.
func (m *Message) Start(from event.Collector, lag int64) {
	m.Event = event.Event{Collector: from, Lag: max(0, lag)} // the clock is read once for many
}

// Brief puts p into the message without argv and ancestors: for ends, whose
// exec said the rest.
func (m *Message) Brief(h *Host, p *proctable.Process) {
	image := p.Image()
	m.Process = event.Process{
		Pid: p.PID, Start: p.Start, Executable: image.Executable, Name: text(p.Name[:]),
		Uid: p.UID, Gid: p.GID, EffectiveUid: p.EffectiveUID, User: h.User(p.UID),
		ContainerId: h.Names.Container(p.Cgroup),
	}
	m.Event.Process = &m.Process
}

// Full puts p and its ancestors into the message.
func (m *Message) Full(h *Host, p *proctable.Process) {
	m.Brief(h, p)
	image := p.Image()
	m.Process.Args, m.Process.WorkingDirectory = image.Args, image.Directory
	if int(image.ArgsLength) > len(image.Args) {
		m.Process.ArgsLength = image.ArgsLength
	}
	if p.LoginUID != proctable.NoUID {
		m.Process.LoginUid = p.LoginUID + 1
	}
	m.Process.Tty, m.Process.Cgroup, m.Process.Session = text(p.Terminal[:]), p.Cgroup, p.Session
	m.Process.Sha256 = image.SHA256
	m.family(h, p)
}

// family puts p's ancestors into the message in marshalled form.
func (m *Message) family(h *Host, p *proctable.Process) {
	f := &m.families[p.Parent.PID%families]
	if f.of != p.Parent || !h.Table.Holds(&f.chain) {
		chain, known := m.Ancestors(h, p)
		if !known {
			return // more may be known soon
		}
		f.of, f.chain = p.Parent, chain
		f.marshaled = event.AppendAncestors(f.marshaled[:0], m.Process.Ancestors)
		m.Process.Ancestors = nil
	}
	m.Process.Attach(f.marshaled)
}

// Ancestors puts p's ancestors into the message, whose process is set.
func (m *Message) Ancestors(h *Host, p *proctable.Process) (proctable.Chain, bool) {
	n := 0
	parent := h.Table.Parent(p)
	chain, known := h.Table.Chain(parent, event.MaxAncestors, func(above *proctable.Process) {
		image := above.Image()
		a := &m.ancestors[n]
		a.Pid, a.Start, a.Uid = above.PID, above.Start, above.UID
		a.Executable, a.Args, a.Name, a.WorkingDirectory = image.Executable, image.Args, text(above.Name[:]), nil
		if n == 0 {
			a.WorkingDirectory = image.Directory
		} else if len(a.Args) > farArgs {
			a.Args = a.Args[:farArgs]
		}
		m.list[n] = a
		n++
	})
	m.Process.Ancestors = m.list[:n]
	return chain, known && parent != nil
}

// Known puts into the message what an event itself says of a process that is
// not in the table.
func (m *Message) Known(h *Host, key proctable.Key, uid uint32) {
	m.Process = event.Process{Pid: key.PID, Start: key.Start, Uid: uid, User: h.User(uid)}
	m.Event.Process = &m.Process
}

// text cuts at the first NUL.
func text(b []byte) []byte {
	if i := bytes.IndexByte(b, 0); i >= 0 {
		b = b[:i]
	}
	return b
}

// cgroupOf returns the id of the cgroup a living process is in, 0 if it is
// gone, and notes its container.
func (h *Host) cgroupOf(pid uint32) uint64 {
	path := h.Proc.CgroupPath(pid, h.Hierarchy.Controller)
	if len(path) == 0 || h.Hierarchy.Root == "" {
		return 0
	}
	id, err := inode(h.Hierarchy.Root + string(path))
	if err != nil {
		return 0
	}
	h.Names.Add(id, path)
	return id
}

// inode returns the inode number of a path; that of a cgroup's directory is
// the cgroup's id.
func inode(path string) (uint64, error) {
	var stat syscall.Stat_t
	if err := syscall.Stat(path, &stat); err != nil {
		return 0, err
	}
	return stat.Ino, nil
}

// Snapshot puts the processes that run now into the table and hands each to
// visit, after all are known, so that ancestors are complete whatever the
// order. exact replaces what /proc knows roughly, by pid; it may be nil.
func (h *Host) Snapshot(exact map[uint32]proctable.Facts, visit func(*proctable.Process, *procfs.Process)) error {
	pids, err := h.Proc.Pids()
	if err != nil {
		return err
	}
	for _, pid := range pids {
		read, err := h.Proc.Read(pid)
		if err != nil {
			continue // gone since
		}
		if facts, ok := exact[pid]; ok && sameStart(read.Start, facts.Start) {
			read.Facts = facts
		}
		if h.Table.Get(read.Key) == nil {
			h.Remember(read)
		}
	}
	if exact == nil {
		// Parents may have come after their children: read again to link them.
		for _, pid := range pids {
			if p := h.Table.Latest(pid); p != nil && p.Parent.Start == 0 {
				if parent := h.Table.Latest(p.Parent.PID); parent != nil {
					h.Table.Adopt(p, parent.Key)
				}
			}
		}
	}
	for _, pid := range pids {
		p := h.Table.Latest(pid)
		read, err := h.Proc.Read(pid)
		if p == nil || err != nil || read.KernelTask {
			continue
		}
		visit(p, read)
	}
	return nil
}
