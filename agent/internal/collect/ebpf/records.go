package ebpf

import (
	"bytes"
	"os"
	"path"
	"strconv"
	"strings"
	"unsafe"

	"github.com/hauberk/hauberk/agent/internal/collect/hash"
	"github.com/hauberk/hauberk/agent/internal/collect/proctable"
	"github.com/hauberk/hauberk/agent/internal/collect/source"
	"github.com/hauberk/hauberk/event"
)

// handle turns one record into what the host knows and, mostly, an event.
func (s *Source) handle(sink source.Sink, record []byte) {
	if len(record) < int(unsafe.Sizeof(programRecord{})) {
		s.malformed.Inc()
		return
	}
	ok := true
	switch programRecordType(record[0]) {
	case programRecordTypeRECORD_FORK:
		ok = s.onFork(record)
	case programRecordTypeRECORD_EXEC:
		ok = s.onExec(sink, record)
	case programRecordTypeRECORD_EXIT:
		ok = s.onExit(sink, record)
	case programRecordTypeRECORD_SOCKET:
		ok = s.onSocket(sink, record)
	case programRecordTypeRECORD_DENIED:
		ok = s.onDenied(sink, record)
	case programRecordTypeRECORD_CGROUP:
		ok = s.onCgroup(record)
	default:
		s.unknown.Inc()
	}
	if !ok {
		s.malformed.Inc()
	}
}

// view reads a record's fixed part where it lies; the ring aligns records to
// 8 bytes. nil when the record is shorter.
func view[T any](record []byte) *T {
	var t T
	if len(record) < int(unsafe.Sizeof(t)) {
		return nil
	}
	return (*T)(unsafe.Pointer(&record[0]))
}

// rest returns what follows the fixed part.
func rest[T any](record []byte) []byte {
	var t T
	return record[unsafe.Sizeof(t):]
}

func (s *Source) start(head *programRecord) {
	s.message.Start(event.Collector_COLLECTOR_EBPF, s.boot-int64(head.Time))
}

func (s *Source) onFork(record []byte) bool {
	r := view[programForkRecord](record)
	if r == nil {
		return false
	}
	s.host.Table.Fork(proctable.Key{PID: r.Pid, Start: r.Start}, proctable.Key{PID: r.Parent, Start: r.ParentStart})
	return true
}

func (s *Source) onExec(sink source.Sink, record []byte) bool {
	r := view[programExecRecord](record)
	if r == nil {
		return false
	}
	text := rest[programExecRecord](record)
	pathEnd := int(r.PathLength)
	directoryEnd := pathEnd + int(r.DirectoryLength)
	scriptEnd := directoryEnd + int(r.ScriptLength)
	if scriptEnd+int(r.ArgsStored) > len(text) {
		return false
	}
	s.path = appendPath(s.path[:0], text[:pathEnd])
	s.cwd = appendPath(s.cwd[:0], text[pathEnd:directoryEnd])
	if r.DirectoryLength == 0 && s.config.Load.Directory {
		s.cwd = append(s.cwd, '/')
	}
	args := text[scriptEnd : scriptEnd+int(r.ArgsStored)]
	flags := programRecordFlag(r.Head.Flags)
	if flags&programRecordFlagFLAG_PATH_CUT != 0 {
		s.pathCut.Inc()
	}
	if flags&programRecordFlagFLAG_ARGS_FAULT != 0 {
		s.argsFault.Inc()
	}

	known := facts(&r.Ids)
	p := s.host.Table.Exec(&known, s.path, args, s.cwd, r.ArgsLength)
	remembered := p != nil
	if !remembered {
		p = &proctable.Process{Facts: known}
	}
	sum, pending := "", false
	key := hash.Key{Device: r.Device, Inode: r.Inode, Size: r.Size, Modified: r.Modified, Nsec: r.ModifiedNsec}
	if s.config.Hashes != nil {
		if sum, pending = s.config.Hashes.Lookup(key, r.Ids.Pid, s.path); remembered {
			p.Image().SHA256 = sum
		}
	}

	s.start(&r.Head)
	s.message.Full(s.host, p)
	m := &s.message.Process
	m.Executable, m.Args, m.WorkingDirectory, m.ArgsLength, m.Sha256 = s.path, args, s.cwd, 0, sum
	if r.ArgsLength > r.ArgsStored {
		m.ArgsLength = r.ArgsLength
	}
	body := s.exec.Exec
	body.Script = nil
	if r.ScriptLength > 0 {
		body.Script = text[directoryEnd : scriptEnd-1]
	}
	body.SocketStdio = 0
	for fd, kind := range r.Stream {
		if kind == kindSocket {
			body.SocketStdio |= 1 << fd
		}
	}
	body.Stdin = streamName(r.Stream[0], r.StdinDevice)
	body.FromMemory = flags&programRecordFlagFLAG_FROM_MEMORY != 0
	s.message.Event.Body = &s.exec
	if !pending || !s.hold(key) {
		sink.Emit(event.Class_CLASS_BULK, s.now, &s.message.Event)
	}
	return true
}

