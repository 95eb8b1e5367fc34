// Package collecttest is the suite that every source of the collector passes.
// What it expects follows from the capabilities the source declares: it does
// the thing on this host, and the source must tell of it completely.
package collecttest

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hauberk/hauberk/agent/internal/collect/host"
	"github.com/hauberk/hauberk/agent/internal/collect/source"
	"github.com/hauberk/hauberk/event"
	"github.com/hauberk/hauberk/internal/obs"
	"github.com/hauberk/hauberk/internal/tinyelf"
)

// Target is what a source is opened for.
type Target struct {
	Host     *host.Host
	Counters *obs.Registry
	// Sensitive is a directory whose refusals must be told.
	Sensitive string
}

// Accounter is a source that declares source.Account.
type Accounter interface {
	// Tally returns the records made, seen and lost.
	Tally() (made, seen, lost uint64)
}

// patience is how long an event may take on a machine under load.
const patience = 20 * time.Second

// suite is one source under test.
type suite struct {
	source source.Source
	sink   *memory
	dir    string
	secret string
}

// Run opens a source, runs it, and checks each capability it declares.
func Run(t *testing.T, open func(*testing.T, Target) source.Source) {
	// Not t.TempDir, whose parent nobody may enter.
	dir, err := os.MkdirTemp("", "collecttest")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	s := &suite{sink: newMemory(), dir: dir, secret: filepath.Join(dir, "secret")}
	if err := os.Mkdir(s.secret, 0o700); err != nil {
		t.Fatal(err)
	}
	counters := &obs.Registry{}
	s.source = open(t, Target{Host: host.New(8192, counters), Counters: counters, Sensitive: s.secret})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.source.Run(ctx, s.sink) }()
	stop := sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	defer stop()

	has := s.source.Capabilities().Has
	for _, test := range []struct {
		name string
		need source.Capability
		run  func(*testing.T)
	}{
		{"snapshot", source.Exec, s.snapshot},
		{"exec", source.Exec, s.exec},
		{"long argv", source.Exec, s.longArgs},
		{"exit", source.Exec | source.Exit, s.exit},
		{"every exec", source.Exec, s.every},
		{"instant argv", source.Args, s.instant},
		{"orphan", source.Ancestry, s.orphan},
		{"script", source.Args, s.script},
		{"memory", source.Args, s.memory},
		{"sockets", source.Stdio, s.sockets},
		{"container", source.Container, s.container},
		{"connect", source.Connect, s.connect},
		{"accept", source.Accept, s.accept},
		{"listen", source.Listen, s.listen},
		{"denied", source.Denied, s.denied},
		{"account", source.Account, s.account},
	} {
		if has(test.need) {
			t.Run(test.name, test.run)
		}
	}
	stop()
}

// start runs a program that lives until release is called.
func (s *suite) start(t *testing.T, args ...string) (cmd *exec.Cmd, release func()) {
	t.Helper()
	cmd = exec.Command("/bin/cat", "-")
	cmd.Args = append([]string{"cat", "-"}, args...)
	cmd.Dir = s.dir
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, sync.OnceFunc(func() { in.Close(); cmd.Wait() })
}

func (s *suite) snapshot(t *testing.T) {
	e := s.sink.wait(t, "the test itself as already running", func(e *event.Event) bool {
		return e.GetExec().GetSnapshot() && int(e.Process.Pid) == os.Getpid()
	})
	exe, _ := os.Executable()
	equal(t, "executable", string(e.Process.Executable), exe)
	if len(e.Process.Ancestors) == 0 || int(e.Process.Ancestors[0].Pid) != os.Getppid() || e.Process.Ancestors[0].Start == 0 {
		t.Errorf("ancestors %v, want first %d", e.Process.Ancestors, os.Getppid())
	}
}

func (s *suite) execOf(t *testing.T, pid int) *event.Event {
	t.Helper()
	return s.sink.wait(t, fmt.Sprintf("exec by %d", pid), func(e *event.Event) bool {
		return e.GetExec() != nil && int(e.Process.Pid) == pid && !e.GetExec().Snapshot
	})
}

