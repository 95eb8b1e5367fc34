package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// inside runs f on a thread in a namespace; the sockets made there stay there.
func (l *lab) inside(name string, f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with its namespace
		fd, err := unix.Open("/run/netns/"+l.ns(name), unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err == nil {
			err = unix.Setns(fd, unix.CLONE_NEWNET)
			err = errors.Join(err, unix.Close(fd))
		}
		if err == nil {
			err = f()
		}
		done <- err
	}()
	return <-done
}

// echo serves RFC 862 in a backend's namespace.
func (l *lab) echo(n node) error {
	var server net.Listener
	if err := l.inside(n.name, func() (err error) {
		server, err = net.Listen("tcp", fmt.Sprintf(":%d", echoPort))
		return err
	}); err != nil {
		return fmt.Errorf("serve echo: %w", err)
	}
	l.closers = append(l.closers, func() { server.Close() })
	l.stopEcho[n.name] = func() { server.Close() }
	go func() {
		for {
			c, err := server.Accept()
			if err != nil {
				return // closed
			}
			go func() {
				defer c.Close()
				io.Copy(c, c) // until the client goes
			}()
		}
	}()
	return nil
}

// interval between two numbers of one connection.
const interval = 100 * time.Millisecond

// traffic is connections over which numbers go and come back.
type traffic struct {
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu     sync.Mutex
	gap    time.Duration // the longest since mark
	echoed int           // numbers since mark
	broken []error
	live   int
}

func (l *lab) startTraffic(connections int) (*traffic, error) {
	ctx, cancel := context.WithCancel(l.ctx)
	t := &traffic{cancel: cancel}
	for range connections {
		var c net.Conn
		if err := l.inside(client.name, func() (err error) {
			c, err = net.DialTimeout("tcp", fmt.Sprintf("%s:%d", vip4, echoPort), 5*time.Second)
			return err
		}); err != nil {
			t.stop()
			return nil, fmt.Errorf("connect %d of %d: %w", t.live+1, connections, err)
		}
		t.live++
		t.wg.Add(1)
		go func() {
			defer t.wg.Done()
			t.talk(ctx, c)
		}()
	}
	return t, nil
}

// talk sends numbers and wants each back.
func (t *traffic) talk(ctx context.Context, c net.Conn) {
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	defer c.Close()
	last := time.Now()
	for number := uint64(1); ; number++ {
		err := once(c, number)
		if ctx.Err() != nil {
			return
		}
		now := time.Now()
		t.mu.Lock()
		t.gap = max(t.gap, now.Sub(last)-interval)
		t.echoed++
		if err != nil {
			t.broken = append(t.broken, fmt.Errorf("number %d: %w", number, err))
			t.mu.Unlock()
			return
		}
		t.mu.Unlock()
		last = now
		if pause(ctx, interval) != nil {
			return
		}
	}
}

func once(c net.Conn, number uint64) error {
	c.SetDeadline(time.Now().Add(maxGap + time.Second))
	var send, got [8]byte
	binary.BigEndian.PutUint64(send[:], number)
	if _, err := c.Write(send[:]); err != nil {
		return err
	}
	if _, err := io.ReadFull(c, got[:]); err != nil {
		return err
	}
	if got != send {
		return fmt.Errorf("%x came back for %x", got, send)
	}
	return nil
}

func (t *traffic) stop() {
	t.cancel()
	t.wg.Wait()
}

// mark begins a new count of gaps.
func (t *traffic) mark() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.gap, t.echoed = 0, 0
}

// verdict is what happened since mark; broken counts since the start.
type verdict struct {
	live, broken, echoed int
	gap                  time.Duration
	first                error
}

func (t *traffic) verdict() verdict {
	t.mu.Lock()
	defer t.mu.Unlock()
	v := verdict{live: t.live, broken: len(t.broken), gap: t.gap, echoed: t.echoed}
	if v.broken > 0 {
		v.first = t.broken[0]
	}
	return v
}

func (v verdict) String() string {
	text := fmt.Sprintf("%d connections, %d broken, %d numbers came back, longest gap %s", v.live, v.broken, v.echoed, v.gap.Round(time.Millisecond))
	if v.first != nil {
		text += "; the first: " + v.first.Error()
	}
	return text
}