func (s *Source) onExit(sink source.Sink, record []byte) bool {
	r := view[programExitRecord](record)
	if r == nil {
		return false
	}
	key := proctable.Key{PID: r.Pid, Start: r.Start}
	s.start(&r.Head)
	if p := s.host.Table.Get(key); p != nil {
		s.message.Brief(s.host, p)
	} else {
		s.message.Known(s.host, key, 0)
	}
	body := s.exit.Exit
	body.ExitCode, body.Signal = r.Code>>8&0xff, uint32(r.Code)&0x7f
	body.Lifetime = 0
	if r.Head.Time > r.Start {
		body.Lifetime = r.Head.Time - r.Start
	}
	s.message.Event.Body = &s.exit
	sink.Emit(event.Class_CLASS_BULK, s.now, &s.message.Event)
	s.host.Table.Exit(key)
	return true
}

// process puts the process of an event into the message.
func (s *Source) process(who *programWho) *proctable.Process {
	key := proctable.Key{PID: who.Pid, Start: who.Start}
	p := s.host.Process(key, s.now)
	if p == nil {
		s.message.Known(s.host, key, who.Uid)
		return nil
	}
	s.message.Full(s.host, p)
	if who.Uid != p.UID { // changed since its exec
		s.message.Process.Uid, s.message.Process.User = who.Uid, s.host.User(who.Uid)
	}
	return p
}

func (s *Source) onSocket(sink source.Sink, record []byte) bool {
	r := view[programSocketRecord](record)
	if r == nil {
		return false
	}
	s.start(&r.Head)
	s.process(&r.Who)
	size := 4
	if r.Family == familyInet6 {
		size = 16
	}
	local, remote := r.Local[:size], r.Remote[:size]
	localPort := uint32(r.LocalPort)
	// Network order, on a little-endian machine (the object is bpfel).
	remotePort := uint32(r.RemotePort>>8 | r.RemotePort<<8)
	body := s.socket.Connection
	*body = event.Connection{Transport: event.Transport_TRANSPORT_TCP, Error: r.Error}
	switch programSocketDirection(r.Direction) {
	case programSocketDirectionDIRECTION_OUT:
		body.Direction = event.Direction_DIRECTION_OUTBOUND
		body.SourceIp, body.SourcePort, body.DestinationIp, body.DestinationPort = local, localPort, remote, remotePort
	case programSocketDirectionDIRECTION_IN:
		body.Direction = event.Direction_DIRECTION_INBOUND
		body.SourceIp, body.SourcePort, body.DestinationIp, body.DestinationPort = remote, remotePort, local, localPort
	case programSocketDirectionDIRECTION_LISTEN:
		body.Direction = event.Direction_DIRECTION_LISTEN
		body.DestinationIp, body.DestinationPort = local, localPort
	default:
		return false
	}
	s.message.Event.Body = &s.socket
	sink.Emit(event.Class_CLASS_BULK, s.now, &s.message.Event)
	return true
}

