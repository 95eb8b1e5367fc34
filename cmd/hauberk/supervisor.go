package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hauberk/hauberk/internal/logfile"
	"github.com/hauberk/hauberk/internal/notify"
	"github.com/hauberk/hauberk/internal/run"
)

const (
	// stopPatience is how long a process may take to end after SIGTERM; the
	// store flushes its last rows in it.
	stopPatience = 15 * time.Second
	// restartMin and restartMax bound the pause before a process that ended
	// is started again; after settled without trouble it is restartMin again.
	restartMin = 100 * time.Millisecond
	restartMax = 15 * time.Second
	settled    = time.Minute
	// logLimit bounds each of a process's two log files, in bytes.
	logLimit = 8 << 20
	// longestLogLine is where a line of a process's log is cut on its way to
	// the terminal.
	longestLogLine = 2000
)

// process is one of the platform's processes, as the supervisor keeps it.
type process struct {
	name string
	path string
	args []string
	// exits that no restart can mend: they end the process for good, with
	// its last words as the reason.
	fatal func(exitCode int) bool

	ready     chan struct{} // closed when it first said READY=1
	readyOnce sync.Once
	stop      context.CancelFunc
	done      chan struct{}

	mu       sync.Mutex
	status   string
	lastLine string
	restarts int
	failed   error // set before done is closed, if it ended for good
}

// supervisor starts the platform's processes, starts again those that end,
// and stops them.
type supervisor struct {
	runDir, logDir string
	log            *slog.Logger
	warn           io.Writer // where warnings of the processes are shown as they come
	all            bool      // show every line, not only warnings
	// settled is set once everything is ready. Until then processes that wait
	// for each other complain of it, and only their logs need to know.
	settled atomic.Bool
}

// start runs the process until the returned process is stopped. Its log goes
// to <logDir>/<name>.log.
func (s *supervisor) start(ctx context.Context, p *process) error {
	ctx, p.stop = context.WithCancel(ctx)
	p.ready = make(chan struct{})
	p.done = make(chan struct{})
	logs, err := logfile.Open(filepath.Join(s.logDir, p.name+".log"), logLimit)
	if err != nil {
		return err
	}
	socket := filepath.Join(s.runDir, "notify-"+p.name+".sock")
	listenCtx, stopListening := context.WithCancel(context.Background())
	listening, err := notify.Listen(listenCtx, socket, p.heard)
	if err != nil {
		stopListening()
		return err
	}
	go func() {
		defer close(p.done)
		defer logs.Close()
		// The kernel sends Pdeathsig when the thread that forked ends, so the
		// thread is kept for the life of the process.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := s.keep(ctx, p, socket, logs)
		stopListening()
		<-listening
		os.Remove(socket)
		p.mu.Lock()
		p.failed = err
		p.mu.Unlock()
	}()
	return nil
}

func (p *process) heard(state notify.State) {
	p.mu.Lock()
	if state.Status != "" {
		p.status = state.Status
	}
	p.mu.Unlock()
	if state.Ready {
		p.readyOnce.Do(func() { close(p.ready) })
	}
}

// keep starts the process again whenever it ends, until the context does. It
// returns an error only for an exit that no restart can mend.
func (s *supervisor) keep(ctx context.Context, p *process, socket string, logs io.Writer) error {
	backoff := run.Backoff{Min: restartMin, Max: restartMax}
	for {
		began := time.Now()
		err := s.once(ctx, p, socket, logs)
		if ctx.Err() != nil {
			return nil
		}
		var exit *exec.ExitError
		if errors.As(err, &exit) && p.fatal != nil && p.fatal(exit.ExitCode()) {
			return fmt.Errorf("%s: %s", p.name, p.words())
		}
		if time.Since(began) > settled {
			backoff.Reset()
		}
		pause := restartMin + backoff.Next()
		p.mu.Lock()
		p.restarts++
		p.mu.Unlock()
		level := slog.LevelWarn
		if !s.settled.Load() {
			level = slog.LevelInfo
		}
		s.log.Log(ctx, level, "process ended; starting it again", "process", p.name, "cause", err, "last_line", p.words(), "in", pause.Round(time.Millisecond))
		if run.Sleep(ctx, pause) != nil {
			return nil
		}
	}
}

// once runs the process to its end.
func (s *supervisor) once(ctx context.Context, p *process, socket string, logs io.Writer) error {
	c := exec.CommandContext(ctx, p.path, p.args...)
	c.Env = append(os.Environ(), "NOTIFY_SOCKET="+socket)
	c.Cancel = func() error { return c.Process.Signal(syscall.SIGTERM) }
	c.WaitDelay = stopPatience
	// Its own process group, so that Ctrl-C at the terminal reaches only the
	// supervisor, which then stops the processes in their order.
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	out := &lineWriter{each: func(line []byte) {
		p.mu.Lock()
		p.lastLine = string(line)
		p.mu.Unlock()
		loud := bytes.Contains(line, []byte("level=WARN")) || bytes.Contains(line, []byte("level=ERROR"))
		if s.all || loud && s.settled.Load() {
			fmt.Fprintf(s.warn, "%s: %s\n", p.name, line)
		}
	}}
	c.Stdout, c.Stderr = io.MultiWriter(logs, out), io.MultiWriter(logs, out)
	if err := c.Start(); err != nil {
		return err
	}
	return c.Wait()
}

// words returns the last line the process wrote.
func (p *process) words() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lastLine
}

// end stops the process and waits for it.
func (p *process) end() {
	p.stop()
	<-p.done
}

// awaitReady waits until the process is ready, ended for good, or the context
// ends.
func (p *process) awaitReady(ctx context.Context) error {
	select {
	case <-p.ready:
		return nil
	case <-p.done:
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.failed != nil {
			return p.failed
		}
		return fmt.Errorf("%s ended before it was ready: %s", p.name, p.lastLine)
	case <-ctx.Done():
		return fmt.Errorf("%s is not ready: %w; its last line: %s", p.name, context.Cause(ctx), p.words())
	}
}

// lineWriter calls each for every complete line written to it, cut to
// longestLogLine.
type lineWriter struct {
	mu   sync.Mutex
	buf  []byte
	each func([]byte)
}

func (w *lineWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := len(p)
	for len(p) > 0 {
		advance, line, _ := bufio.ScanLines(p, false)
		if advance == 0 { // no newline yet
			w.buf = append(w.buf, p[:min(len(p), max(0, longestLogLine-len(w.buf)))]...)
			break
		}
		w.buf = append(w.buf, line[:min(len(line), max(0, longestLogLine-len(w.buf)))]...)
		w.each(w.buf)
		w.buf = w.buf[:0]
		p = p[advance:]
	}
	return n, nil
}
