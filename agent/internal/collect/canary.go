package collect

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hauberk/hauberk/agent/internal/collect/source"
	"github.com/hauberk/hauberk/event"
	"github.com/hauberk/hauberk/internal/tinyelf"
)

// canary does one small thing for each capability and waits until a source
// tells of it. What a canary did is not an event for the master.
type canary struct {
	dir     []byte // with a trailing slash
	program string
	secret  string // a file nobody but root may open
	file    string // is written and removed
	nonce   []byte // stands in the log line
	pid     uint32
	port    atomic.Uint32
	child   atomic.Uint32 // pid of the canary that execs without a name

	mu    sync.Mutex
	fired source.Capability
	wake  chan struct{} // closed and replaced when fired grows
}

// canaryWait is how long a canary may take to fire. auth.log goes through a
// syslog daemon, the rest through a ring read every 50 ms.
const canaryWait = 5 * time.Second

func newCanary(dir string) (*canary, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make canary directory: %w", err)
	}
	var nonce [8]byte
	rand.Read(nonce[:]) // never fails (crypto/rand, Go 1.24)
	c := &canary{
		dir: []byte(dir + "/"), program: filepath.Join(dir, "true"), secret: filepath.Join(dir, "secret"), file: filepath.Join(dir, "file"),
		nonce: []byte(hex.EncodeToString(nonce[:])), pid: uint32(os.Getpid()), wake: make(chan struct{}),
	}
	if err := os.WriteFile(c.secret, nil, 0); err != nil {
		return nil, fmt.Errorf("write canary: %w", err)
	}
	return c, tinyelf.WriteExit(c.program)
}

func (c *canary) remove() { os.RemoveAll(string(c.dir[:len(c.dir)-1])) }

// caught reports whether an event is a canary's, and notes that it fired.
func (c *canary) caught(e *event.Event) bool {
	switch body := e.Body.(type) {
	case *event.Event_Exec:
		return c.ours(e) && c.fire(source.Exec)
	case *event.Event_Exit:
		return c.ours(e) && c.fire(source.Exit)
	case *event.Event_Connection:
		if e.Process.GetPid() != c.pid || body.Connection.DestinationPort != c.port.Load() {
			return false
		}
		switch body.Connection.Direction {
		case event.Direction_DIRECTION_OUTBOUND:
			return c.fire(source.Connect)
		case event.Direction_DIRECTION_INBOUND:
			return c.fire(source.Accept)
		case event.Direction_DIRECTION_LISTEN:
			return c.fire(source.Listen)
		}
	case *event.Event_Denied:
		return bytes.HasPrefix(body.Denied.Path, c.dir) && c.fire(source.Denied)
	case *event.Event_File:
		return bytes.HasPrefix(body.File.Path, c.dir) && c.fire(source.File)
	case *event.Event_Login:
		return bytes.Contains(body.Login.Message, c.nonce) && c.fire(source.Login)
	}
	return false
}

// ours recognises the canary program: by its path or, where the source came
// too late to see it, as a nameless child of this process.
func (c *canary) ours(e *event.Event) bool {
	p := e.Process
	if bytes.HasPrefix(p.GetExecutable(), c.dir) {
		return true
	}
	if e.GetExec() != nil && len(p.GetExecutable()) == 0 && len(p.GetAncestors()) > 0 && p.Ancestors[0].Pid == c.pid {
		c.child.Store(p.Pid)
		return true
	}
	return e.GetExit() != nil && p.GetPid() != 0 && c.child.CompareAndSwap(p.Pid, 0)
}

func (c *canary) fire(what source.Capability) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.fired.Has(what) {
		c.fired |= what
		close(c.wake)
		c.wake = make(chan struct{})
	}
	return true
}

// prove does what the capabilities can see, forgetting what fired before, and
// waits for them. The error names those that did not fire.
func (c *canary) prove(ctx context.Context, want source.Capability) error {
	c.mu.Lock()
	c.fired &^= want
	c.mu.Unlock()
	for _, act := range []struct {
		of source.Capability
		do func(context.Context) error
	}{
		{source.Exec | source.Exit, c.execute}, {source.Connect | source.Accept | source.Listen, c.connect},
		{source.Denied, c.beRefused}, {source.File, c.change}, {source.Login, c.log},
	} {
		if want&act.of == 0 {
			continue
		}
		if err := act.do(ctx); err != nil {
			return fmt.Errorf("canary: %w", err)
		}
	}
	timeout := time.NewTimer(canaryWait)
	defer timeout.Stop()
	for {
		c.mu.Lock()
		missing, wake := want&^c.fired, c.wake
		c.mu.Unlock()
		if missing == 0 {
			return nil
		}
		select {
		case <-wake:
		case <-ctx.Done():
			return ctx.Err()
		case <-timeout.C:
			return fmt.Errorf("canary: no event of %s within %s", missing, canaryWait)
		}
	}
}

func (c *canary) execute(ctx context.Context) error {
	return exec.CommandContext(ctx, c.program).Run()
}

func (c *canary) connect(context.Context) error {
	listener, err := listenAt(&c.port)
	if err != nil {
		return err
	}
	defer listener.Close()
	done := make(chan error, 1)
	go func() {
		conn, err := listener.Accept()
		if err == nil {
			err = conn.Close()
		}
		done <- err
	}()
	conn, err := net.DialTimeout("tcp", listener.Addr().String(), canaryWait)
	if err != nil {
		return err
	}
	conn.Close()
	return <-done
}

// listenAt listens on a free port of loopback that is written to port before
// it listens, because a source may tell of the listener before that returns.
func listenAt(port *atomic.Uint32) (net.Listener, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(fd), "canary")
	defer file.Close() // the listener has its own descriptor
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return nil, err
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		return nil, err
	}
	port.Store(uint32(name.(*unix.SockaddrInet4).Port))
	if err := unix.Listen(fd, 1); err != nil {
		return nil, err
	}
	return net.FileListener(file)
}

// beRefused opens the secret with the file system identity of nobody, in a
// thread that is not used again.
func (c *canary) beRefused(context.Context) error {
	const nobody = 65534
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		unix.Setfsuid(nobody)
		fd, err := unix.Open(c.secret, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err == nil {
			unix.Close(fd)
			done <- errors.New("nobody may open the secret")
			return
		}
		done <- nil
	}()
	return <-done
}

func (c *canary) change(context.Context) error {
	if err := os.WriteFile(c.file, c.nonce, 0o600); err != nil {
		return err
	}
	return os.Remove(c.file)
}

// log writes a line to the system's log as sshd would (syslog(3): facility
// authpriv, severity info).
func (c *canary) log(context.Context) error {
	conn, err := net.Dial("unixgram", "/dev/log")
	if err != nil {
		return fmt.Errorf("no system log to write to: %w", err)
	}
	defer conn.Close()
	_, err = fmt.Fprintf(conn, "<86>%s sshd[%d]: Accepted hauberk-canary for %s from 127.0.0.1 port 1 ssh2", time.Now().Format(time.Stamp), c.pid, c.nonce)
	return err
}