func (s *suite) exec(t *testing.T) {
	cmd, release := s.start(t)
	defer release()
	e := s.execOf(t, cmd.Process.Pid)
	cat, err := filepath.EvalSymlinks("/bin/cat")
	if err != nil {
		t.Fatal(err)
	}
	p := e.Process
	equal(t, "executable", string(p.Executable), cat)
	equal(t, "args", string(p.Args), "cat\x00-\x00")
	equal(t, "args_length", p.ArgsLength, 0)
	equal(t, "name", string(p.Name), "cat")
	equal(t, "working directory", string(p.WorkingDirectory), s.dir)
	equal(t, "uid", p.Uid, uint32(os.Getuid()))
	equal(t, "gid", p.Gid, uint32(os.Getgid()))
	equal(t, "user", p.User, "root")
	session, _ := unix.Getsid(0)
	equal(t, "session", p.Session, uint32(session))
	equal(t, "login uid", p.LoginUid, loginUID())
	if p.Start == 0 || len(p.Ancestors) == 0 {
		t.Fatalf("start %d, ancestors %v", p.Start, p.Ancestors)
	}
	equal(t, "parent", p.Ancestors[0].Pid, uint32(os.Getpid()))
	exe, _ := os.Executable()
	equal(t, "parent's executable", string(p.Ancestors[0].Executable), exe)
	if len(p.Ancestors) < 2 || int(p.Ancestors[1].Pid) != os.Getppid() {
		t.Errorf("grandparent is not %d: %v", os.Getppid(), p.Ancestors)
	}
	if e.Lag < 0 || time.Duration(e.Lag) > patience {
		t.Errorf("lag %d", e.Lag)
	}
}

// loginUID is the test's own, + 1, 0 if it is not set.
func loginUID() uint32 {
	text, err := os.ReadFile("/proc/self/loginuid")
	var uid uint32
	if err == nil {
		fmt.Sscan(string(text), &uid)
		uid++ // an unset one is 2^32-1
	}
	return uid
}

func (s *suite) longArgs(t *testing.T) {
	long := strings.Repeat("x", 40000)
	cmd, release := s.start(t, long)
	defer release()
	p := s.execOf(t, cmd.Process.Pid).Process
	whole := "cat\x00-\x00" + long + "\x00"
	equal(t, "args as sent", len(p.Args), 32<<10)
	equal(t, "args", strings.HasPrefix(whole, string(p.Args)), true)
	equal(t, "true length", int(p.ArgsLength), len(whole))
}

func (s *suite) exit(t *testing.T) {
	for _, test := range []struct {
		script       string
		code, signal int
	}{{"exit 7", 7, 0}, {"kill -9 $$", 0, 9}} {
		cmd := exec.Command("/bin/sh", "-c", test.script)
		cmd.Run()
		e := s.sink.wait(t, test.script, func(e *event.Event) bool {
			return e.GetExit() != nil && int(e.Process.Pid) == cmd.Process.Pid
		})
		equal(t, "exit code", int(e.GetExit().ExitCode), test.code)
		equal(t, "signal", int(e.GetExit().Signal), test.signal)
		if e.GetExit().Lifetime == 0 {
			t.Error("no lifetime")
		}
	}
}

// every runs processes that end at once: each must at least be told of.
func (s *suite) every(t *testing.T) {
	program := s.program(t, "true")
	pids := map[uint32]bool{}
	for range 200 {
		cmd := exec.Command(program)
		if err := cmd.Run(); err != nil {
			t.Fatal(err)
		}
		pids[uint32(cmd.Process.Pid)] = true
	}
	for pid := range pids {
		s.execOf(t, int(pid))
	}
}

