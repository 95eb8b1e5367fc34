// Package ebpf sees processes, connections and refused opens through BPF
// programs on tracepoints. Load puts them into the kernel and pins them; the
// source opens the pins and never needs the kernel's BTF.
//
// It wants Linux 5.15 or newer for everything (5.8 without accept and refused
// opens), BTF, and CAP_BPF with CAP_PERFMON, or root.
package ebpf

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/hauberk/hauberk/agent/internal/collect/hash"
	"github.com/hauberk/hauberk/agent/internal/collect/host"
	"github.com/hauberk/hauberk/agent/internal/collect/procfs"
	"github.com/hauberk/hauberk/agent/internal/collect/proctable"
	"github.com/hauberk/hauberk/agent/internal/collect/source"
	"github.com/hauberk/hauberk/event"
	"github.com/hauberk/hauberk/internal/obs"
)

// Config says where the pins are and how to read.
type Config struct {
	Load      LoadConfig
	Interval  time.Duration // longest wait of a record while others come
	Sensitive []string      // clean absolute paths whose refusals are events
	// Hashes knows the SHA-256 of executables; nil: none.
	Hashes *hash.Cache
}

// Source reads the rings. Make one with Open.
type Source struct {
	config       Config
	host         *host.Host
	capabilities source.Capability
	reasons      map[string]string

	bulk, priority *ring
	control        []byte
	accounts       *ebpf.Map
	maps           []*ebpf.Map
	snapshot       string
	poll           *os.File // an epoll of the rings and of stop
	polled         syscall.RawConn
	stop           int
	sink           atomic.Pointer[source.Sink]

	message host.Message
	exec    event.Event_Exec
	exit    event.Event_Exit
	socket  event.Event_Connection
	denied  event.Event_Denied
	held    []held
	path    []byte
	cwd     []byte
	now     int64 // Unix ns, of this drain
	boot    int64 // ns since boot, of this drain

	closing sync.Mutex
	closed  bool
	final   Account

	unknown   *obs.Counter
	malformed *obs.Counter
	pathCut   *obs.Counter
	argsFault *obs.Counter
}

// notLoaded says why there is nothing to open.
func notLoaded(err error) error {
	switch {
	case !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("open pins: %w", err)
	case os.Geteuid() != 0:
		return errors.New("no programs are loaded: needs root (CAP_BPF, CAP_PERFMON)")
	}
	return errors.New("no programs are loaded: the loader failed, the agent's log says why")
}

// Open opens what Load pinned.
func Open(config Config, h *host.Host, counters *obs.Registry) (*Source, error) {
	dir := filepath.Join(config.Load.Pins, config.Load.fingerprint())
	if _, err := os.Stat(filepath.Join(dir, doneMark)); err != nil {
		return nil, notLoaded(err)
	}
	s := &Source{config: config, host: h, snapshot: filepath.Join(dir, programProgSnapshot), stop: -1, reasons: map[string]string{}}
	s.exec.Exec, s.exit.Exit = &event.ProcessExec{}, &event.ProcessExit{}
	s.socket.Connection, s.denied.Denied = &event.Connection{}, &event.AccessDenied{}
	if err := s.open(dir); err != nil {
		s.close()
		return nil, err
	}
	s.declare(dir)
	s.count(counters)
	if config.Hashes != nil {
		config.Hashes.OnDone(s.nudge)
	}
	return s, nil
}

func (s *Source) open(dir string) error {
	pinned := map[string]*ebpf.Map{}
	for _, name := range pinnedMaps {
		m, err := ebpf.LoadPinnedMap(filepath.Join(dir, name), nil)
		if err != nil {
			return fmt.Errorf("open pinned map %s: %w", name, err)
		}
		pinned[name] = m
		s.maps = append(s.maps, m)
	}
	s.accounts = pinned[programMapAccounts]
	var err error
	if s.bulk, err = openRing(pinned[programMapBulk].FD(), int(pinned[programMapBulk].MaxEntries())); err != nil {
		return err
	}
	if s.priority, err = openRing(pinned[programMapPriority].FD(), int(pinned[programMapPriority].MaxEntries())); err != nil {
		return err
	}
	page := os.Getpagesize()
	if s.control, err = unix.Mmap(pinned[programMapControls].FD(), 0, page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err != nil {
		return fmt.Errorf("map control: %w", err)
	}
	poll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return fmt.Errorf("make epoll: %w", err)
	}
	if err := unix.SetNonblock(poll, true); err != nil { // so that the runtime polls it
		unix.Close(poll)
		return fmt.Errorf("make epoll: %w", err)
	}
	s.poll = os.NewFile(uintptr(poll), "rings")
	if s.polled, err = s.poll.SyscallConn(); err != nil {
		return fmt.Errorf("make epoll: %w", err)
	}
	if s.stop, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return fmt.Errorf("make eventfd: %w", err)
	}
	for _, fd := range []int{s.stop, pinned[programMapBulk].FD(), pinned[programMapPriority].FD()} {
		// Edge triggered, because ring_discard wakes whatever the position.
		if err := unix.EpollCtl(poll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLET, Fd: int32(fd)}); err != nil {
			return fmt.Errorf("add to epoll: %w", err)
		}
	}
	return nil
}

