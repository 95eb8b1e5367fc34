// Package procfs reads what /proc says of a process, for the processes that
// ran before a source was attached and for sources that only get a pid. Its
// answers race with the process: what is gone is absent.
package procfs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/hauberk/hauberk/agent/internal/collect/proctable"
)

// tick is one unit of the times in /proc/<pid>/stat, in ns: USER_HZ is 100 on
// every architecture Hauberk runs on.
const tick = 10_000_000

// maxArgs is what of an argv is read, as eBPF sends it.
const maxArgs = 32 << 10

// Process is what /proc tells.
type Process struct {
	proctable.Facts // start is rounded down to 10 ms, Parent.Start is 0
	Executable      []byte
	Args            []byte
	ArgsLength      uint32
	Directory       []byte
	Deleted         bool // the executable has no name any more
	SocketStdio     uint32
	KernelTask      bool
}

// Reader reads with buffers it reuses; what it returns is valid until the
// next call. Root is /proc as a rule.
type Reader struct {
	Root string

	buf  []byte
	p    Process
	exe  []byte
	dir  []byte
	args []byte
}

func (r *Reader) root() string {
	if r.Root == "" {
		return "/proc"
	}
	return r.Root
}

// Pids lists the processes that run.
func (r *Reader) Pids() ([]uint32, error) {
	dir, err := os.Open(r.root())
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	var pids []uint32
	for _, name := range names {
		if pid, err := strconv.ParseUint(name, 10, 32); err == nil {
			pids = append(pids, uint32(pid))
		}
	}
	return pids, nil
}

// Read reads one process.
func (r *Reader) Read(pid uint32) (*Process, error) {
	r.p = Process{}
	p := &r.p
	base := r.root() + "/" + strconv.FormatUint(uint64(pid), 10)
	stat, err := r.file(base+"/stat", 4096)
	if err != nil {
		return nil, err
	}
	if err := parseStat(stat, p); err != nil {
		return nil, fmt.Errorf("read process %d: %w", pid, err)
	}
	p.PID = pid
	if status, err := r.file(base+"/status", 8192); err == nil {
		parseStatus(status, p)
	}
	p.LoginUID = proctable.NoUID
	if text, err := r.file(base+"/loginuid", 32); err == nil {
		if uid, err := strconv.ParseUint(string(bytes.TrimSpace(text)), 10, 32); err == nil {
			p.LoginUID = uint32(uid)
		}
	}
	r.exe = r.readlink(r.exe, base+"/exe")
	p.Executable, p.Deleted = bytes.CutSuffix(r.exe, []byte(" (deleted)"))
	p.KernelTask = len(r.exe) == 0
	r.dir = r.readlink(r.dir, base+"/cwd")
	p.Directory = bytes.TrimSuffix(r.dir, []byte(" (deleted)"))
	if args, err := r.file(base+"/cmdline", 8*maxArgs); err == nil {
		p.ArgsLength = uint32(len(args))
		r.args = append(r.args[:0], args[:min(len(args), maxArgs)]...)
		p.Args = r.args
	}
	for fd := range 3 {
		link := r.readlink(r.buf[:0], base+"/fd/"+strconv.Itoa(fd))
		if bytes.HasPrefix(link, []byte("socket:")) {
			p.SocketStdio |= 1 << fd
		}
	}
	return p, nil
}

// CgroupPath returns the path of the process in the hierarchy of a v1
// controller, or of v2 when controller is empty.
func (r *Reader) CgroupPath(pid uint32, controller string) []byte {
	text, err := r.file(r.root()+"/"+strconv.FormatUint(uint64(pid), 10)+"/cgroup", 8192)
	if err != nil {
		return nil
	}
	return cgroupPath(text, controller)
}

func cgroupPath(text []byte, controller string) []byte {
	for line := range bytes.Lines(text) {
		parts := bytes.SplitN(bytes.TrimSuffix(line, []byte("\n")), []byte(":"), 3)
		if len(parts) != 3 {
			continue
		}
		if controller == "" {
			if len(parts[1]) == 0 {
				return parts[2]
			}
			continue
		}
		for name := range bytes.SplitSeq(parts[1], []byte(",")) {
			if string(name) == controller {
				return parts[2]
			}
		}
	}
	return nil
}

// file reads at most limit bytes into the reader's buffer.
func (r *Reader) file(path string, limit int) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if cap(r.buf) < 4096 {
		r.buf = make([]byte, 0, 4096)
	}
	r.buf = r.buf[:0]
	for len(r.buf) < limit {
		if len(r.buf) == cap(r.buf) {
			r.buf = append(r.buf, 0)[:len(r.buf)]
		}
		n, err := f.Read(r.buf[len(r.buf):min(cap(r.buf), limit)])
		r.buf = r.buf[:len(r.buf)+n]
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
	}
	return r.buf, nil
}

func (r *Reader) readlink(dst []byte, path string) []byte {
	target, err := os.Readlink(path)
	if err != nil {
		return dst[:0]
	}
	return append(dst[:0], target...)
}

// parseStat reads /proc/<pid>/stat (proc_pid_stat(5)). The name stands in
// parentheses and may itself hold any byte but NUL.
func parseStat(stat []byte, p *Process) error {
	open, closing := bytes.IndexByte(stat, '('), bytes.LastIndexByte(stat, ')')
	if open < 0 || closing < open {
		return errors.New("stat without a name")
	}
	copy(p.Name[:15], stat[open+1:closing])
	fields := strings.Fields(string(stat[closing+1:]))
	// Field 3 (state) is fields[0].
	if len(fields) < 20 {
		return fmt.Errorf("stat has %d fields after the name, want at least 20", len(fields))
	}
	parent, err1 := strconv.ParseUint(fields[1], 10, 32)
	session, err2 := strconv.ParseUint(fields[3], 10, 32)
	terminal, err3 := strconv.ParseInt(fields[4], 10, 32)
	start, err4 := strconv.ParseUint(fields[19], 10, 64)
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return err
	}
	p.Parent.PID, p.Session, p.Start = uint32(parent), uint32(session), start*tick
	copy(p.Terminal[:15], TerminalName(uint32(terminal)))
	return nil
}

// TerminalName names a terminal's device number as ps(1) does: major and
// minor as the kernel packs them for user space.
func TerminalName(device uint32) string {
	major, minor := device>>8&0xfff, device&0xff|device>>12&0xfff00
	switch {
	case device == 0:
		return ""
	case major == 4 && minor < 64:
		return "tty" + strconv.Itoa(int(minor))
	case major == 4:
		return "ttyS" + strconv.Itoa(int(minor-64))
	case major >= 136 && major <= 143:
		return "pts" + strconv.Itoa(int((major-136)<<8+minor)) // the kernel's name of it
	}
	return strconv.Itoa(int(major)) + ":" + strconv.Itoa(int(minor))
}

// parseStatus reads the Uid and Gid lines of /proc/<pid>/status.
func parseStatus(status []byte, p *Process) {
	for line := range bytes.Lines(status) {
		key, rest, ok := bytes.Cut(line, []byte(":"))
		if !ok {
			continue
		}
		fields := bytes.Fields(rest)
		number := func(i int) uint32 {
			if i >= len(fields) {
				return 0
			}
			n, _ := strconv.ParseUint(string(fields[i]), 10, 32)
			return uint32(n)
		}
		switch string(key) {
		case "Uid":
			p.UID, p.EffectiveUID = number(0), number(1)
		case "Gid":
			p.GID = number(0)
		}
	}
}