func (s *suite) program(t *testing.T, name string) string {
	t.Helper()
	path := filepath.Join(s.dir, name)
	if _, err := os.Stat(path); err != nil {
		if err := tinyelf.WriteExit(path); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

func (s *suite) instant(t *testing.T) {
	program := s.program(t, "a name with spaces \xff")
	for i := range 50 {
		cmd := exec.Command(program, "", fmt.Sprint(i), strings.Repeat("y", 1000))
		if err := cmd.Run(); err != nil {
			t.Fatal(err)
		}
		p := s.execOf(t, cmd.Process.Pid).Process
		equal(t, "executable", string(p.Executable), program)
		equal(t, "args", string(p.Args), strings.Join(cmd.Args, "\x00")+"\x00")
	}
}

// orphan execs after its parent has ended.
func (s *suite) orphan(t *testing.T) {
	mark := filepath.Join(s.dir, "orphan")
	program := s.program(t, "true")
	cmd := exec.Command("/bin/sh", "-c", `(read x < "$0"; exec "$1" orphan) & exit 0`, mark, program)
	if err := unix.Mkfifo(mark, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(mark, []byte("go\n"), 0); err != nil {
		t.Fatal(err)
	}
	e := s.sink.wait(t, "exec by an orphan", func(e *event.Event) bool {
		return e.GetExec() != nil && bytes.HasSuffix(e.Process.Args, []byte("\x00orphan\x00")) && string(e.Process.Executable) == program
	})
	if len(e.Process.Ancestors) == 0 || int(e.Process.Ancestors[0].Pid) != cmd.Process.Pid {
		t.Fatalf("ancestors %v, want the shell %d that forked it first", e.Process.Ancestors, cmd.Process.Pid)
	}
	equal(t, "grandparent", int(e.Process.Ancestors[1].Pid), os.Getpid())
}

func (s *suite) script(t *testing.T) {
	path := filepath.Join(s.dir, "script.sh")
	if err := os.WriteFile(path, []byte("#!/bin/sh\nexit 0\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, "arg")
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	e := s.execOf(t, cmd.Process.Pid)
	equal(t, "script", string(e.GetExec().Script), path)
	equal(t, "args", string(e.Process.Args), "/bin/sh\x00"+path+"\x00arg\x00")
	sh, _ := filepath.EvalSymlinks("/bin/sh")
	equal(t, "executable", string(e.Process.Executable), sh)
}

func (s *suite) memory(t *testing.T) {
	fd, err := unix.MemfdCreate("payload", 0)
	if err != nil {
		t.Fatal(err)
	}
	file := os.NewFile(uintptr(fd), "payload")
	program, err := tinyelf.Exit()
	if err != nil {
		t.Fatal(err)
	}
	file.Write(program)
	cmd := exec.Command(fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), fd))
	path := cmd.Path
	// A file open for writing cannot run.
	reopened, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	file.Close()
	defer reopened.Close()
	cmd.Path = fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), reopened.Fd())
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	e := s.execOf(t, cmd.Process.Pid)
	equal(t, "from memory", e.GetExec().FromMemory, true)
	equal(t, "executable", string(e.Process.Executable), "/memfd:payload")
}

func (s *suite) sockets(t *testing.T) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range pair {
		defer unix.Close(fd)
	}
	socket := os.NewFile(uintptr(pair[0]), "socket")
	cmd := exec.Command(s.program(t, "true"))
	cmd.Stdin, cmd.Stderr = socket, socket
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	e := s.execOf(t, cmd.Process.Pid)
	equal(t, "streams that are sockets", e.GetExec().SocketStdio, 0b101)
	equal(t, "stdin", string(e.GetExec().Stdin), "socket")
}

const container = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

func (s *suite) container(t *testing.T) {
	h := host.New(64, &obs.Registry{})
	group := filepath.Join(h.Hierarchy.Root, fmt.Sprintf("hauberk-test-%d", os.Getpid()))
	inner := filepath.Join(group, "docker-"+container+".scope")
	if err := os.MkdirAll(inner, 0o755); err != nil {
		t.Fatalf("make a cgroup: %v", err)
	}
	defer os.Remove(group)
	defer os.Remove(inner)
	cmd := exec.Command("/bin/sh", "-c", `echo $$ > "$0/cgroup.procs" && exec "$1"`, inner, s.program(t, "true"))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	e := s.sink.wait(t, "exec in the container", func(e *event.Event) bool {
		return e.GetExec() != nil && int(e.Process.Pid) == cmd.Process.Pid && string(e.Process.Executable) == s.program(t, "true")
	})
	equal(t, "container", e.Process.ContainerId, container)
}

