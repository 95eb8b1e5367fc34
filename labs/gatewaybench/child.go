package main

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/hauberk/hauberk/bus"
	"github.com/hauberk/hauberk/bus/broker"
	"github.com/hauberk/hauberk/control"
	"github.com/hauberk/hauberk/internal/run"
	"github.com/hauberk/hauberk/link"
)

// measure is what a process says of itself.
type measure struct {
	Address string  `json:",omitempty"`
	AnonKB  float64 `json:",omitempty"` // anonymous resident memory after a collection
	CPU     float64 // s, user and system
	Seconds float64 `json:",omitempty"`
}

// process is a child: a line in, a measure out.
type process struct {
	cmd     *exec.Cmd
	in      io.WriteCloser
	out     *json.Decoder
	address string
}

func start(role, dir string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c := &process{cmd: exec.Command(self, "-role", role, "-dir", dir)}
	c.cmd.Stderr = os.Stderr
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	c.out = json.NewDecoder(bufio.NewReader(out))
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	var hello measure
	if err := c.out.Decode(&hello); err != nil {
		c.end()
		return nil, fmt.Errorf("%s process: %w", role, err)
	}
	c.address = hello.Address
	return c, nil
}

// memory makes the process collect its garbage and give back what is free,
// and measures; what comes next is dearer than usual.
func (c *process) memory() (measure, error) { return c.ask("memory") }

// cpu measures only that.
func (c *process) cpu() (float64, error) {
	m, err := c.ask("cpu")
	return m.CPU, err
}

func (c *process) ask(what string) (measure, error) {
	var m measure
	if _, err := fmt.Fprintln(c.in, what); err != nil {
		return m, err
	}
	err := c.out.Decode(&m)
	return m, err
}

func (c *process) end() {
	c.in.Close()
	c.cmd.Wait()
}

// child runs a role until its standard input ends.
func child(ctx context.Context, role, dir string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	g, ctx := run.NewGroup(ctx)
	ready := make(chan string, 2)
	want := 1
	switch role {
	case "engines":
		want = 2
		e := control.DefaultEtcdConfig()
		e.Dir, e.Socket = filepath.Join(dir, "etcd"), filepath.Join(dir, "etcd.sock")
		b := broker.DefaultConfig()
		b.Dir, b.Socket = filepath.Join(dir, "bus"), filepath.Join(dir, "bus.sock")
		g.Go("etcd", func(ctx context.Context) error {
			return control.RunEtcd(ctx, e, slog.New(slog.DiscardHandler), func() { ready <- "" })
		})
		g.Go("broker", func(ctx context.Context) error {
			return broker.Run(ctx, b, broker.Deps{Ready: func() { ready <- "" }})
		})
	case "gateway":
		g.Go("gateway", func(ctx context.Context) error { return runGateway(ctx, dir, ready) })
	case "floor":
		g.Go("floor", func(ctx context.Context) error { return runFloor(ctx, ready) })
	default:
		return fmt.Errorf("unknown role %q", role)
	}
	address := ""
	for range want {
		select {
		case a := <-ready:
			address += a
		case <-ctx.Done():
			return g.Wait()
		}
	}
	err := answer(address)
	cancel()
	return errors.Join(err, g.Wait())
}

// answer speaks with the parent until it is done.
func answer(address string) error {
	out := json.NewEncoder(os.Stdout)
	if err := out.Encode(measure{Address: address}); err != nil {
		return err
	}
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		m := measure{CPU: cpu()}
		if lines.Text() == "memory" {
			var err error
			if m.AnonKB, err = memory(); err != nil {
				return err
			}
		}
		if err := out.Encode(m); err != nil {
			return err
		}
	}
	return nil
}

// memory returns the anonymous resident memory of this process, in KB, after
// a collection.
func memory() (float64, error) {
	debug.FreeOSMemory()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if v, ok := strings.CutPrefix(line, "RssAnon:"); ok {
			return strconv.ParseFloat(strings.Fields(v)[0], 64)
		}
	}
	return 0, errors.New("no RssAnon in /proc/self/status")
}

func cpu() float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(fmt.Sprint("getrusage of oneself: ", err))
	}
	return float64(u.Utime.Sec+u.Stime.Sec) + float64(u.Utime.Usec+u.Stime.Usec)/1e6
}

func runGateway(ctx context.Context, dir string, ready chan<- string) error {
	client, err := bus.Open(ctx, busConfig(dir), slog.New(slog.DiscardHandler), nil)
	if err != nil {
		return err
	}
	defer client.Close()
	g, err := control.New(gatewayConfig(dir), control.Deps{
		Bus: client, Version: "bench", Ready: func(a net.Addr) { ready <- a.String() },
		Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})),
	})
	if err != nil {
		return err
	}
	return g.Run(ctx)
}

// runFloor holds mutually authenticated TLS connections and does nothing with
// them.
func runFloor(ctx context.Context, ready chan<- string) error {
	certificate, err := selfSigned()
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	config := link.ServerTLS(func() (*tls.Certificate, error) { return certificate, nil })
	config.ClientAuth = tls.RequireAnyClientCert
	ready <- l.Addr().String()
	for {
		c, err := l.Accept()
		if err != nil {
			return nil
		}
		go func() {
			t := tls.Server(c, config)
			if t.Handshake() != nil {
				return
			}
			t.Write([]byte{1})
			var one [1]byte
			t.Read(one[:])
		}()
	}
}

// selfSigned returns a certificate of the kind the authority issues.
func selfSigned() (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}
