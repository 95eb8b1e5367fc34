// Package cnproc sees processes where BPF is not possible: the process
// connector tells of every fork, exec and exit, and /proc says the rest, if
// the process still lives when it is asked. So every exec is seen, but argv,
// container and standard streams of one that ends at once are not; and what
// the socket's buffer cannot hold is lost, which the kernel tells without
// saying how much.
//
// It wants CONFIG_PROC_EVENTS, CAP_NET_ADMIN, and the initial pid and network
// namespaces.
package cnproc

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hauberk/hauberk/agent/internal/collect/host"
	"github.com/hauberk/hauberk/agent/internal/collect/procfs"
	"github.com/hauberk/hauberk/agent/internal/collect/proctable"
	"github.com/hauberk/hauberk/agent/internal/collect/source"
	"github.com/hauberk/hauberk/event"
	"github.com/hauberk/hauberk/internal/obs"
)

const (
	connectorProcess = 1 // CN_IDX_PROC and CN_VAL_PROC
	listen           = 1 // PROC_CN_MCAST_LISTEN
	ignore           = 2 // PROC_CN_MCAST_IGNORE
	// receiveBuffer holds about 10,000 events: a second of a busy build host.
	receiveBuffer = 2 << 20
)

// Source reads the connector. Make one with Open.
type Source struct {
	host *host.Host
	file *os.File
	fd   int

	message host.Message
	exec    event.Event_Exec
	exit    event.Event_Exit
	now     int64 // Unix ns, of this drain
	mono    int64 // CLOCK_MONOTONIC, which event times are in
	boot    int64 // CLOCK_BOOTTIME, which starts are in

	overruns *obs.Counter
	gone     *obs.Counter
	foreign  *obs.Counter
}

// Open subscribes to process events.
func Open(h *host.Host, counters *obs.Registry) (*Source, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_CONNECTOR)
	if err != nil {
		return nil, fmt.Errorf("open process connector: %w", err)
	}
	s := &Source{host: h, fd: fd, exec: event.Event_Exec{Exec: &event.ProcessExec{}}, exit: event.Event_Exit{Exit: &event.ProcessExit{}}}
	s.file = os.NewFile(uintptr(fd), "cn_proc")
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer); err != nil {
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer) // as much as is allowed
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: connectorProcess}); err != nil {
		s.file.Close()
		return nil, fmt.Errorf("bind process connector: %w", err)
	}
	if err := s.subscribe(listen); err != nil {
		s.file.Close()
		return nil, fmt.Errorf("subscribe to process events: %w", err)
	}
	const name = "hauberk_collect_connector_total"
	s.overruns = counters.Counter(name, "reason=overrun", "times the socket was full and an unknown number of events was lost")
	s.gone = counters.Counter(name, "reason=gone", "execs whose process had ended before /proc was read")
	s.foreign = counters.Counter(name, "reason=malformed", "datagrams that are not process events")
	return s, nil
}

func (s *Source) subscribe(operation uint32) error {
	const size = netlinkHeader + connectorSize + 4
	ne := binary.NativeEndian
	b := make([]byte, 0, size)
	b = ne.AppendUint32(b, size)
	b = ne.AppendUint16(b, netlinkDone)
	b = append(b, make([]byte, netlinkHeader-6)...)
	b = ne.AppendUint32(b, connectorProcess)
	b = ne.AppendUint32(b, connectorProcess)
	b = append(b, make([]byte, 8)...)
	b = ne.AppendUint16(b, 4) // bytes of what follows
	b = append(b, 0, 0)
	b = ne.AppendUint32(b, operation)
	return unix.Sendto(s.fd, b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
}

// Name is the method, as Sensor.method has it.
func (s *Source) Name() string { return "cn_proc" }

// Capabilities says what it sees.
func (s *Source) Capabilities() source.Capability { return source.Exec | source.Exit }

// Run emits the processes that run already, then what the connector tells.
func (s *Source) Run(ctx context.Context, sink source.Sink) error {
	stop := context.AfterFunc(ctx, func() { s.file.Close() })
	defer s.file.Close()
	defer stop()
	defer s.subscribe(ignore) // the kernel stops working for nobody
	if err := s.runSnapshot(sink); err != nil {
		return err
	}
	buf := make([]byte, 64<<10)
	for {
		n, err := s.file.Read(buf)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, unix.ENOBUFS):
			s.overruns.Inc()
			continue
		case err != nil:
			return fmt.Errorf("read process events: %w", err)
		}
		s.take(sink, buf, n)
	}
}

