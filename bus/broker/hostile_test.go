package broker_test

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/hauberk/hauberk/bus"
	"github.com/hauberk/hauberk/bus/broker"
	"github.com/twmb/franz-go/pkg/kgo"
)

// FuzzRequest sends one request of arbitrary bytes; the broker, which runs in
// this process, must go on serving.
func FuzzRequest(f *testing.F) {
	produce := []byte{0, 0, 0, 9, 0, 0, 0, 1, 0, 1, 'c', 0, 0, 0xff, 0xff, 0, 0, 0, 1, 2}
	f.Add(produce)
	f.Add([]byte{})
	f.Add([]byte{0, 18, 0, 3, 0, 0, 0, 1, 0, 0, 0, 1, 1, 0})
	f.Add([]byte{0, 1, 0, 12, 0, 0, 0, 1, 0xff, 0xff, 0, 0xff, 0xff, 0xff, 0xff})
	f.Add([]byte{0x7f, 0xff, 0, 0, 0, 0, 0, 0, 0, 0})
	c := testConfig(f)
	ctx, stop := context.WithCancel(context.Background())
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- broker.Run(ctx, c, broker.Deps{Ready: func() { close(ready) }}) }()
	<-ready
	f.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			f.Error(err)
		}
	})
	client, err := bus.Open(ctx, busConfig(c.Socket), nil, nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(client.Close)
	f.Fuzz(func(t *testing.T, body []byte) {
		conn, err := net.Dial("unix", c.Socket)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := conn.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)); err != nil {
			t.Fatal(err)
		}
		if err := conn.(*net.UnixConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		// An answer, or the end; a request that waits is cut short.
		_ = conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		_, _ = io.ReadAll(conn)
		if _, err := client.Lag(ctx, "nobody"); err != nil {
			t.Fatalf("broker after %x: %v", body, err)
		}
	})
}

// TestRequestTooLarge: a length that nobody could send ends the connection
// and costs no memory.
func TestRequestTooLarge(t *testing.T) {
	c := testConfig(t)
	start(t, c)
	conn, err := net.Dial("unix", c.Socket)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte{0xff, 0xff, 0xff, 0xf0, 0, 0}); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(conn); err != nil && !isReset(err) {
		t.Fatalf("not hung up: %v", err)
	}
}

func isReset(err error) bool {
	_, ok := err.(*net.OpError)
	return ok
}

// TestAnyClientDrains reads the log as docs/formats/bus.md says: a plain
// Kafka client, a forwarder and a name in the hosts file (here, a dialer that
// knows that one name).
func TestAnyClientDrains(t *testing.T) {
	c := testConfig(t)
	start(t, c)
	ours, err := bus.Open(t.Context(), busConfig(c.Socket), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	if err := ours.Publish(t.Context(), bus.Message{Topic: bus.Events, Key: []byte("k"), Value: []byte("v")}); err != nil {
		t.Fatal(err)
	}
	forwarder := forward(t, c.Socket)
	theirs, err := kgo.NewClient(
		kgo.SeedBrokers(bus.EmbeddedAddress), kgo.ConsumeTopics(bus.Events),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.Dialer(func(ctx context.Context, network, address string) (net.Conn, error) {
			if address == bus.EmbeddedAddress {
				address = forwarder
			}
			return (&net.Dialer{}).DialContext(ctx, network, address)
		}))
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	records := theirs.PollFetches(ctx).Records()
	if len(records) != 1 || string(records[0].Value) != "v" {
		t.Fatalf("drained %v", records)
	}
}

// forward serves the socket on TCP until the test ends.
func forward(t *testing.T, socket string) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	t.Cleanup(wg.Wait)
	t.Cleanup(func() { l.Close() })
	wg.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("unix", socket)
			if err != nil {
				in.Close()
				return
			}
			for _, pair := range [][2]net.Conn{{in, out}, {out, in}} {
				wg.Go(func() {
					_, _ = io.Copy(pair[0], pair[1]) // ends with either side
					pair[0].Close()
					pair[1].Close()
				})
			}
		}
	})
	return l.Addr().String()
}

// TestStaleSocket: a socket left by a killed broker is replaced.
func TestStaleSocket(t *testing.T) {
	c := testConfig(t)
	if err := os.MkdirAll(filepath.Dir(c.Socket), 0o700); err != nil {
		t.Fatal(err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: c.Socket, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	start(t, c)
	client, err := bus.Open(t.Context(), busConfig(c.Socket), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	client.Close()
}