func (s *Source) onDenied(sink source.Sink, record []byte) bool {
	r := view[programDeniedRecord](record)
	if r == nil {
		return false
	}
	text := rest[programDeniedRecord](record)
	if int(r.PathLength) > len(text) || r.PathLength == 0 {
		return false
	}
	claim := string(text[:r.PathLength-1])
	if !strings.HasPrefix(claim, "/") {
		claim = s.base(r) + "/" + claim
	}
	claim = path.Clean(claim)
	if !sensitive(s.config.Sensitive, claim) {
		return true
	}
	s.start(&r.Head)
	s.process(&r.Who)
	*s.denied.Denied = event.AccessDenied{Operation: "open", Path: []byte(claim), PathIsClaim: true, Error: r.Error, Flags: uint32(r.Flags)}
	s.message.Event.Body = &s.denied
	sink.Emit(event.Class_CLASS_PRIORITY, s.now, &s.message.Event)
	return true
}

// base is the directory a relative path started from, as far as it can still
// be told: from /proc while the process lives, else from its exec.
func (s *Source) base(r *programDeniedRecord) string {
	link := "/proc/" + strconv.FormatUint(uint64(r.Who.Pid), 10) + "/cwd"
	if r.Directory >= 0 {
		link = "/proc/" + strconv.FormatUint(uint64(r.Who.Pid), 10) + "/fd/" + strconv.Itoa(int(r.Directory))
	}
	if target, err := os.Readlink(link); err == nil {
		return target
	}
	if p := s.host.Table.Get(proctable.Key{PID: r.Who.Pid, Start: r.Who.Start}); p != nil {
		return string(p.Image().Directory)
	}
	return ""
}

// sensitive reports whether path is one of list or below one.
func sensitive(list []string, path string) bool {
	for _, each := range list {
		if strings.HasPrefix(path, each) && (len(path) == len(each) || path[len(each)] == '/') {
			return true
		}
	}
	return false
}

func (s *Source) onCgroup(record []byte) bool {
	r := view[programCgroupRecord](record)
	if r == nil {
		return false
	}
	text := rest[programCgroupRecord](record)
	if int(r.PathLength) > len(text) || r.PathLength == 0 {
		return false
	}
	s.host.Names.Add(r.Id, bytes.TrimRight(text[:r.PathLength], "\x00"))
	return true
}

// appendPath appends the path whose components, leaf first, stand in text,
// each as a length byte and its bytes.
func appendPath(dst, text []byte) []byte {
	var starts [maxComponents]int
	n := 0
	for at := 0; at < len(text) && n < maxComponents; n++ {
		starts[n] = at
		at += 1 + int(text[at])
	}
	for n--; n >= 0; n-- {
		at := starts[n]
		end := min(at+1+int(text[at]), len(text))
		dst = append(dst, '/')
		dst = append(dst, text[at+1:end]...)
	}
	return dst
}

const (
	maxComponents = 64 // more than MAX_COMPONENTS of records.h
	familyInet6   = 10

	// Bits 12 to 15 of st_mode (inode(7)).
	kindPipe   = 1
	kindDevice = 2
	kindDir    = 4
	kindBlock  = 6
	kindFile   = 8
	kindSocket = 12
)

var streamNames = [16][]byte{
	kindPipe: []byte("pipe"), kindDevice: []byte("device"), kindDir: []byte("directory"),
	kindBlock: []byte("device"), kindFile: []byte("file"), kindSocket: []byte("socket"),
}

var nameTTY, nameNull = []byte("tty"), []byte("null")

// streamName says what a standard stream is. A device is (major << 20 |
// minor), as the kernel holds it.
func streamName(kind uint8, device uint32) []byte {
	if kind == kindDevice {
		switch major := device >> 20; {
		case major == 4 || major == 5 || major >= 136 && major <= 143:
			return nameTTY
		case device == 1<<20|3:
			return nameNull
		}
	}
	return streamNames[kind&15]
}