// declare works out from the pins what this kernel allowed.
func (s *Source) declare(dir string) {
	s.capabilities = source.Exec | source.Exit | source.Args | source.Ancestry | source.Container | source.Stdio | source.Account
	for _, feature := range features[1:] {
		missing := ""
		for _, probe := range feature.probes {
			if _, err := os.Stat(filepath.Join(dir, probe.program)); err != nil && !probe.optional {
				missing = probe.program
			}
		}
		if missing != "" {
			reason, err := os.ReadFile(reasonFile(s.config.Load.Pins, feature.name))
			if errors.Is(err, fs.ErrNotExist) {
				reason = []byte("turned off")
			}
			s.reasons[feature.name] = string(reason)
			continue
		}
		switch feature.name {
		case featureNetwork:
			s.capabilities |= source.Connect | source.Accept | source.Listen
		case featureDenied:
			s.capabilities |= source.Denied
		}
	}
}

// Missing says why a feature ("network", "denied") is not there; empty when
// it is.
func (s *Source) Missing(feature string) string { return s.reasons[feature] }

// Account is the account of all records: Made = Seen + Lost + those waiting.
type Account struct{ Made, Seen, Lost, Limited uint64 }

// Account reads it from the kernel; after the source ended it is what it was
// then.
func (s *Source) Account() (Account, error) {
	s.closing.Lock()
	defer s.closing.Unlock()
	if s.closed {
		return s.final, nil
	}
	return s.readAccount()
}

// readAccount reads what was seen first, so that made is never less than seen
// and lost.
func (s *Source) readAccount() (Account, error) {
	control := s.controls()
	a := Account{Seen: atomic.LoadUint64(&control.BulkSeen) + atomic.LoadUint64(&control.PrioritySeen)}
	for slot := range uint32(programSlotSLOTS) {
		var each []programAccount
		if err := s.accounts.Lookup(slot, &each); err != nil {
			return a, fmt.Errorf("read the account: %w", err)
		}
		for _, cpu := range each {
			a.Made += cpu.BulkMade + cpu.PriorityMade
			a.Lost += cpu.BulkLost + cpu.PriorityLost
			a.Limited += cpu.Limited
		}
	}
	return a, nil
}

// sharedReading is longer than a status takes to be made, and shorter than the
// time between two.
const sharedReading = 20 * time.Millisecond

func (s *Source) count(counters *obs.Registry) {
	// The counters of one status belong together, so they share a reading.
	var mu sync.Mutex
	var last Account
	var at time.Time
	read := func(pick func(Account) uint64) func() uint64 {
		return func() uint64 {
			mu.Lock()
			defer mu.Unlock()
			if now := time.Now(); now.Sub(at) > sharedReading {
				s.Drain() // so that nothing waits
				if a, err := s.Account(); err == nil {
					last, at = a, now
				}
			}
			return pick(last)
		}
	}
	const name, help = "hauberk_collect_kernel_records_total", "records of the kernel since it was loaded: made = seen + lost + waiting"
	counters.Gauge(name, "stage=made", help, read(func(a Account) uint64 { return a.Made }))
	counters.Gauge(name, "stage=seen", help, read(func(a Account) uint64 { return a.Seen }))
	counters.Gauge(name, "stage=lost", help, read(func(a Account) uint64 { return a.Lost }))
	counters.Gauge(name, "stage=limited", help, read(func(a Account) uint64 { return a.Limited }))
	const trouble, what = "hauberk_collect_records_total", "records that are not whole"
	s.unknown = counters.Counter(trouble, "reason=unknown_type", what)
	s.malformed = counters.Counter(trouble, "reason=malformed", what)
	s.pathCut = counters.Counter(trouble, "reason=path_cut", what)
	s.argsFault = counters.Counter(trouble, "reason=args_fault", what)
}