func (s *suite) connect(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		listener, err := net.Listen("tcp", address)
		if err != nil {
			t.Logf("no %s: %v", address, err)
			continue
		}
		conn, err := net.Dial("tcp", listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		e := s.connection(t, event.Direction_DIRECTION_OUTBOUND, conn.RemoteAddr(), 0)
		equal(t, "source", endpoint(e.GetConnection().SourceIp, e.GetConnection().SourcePort), conn.LocalAddr().String())
		equal(t, "pid", int(e.Process.Pid), os.Getpid())
		exe, _ := os.Executable()
		equal(t, "executable", string(e.Process.Executable), exe)
		conn.Close()
		listener.Close()
		if _, err := net.Dial("tcp", listener.Addr().String()); err == nil {
			t.Fatal("somebody else listens")
		}
		s.connection(t, event.Direction_DIRECTION_OUTBOUND, listener.Addr(), int32(syscall.ECONNREFUSED))
	}
}

// connection waits for a connection to an address with an outcome.
func (s *suite) connection(t *testing.T, direction event.Direction, to net.Addr, errno int32) *event.Event {
	t.Helper()
	return s.sink.wait(t, fmt.Sprintf("%s %s with %d", direction, to, errno), func(e *event.Event) bool {
		c := e.GetConnection()
		return c != nil && c.Direction == direction && c.Error == errno && endpoint(c.DestinationIp, c.DestinationPort) == to.String()
	})
}

func endpoint(ip []byte, port uint32) string {
	return (&net.TCPAddr{IP: ip, Port: int(port)}).String()
}

func (s *suite) accept(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	client, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	server, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	e := s.connection(t, event.Direction_DIRECTION_INBOUND, listener.Addr(), 0)
	equal(t, "source", endpoint(e.GetConnection().SourceIp, e.GetConnection().SourcePort), client.LocalAddr().String())
	equal(t, "pid", int(e.Process.Pid), os.Getpid())
}

func (s *suite) listen(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	e := s.connection(t, event.Direction_DIRECTION_LISTEN, listener.Addr(), 0)
	equal(t, "pid", int(e.Process.Pid), os.Getpid())
}

// denied opens a secret as nobody: by its path, by a detour, and relative to
// the working directory of a process of its own.
func (s *suite) denied(t *testing.T) {
	file := filepath.Join(s.secret, "key")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	open := func(path string) {
		t.Helper()
		var err error
		asNobody(func() {
			var fd int
			if fd, err = unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0); err == nil {
				unix.Close(fd)
			}
		})
		if err != unix.EACCES {
			t.Fatalf("open %s as nobody: %v", path, err)
		}
	}
	told := func(path string) *event.Event {
		t.Helper()
		return s.sink.wait(t, "refusal of "+path, func(e *event.Event) bool {
			return e.GetDenied() != nil && string(e.GetDenied().Path) == path
		})
	}
	open(file)
	e := told(file)
	d := e.GetDenied()
	equal(t, "operation", d.Operation, "open")
	equal(t, "errno", d.Error, int32(syscall.EACCES))
	equal(t, "flags", d.Flags&unix.O_ACCMODE, unix.O_RDWR)
	equal(t, "claim", d.PathIsClaim, true)
	equal(t, "pid", int(e.Process.Pid), os.Getpid())
	open(s.dir + "//secret/../secret/other")
	told(filepath.Join(s.secret, "other"))

	cmd := exec.Command("/bin/cat", "secret/third")
	cmd.Dir = s.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	if out, err := cmd.CombinedOutput(); cmd.ProcessState == nil {
		t.Fatalf("%v: %s", err, out)
	}
	e = told(filepath.Join(s.secret, "third"))
	equal(t, "pid", int(e.Process.Pid), cmd.Process.Pid)
	equal(t, "uid", e.Process.Uid, nobody)
	equal(t, "args", string(e.Process.Args), "/bin/cat\x00secret/third\x00")
}

const nobody = 65534

// asNobody runs f in a thread of its own with nobody's identity for files.
func asNobody(f func()) {
	done := make(chan struct{})
	go func() {
		runtime.LockOSThread()
		unix.Setfsuid(nobody)
		f()
		close(done)
	}()
	<-done
}

// account waits until the account closes: nothing waits, nothing is missing.
func (s *suite) account(t *testing.T) {
	accounter := s.source.(Accounter)
	deadline := time.Now().Add(patience)
	for {
		made, seen, lost := accounter.Tally()
		if made > 0 && made == seen+lost {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("made %d, seen %d, lost %d", made, seen, lost)
		}
		runtime.Gosched()
	}
}

func equal[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}