// take handles a datagram and those that wait behind it under one lock.
func (s *Source) take(sink source.Sink, buf []byte, n int) {
	s.host.Lock()
	defer s.host.Unlock()
	s.clock()
	for range 256 {
		if err := parse(buf[:n], func(h happening) { s.handle(sink, h) }); err != nil {
			s.foreign.Inc()
		}
		var err error
		if n, _, err = unix.Recvfrom(s.fd, buf, unix.MSG_DONTWAIT); err != nil {
			break // empty, or an overrun that the next Read reports
		}
	}
	sink.Flush()
}

func (s *Source) clock() {
	var mono, boot unix.Timespec
	unix.ClockGettime(unix.CLOCK_MONOTONIC, &mono)
	unix.ClockGettime(unix.CLOCK_BOOTTIME, &boot)
	now := time.Now()
	s.now, s.mono, s.boot = now.UnixNano(), mono.Nano(), boot.Nano()
	s.host.Tick(now)
}

func (s *Source) runSnapshot(sink source.Sink) error {
	s.host.Lock()
	defer s.host.Unlock()
	s.clock()
	body := &event.Event_Exec{Exec: &event.ProcessExec{Snapshot: true}}
	err := s.host.Snapshot(nil, func(p *proctable.Process, read *procfs.Process) {
		s.message.Start(event.Collector_COLLECTOR_PROCFS, 0)
		s.message.Full(s.host, p)
		s.message.Process.Args = read.Args
		body.Exec.SocketStdio, body.Exec.FromMemory = read.SocketStdio, read.Deleted
		s.message.Event.Body = body
		sink.Emit(event.Class_CLASS_BULK, s.now, &s.message.Event)
	})
	sink.Flush()
	return err
}

func (s *Source) handle(sink source.Sink, h happening) {
	since := h.time
	h.time += uint64(s.boot - s.mono)
	s.message.Start(event.Collector_COLLECTOR_CNPROC, s.mono-int64(since))
	switch h.what {
	case whatFork:
		if h.pid == h.tgid {
			s.fork(h)
		}
	case whatExec:
		s.onExec(sink, h)
	case whatExit:
		if h.pid == h.tgid { // the first thread's end; that of the process as a rule
			s.onExit(sink, h)
		}
	}
}

// fork notes a child. Its start is the time of the event, which is within
// 10 ms of what /proc says.
func (s *Source) fork(h happening) {
	parent := proctable.Key{PID: h.parent}
	if p := s.host.Table.Latest(h.parent); p != nil {
		parent = p.Key
	}
	s.host.Table.Fork(proctable.Key{PID: h.tgid, Start: h.time}, parent)
}

func (s *Source) onExec(sink source.Sink, h happening) {
	known := s.host.Table.Latest(h.tgid)
	read, err := s.host.Proc.Read(h.tgid)
	if err != nil || len(read.Executable) == 0 && len(read.Args) == 0 {
		// Gone: what is left is that something ran, and whose child it was.
		s.gone.Inc()
		// The image it had from its parent is not what it ran.
		if known != nil {
			s.message.Known(s.host, known.Key, known.UID)
			s.message.Ancestors(s.host, known)
		} else {
			s.message.Known(s.host, proctable.Key{PID: h.tgid, Start: h.time}, 0)
		}
		*s.exec.Exec = event.ProcessExec{}
	} else {
		if known != nil && !known.Exited {
			read.Facts.Key, read.Facts.Parent = known.Key, known.Parent
		}
		p := s.host.Remember(read)
		if p == nil {
			p = &proctable.Process{Facts: read.Facts}
		}
		s.message.Full(s.host, p)
		s.message.Process.Executable, s.message.Process.Args, s.message.Process.WorkingDirectory = read.Executable, read.Args, read.Directory
		s.message.Process.ArgsLength = 0
		if int(read.ArgsLength) > len(read.Args) {
			s.message.Process.ArgsLength = read.ArgsLength
		}
		*s.exec.Exec = event.ProcessExec{SocketStdio: read.SocketStdio, FromMemory: read.Deleted}
	}
	s.message.Event.Body = &s.exec
	sink.Emit(event.Class_CLASS_BULK, s.now, &s.message.Event)
}

func (s *Source) onExit(sink source.Sink, h happening) {
	key := proctable.Key{PID: h.tgid}
	if p := s.host.Table.Latest(h.tgid); p != nil && !p.Exited {
		key = p.Key
		s.message.Brief(s.host, p)
	} else {
		s.message.Known(s.host, key, 0)
	}
	*s.exit.Exit = event.ProcessExit{ExitCode: int32(h.code >> 8 & 0xff), Signal: h.code & 0x7f}
	if key.Start != 0 && h.time > key.Start {
		s.exit.Exit.Lifetime = h.time - key.Start
	}
	s.message.Event.Body = &s.exit
	sink.Emit(event.Class_CLASS_BULK, s.now, &s.message.Event)
	s.host.Table.Exit(key)
}