func (s *Source) controls() *programControl {
	return (*programControl)(unsafe.Pointer(&s.control[0]))
}

// Name is the method, as Sensor.method has it.
func (s *Source) Name() string { return "ebpf/tp_btf" }

// Capabilities says what the loaded programs see.
func (s *Source) Capabilities() source.Capability { return s.capabilities }

func (s *Source) close() {
	s.closing.Lock()
	defer s.closing.Unlock()
	if s.control != nil {
		s.final, _ = s.readAccount() // without it the last status says 0
	}
	s.closed = true
	for _, r := range []*ring{s.bulk, s.priority} {
		if r != nil {
			r.close()
		}
	}
	if s.control != nil {
		unix.Munmap(s.control)
	}
	if s.poll != nil {
		s.poll.Close()
	}
	if s.stop >= 0 {
		unix.Close(s.stop)
	}
	for _, m := range s.maps {
		m.Close()
	}
}

// Run emits the processes that run already, then what the rings bring. While
// records come it drains every Interval, or when WakeBytes wait; when none
// come it sleeps until the next.
func (s *Source) Run(ctx context.Context, sink source.Sink) error {
	defer s.close()
	stopped := context.AfterFunc(ctx, s.nudge)
	defer stopped()
	if err := s.runSnapshot(sink); err != nil {
		return err
	}
	s.host.Lock()
	s.sink.Store(&sink)
	s.host.Unlock()
	defer func() {
		s.host.Lock()
		s.sink.Store(nil)
		s.host.Unlock()
	}()
	control := s.controls()
	for ctx.Err() == nil {
		n := s.drain(sink)
		armed, timeout := programArmedARMED_FULL, s.config.Interval
		if n == 0 && len(s.held) == 0 {
			armed, timeout = programArmedARMED_ANY, idleTimeout
		}
		atomic.StoreUint32(&control.Armed, uint32(armed))
		// A record that came before the reader was armed wakes nobody.
		if waiting := s.bulk.end() - s.bulk.position; n == 0 && waiting > 0 || waiting >= uint64(control.WakeBytes) {
			continue
		}
		if err := s.wait(timeout); err != nil {
			return err
		}
	}
	s.drain(sink)
	s.host.Lock()
	s.releaseHeld(sink, true)
	s.host.Unlock()
	sink.Flush()
	return nil
}

// nudge wakes the reader.
func (s *Source) nudge() {
	s.closing.Lock()
	defer s.closing.Unlock()
	if !s.closed {
		unix.Write(s.stop, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	}
}

// idleTimeout bounds how long a lost wake-up could hide a record.
const idleTimeout = time.Second

// wait waits for the rings or a nudge. It waits in the runtime's own poller: a
// thread that blocks in a system call keeps the runtime's monitor awake, which
// looks every 20 us and cost a third of a busy collector's time.
func (s *Source) wait(timeout time.Duration) error {
	if err := s.poll.SetReadDeadline(time.Now().Add(timeout)); err != nil {
		return fmt.Errorf("wait for records: %w", err)
	}
	var failed error
	err := s.polled.Read(func(fd uintptr) bool {
		var events [4]unix.EpollEvent
		n, err := unix.EpollWait(int(fd), events[:], 0)
		if err != nil && !errors.Is(err, unix.EINTR) {
			failed = err
		}
		return n > 0 || failed != nil
	})
	if err == nil {
		err = failed
	}
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("wait for records: %w", err)
	}
	return nil
}

// Drain delivers what waits now, for another source that wants to know a
// process; it does nothing before Run has begun or after it ended.
func (s *Source) Drain() {
	if sink := s.sink.Load(); sink != nil {
		s.drain(*sink)
	}
}

// release after this many records, so that producers find room while the
// reader works.
const releaseEvery = 256

