package netstack

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/hauberk/hauberk/netstack/port"
)

// Queues says how the frames of an interface are shared between processes.
type Queues struct {
	Count int // Processes, one for each queue; 1 or more.
	// Open opens a queue's port, 0 to Count-1, in the process of that queue.
	Open func(queue int) (port.Port, error)
	// PortFor says whether answers to local from remote arrive at a queue, so that active opens choose ports whose answers
	// come home. Nil: the program dials nobody, or there is one queue.
	PortFor func(queue int, local, remote netip.AddrPort) bool
}

// The environment of a process of one queue.
const (
	queueVariable = "HAUBERK_NETSTACK_QUEUE"
	seedVariable  = "HAUBERK_NETSTACK_SEED" // All queues share the secret, so that a cookie of one is good at another.
)

// Run gives serve a stack on every queue. One queue is served in this process. For more, this process starts itself again
// once for each, with the same arguments: there Run opens the queue's port, pins the process to one core with GOMAXPROCS 1,
// and calls serve; here Run only waits. So a program calls Run first and does everything else in serve:
//
//	err := netstack.Run(ctx, cfg, queues, func(ctx context.Context, s *netstack.Stack) error {
//		l, err := s.Listen("tcp", ":80")
//		...
//	})
//
// When serve returns, its stack ends; when one process ends all do, and its error is Run's. When ctx ends the processes get
// SIGTERM; when this process is killed they are, too.
func Run(ctx context.Context, cfg Config, q Queues, serve func(context.Context, *Stack) error) error {
	if q.Count < 1 || q.Open == nil {
		return fmt.Errorf("run on %d queues: want 1 or more, and a way to open them", q.Count)
	}
	if text, ok := os.LookupEnv(queueVariable); ok {
		queue, err := strconv.Atoi(text)
		if err != nil || queue < 0 || queue >= q.Count {
			return fmt.Errorf("%s is %q: want 0 to %d", queueVariable, text, q.Count-1)
		}
		seed, err := hex.DecodeString(os.Getenv(seedVariable))
		if err != nil || len(seed) != len(cfg.Engine.Seed) {
			return fmt.Errorf("%s: want %d bytes in hexadecimal", seedVariable, len(cfg.Engine.Seed))
		}
		copy(cfg.Engine.Seed[:], seed)
		if err := pin(queue); err != nil {
			return err
		}
		return serveQueue(ctx, cfg, q, queue, serve)
	}
	if q.Count == 1 {
		return serveQueue(ctx, cfg, q, 0, serve)
	}
	return launch(ctx, cfg, q.Count)
}

// Queue is which queue this process serves; 0 where there is one process only.
func Queue() int {
	n, _ := strconv.Atoi(os.Getenv(queueVariable))
	return n
}

// serveQueue runs a stack on a queue for as long as serve does.
func serveQueue(ctx context.Context, cfg Config, q Queues, queue int, serve func(context.Context, *Stack) error) error {
	p, err := q.Open(queue)
	if err != nil {
		return fmt.Errorf("open queue %d: %w", queue, err)
	}
	cfg.Engine.LearnNeighbours = cfg.Engine.LearnNeighbours || q.Count > 1
	if q.PortFor != nil {
		cfg.Engine.PortFor = func(local, remote netip.AddrPort) bool { return q.PortFor(queue, local, remote) }
	}
	s, err := New(cfg, p)
	if err != nil {
		return errors.Join(err, p.Close())
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		defer cancel() // A stack whose port has gone serves nobody.
		done <- s.Run(ctx)
	}()
	err = serve(ctx, s)
	cancel()
	return errors.Join(err, <-done)
}

// pin ties the process to the core of its queue.
func pin(queue int) error {
	var all, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		return fmt.Errorf("read affinity: %w", err)
	}
	nth := queue % all.Count()
	for cpu := 0; ; cpu++ {
		if all.IsSet(cpu) {
			if nth == 0 {
				one.Set(cpu)
				break
			}
			nth--
		}
	}
	runtime.GOMAXPROCS(1)
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return fmt.Errorf("list threads: %w", err)
	}
	for _, t := range threads { // Later threads inherit it.
		id, _ := strconv.Atoi(t.Name())
		if err := unix.SchedSetaffinity(id, &one); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("pin thread %d: %w", id, err)
		}
	}
	return nil
}

// launch runs this program once for each queue, and ends all when one ends.
func launch(ctx context.Context, cfg Config, count int) error {
	seed := cfg.Engine.Seed
	if seed == [16]byte{} {
		if _, err := rand.Read(seed[:]); err != nil {
			return fmt.Errorf("choose seed: %w", err)
		}
	}
	// The kernel sends Pdeathsig when the thread that started the child ends, so this goroutine keeps its thread.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	errs := make([]error, count+1)
	for i := range count {
		cmd := exec.CommandContext(ctx, "/proc/self/exe", os.Args[1:]...)
		cmd.Args[0] = os.Args[0]
		cmd.Env = append(os.Environ(), fmt.Sprint(queueVariable, "=", i), fmt.Sprintf("%s=%x", seedVariable, seed))
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
		if err := cmd.Start(); err != nil {
			errs[count] = fmt.Errorf("start the process of queue %d: %w", i, err)
			cancel()
			break
		}
		wg.Go(func() {
			err := cmd.Wait()
			if err != nil && ctx.Err() == nil {
				errs[i] = fmt.Errorf("the process of queue %d: %w", i, err)
			}
			cancel()
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}