// drain handles every record that is complete now and returns how many. The
// priority ring's end is read first and its records are handled last, so that
// the exec of a process precedes what the process was refused.
func (s *Source) drain(sink source.Sink) int {
	s.host.Lock()
	defer s.host.Unlock()
	if s.sink.Load() == nil {
		return 0
	}
	s.clock()
	control := s.controls()
	end := s.priority.end()
	n := s.drainRing(sink, s.bulk, s.bulk.end(), &control.BulkSeen)
	n += s.drainRing(sink, s.priority, end, &control.PrioritySeen)
	if s.releaseHeld(sink, false) || n > 0 {
		sink.Flush()
	}
	return n
}

func (s *Source) drainRing(sink source.Sink, r *ring, end uint64, seen *uint64) int {
	n, counted := 0, 0
	for {
		record := r.next(end)
		if record != nil {
			s.handle(sink, record)
			n++
		}
		if record == nil || n%releaseEvery == 0 {
			atomic.AddUint64(seen, uint64(n-counted))
			counted = n
			r.release()
		}
		if record == nil {
			return n
		}
	}
}

// clock reads the time once for a drain.
func (s *Source) clock() {
	var boot unix.Timespec
	unix.ClockGettime(unix.CLOCK_BOOTTIME, &boot)
	now := time.Now()
	s.now, s.boot = now.UnixNano(), boot.Nano()
	s.host.Tick(now)
}

// runSnapshot fills the process table and tells of the processes that run.
func (s *Source) runSnapshot(sink source.Sink) error {
	s.host.Lock()
	defer s.host.Unlock()
	s.clock()
	if err := s.host.Names.Scan(s.host.Hierarchy.Root); err != nil {
		return fmt.Errorf("read cgroups: %w", err)
	}
	exact, err := s.readSnapshot()
	if err != nil {
		return err
	}
	body := &event.Event_Exec{Exec: &event.ProcessExec{Snapshot: true}}
	err = s.host.Snapshot(exact, func(p *proctable.Process, read *procfs.Process) {
		s.message.Start(event.Collector_COLLECTOR_EBPF, max(0, s.boot-int64(p.Start)))
		s.message.Full(s.host, p)
		s.message.Process.Args = read.Args
		body.Exec.SocketStdio, body.Exec.FromMemory = read.SocketStdio, read.Deleted
		s.message.Event.Body = body
		sink.Emit(event.Class_CLASS_BULK, s.now, &s.message.Event)
	})
	sink.Flush()
	return err
}

// readSnapshot lists the processes as the kernel's iterator gives them.
func (s *Source) readSnapshot() (map[uint32]proctable.Facts, error) {
	pinned, err := link.LoadPinnedLink(s.snapshot, nil)
	if err != nil {
		return nil, fmt.Errorf("open pinned snapshot: %w", err)
	}
	defer pinned.Close()
	iterator, ok := pinned.(*link.Iter)
	if !ok {
		return nil, fmt.Errorf("pinned snapshot is a %T", pinned)
	}
	reader, err := iterator.Open()
	if err != nil {
		return nil, fmt.Errorf("open snapshot: %w", err)
	}
	defer reader.Close()
	data, err := io.ReadAll(reader)
	if err != nil {
		return nil, fmt.Errorf("read snapshot: %w", err)
	}
	const size = int(unsafe.Sizeof(programIds{}))
	exact := make(map[uint32]proctable.Facts, len(data)/size)
	for ; len(data) >= size; data = data[size:] {
		ids := (*programIds)(unsafe.Pointer(&data[0]))
		exact[ids.Pid] = facts(ids)
	}
	return exact, nil
}

func facts(ids *programIds) proctable.Facts {
	f := proctable.Facts{
		Key: proctable.Key{PID: ids.Pid, Start: ids.Start}, Parent: proctable.Key{PID: ids.Parent, Start: ids.ParentStart},
		UID: ids.Uid, GID: ids.Gid, EffectiveUID: ids.EffectiveUid, LoginUID: ids.LoginUid,
		Session: ids.Session, Cgroup: ids.Cgroup, Name: ids.Name, Terminal: ids.Terminal,
	}
	// The kernel calls it pts1, people call it pts/1.
	if name := string(f.Terminal[:4]); strings.HasPrefix(name, "pts") && name[3] >= '0' && name[3] <= '9' {
		copy(f.Terminal[4:], ids.Terminal[3:15])
		f.Terminal[3] = '/'
	}
	return f
}

// Tally returns the records made, seen and lost.
func (s *Source) Tally() (made, seen, lost uint64) {
	a, _ := s.Account() // an error reads as nothing made
	return a.Made, a.Seen, a.Lost
}
