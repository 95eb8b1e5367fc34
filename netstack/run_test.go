package netstack_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/hauberk/hauberk/netstack"
	"github.com/hauberk/hauberk/netstack/port"
)

// TestRunOneQueue serves in this process.
func TestRunOneQueue(t *testing.T) {
	a, b := port.NewLink(1500)
	client := run(t, a, nil, "10.0.0.1/24")
	cfg := netstack.DefaultConfig()
	cfg.Engine.Addresses = []netip.Prefix{netip.MustParsePrefix("10.0.0.2/24")}
	q := netstack.Queues{Count: 1, Open: func(int) (port.Port, error) { return b, nil }}
	enough := errors.New("enough")
	err := netstack.Run(context.Background(), cfg, q, func(ctx context.Context, s *netstack.Stack) error {
		l := must[net.Listener](t)(s.Listen("tcp", ":7"))
		c := must[net.Conn](t)(client.Dial("tcp", "10.0.0.2:7"))
		must[int](t)(c.Write([]byte("x")))
		must[int](t)(must[net.Conn](t)(l.Accept()).Read(make([]byte, 1)))
		return enough
	})
	if !errors.Is(err, enough) {
		t.Fatal(err)
	}
	broken := netstack.Queues{Count: 1, Open: func(int) (port.Port, error) { return nil, enough }}
	if err := netstack.Run(context.Background(), cfg, broken, nil); !errors.Is(err, enough) {
		t.Fatal(err)
	}
	if err := netstack.Run(context.Background(), cfg, netstack.Queues{}, nil); err == nil {
		t.Fatal("no queues were taken")
	}
}

// TestRunQueues serves from two processes on the two queues of a TUN device; each answers with its number and its
// threads' cores, and a request for /die ends one of them with an error, and so both.
func TestRunQueues(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		cfg := netstack.DefaultConfig()
		cfg.Engine.Addresses = []netip.Prefix{netip.MustParsePrefix("10.77.0.2/24")}
		q := netstack.Queues{Count: 2, Open: func(int) (port.Port, error) { return openQueue(unix.IFF_MULTI_QUEUE) }}
		serve := func(ctx context.Context, s *netstack.Stack) error {
			l, err := s.Listen("tcp", ":80")
			if err != nil {
				return err
			}
			died := make(chan error, 1)
			go func() {
				_ = http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Path == "/die" {
						died <- errors.New("died as asked")
						return
					}
					var cpus unix.CPUSet
					_ = unix.SchedGetaffinity(0, &cpus)
					fmt.Fprintf(w, "%s %d", os.Getenv("HAUBERK_NETSTACK_QUEUE"), cpus.Count())
				}))
			}()
			select {
			case err := <-died:
				return err
			case <-ctx.Done():
				return nil
			}
		}
		if os.Getenv("HAUBERK_NETSTACK_QUEUE") != "" {
			if err := netstack.Run(context.Background(), cfg, q, serve); err != nil {
				fmt.Println(err)
				os.Exit(3)
			}
			os.Exit(0)
		}
		ip(t, "tuntap add dev tun7 mode tun multi_queue")
		configure(t)
		ended := make(chan error, 1)
		go func() { ended <- netstack.Run(context.Background(), cfg, q, serve) }()
		get := func(path string) (string, error) {
			c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
			resp, err := c.Get("http://10.77.0.2" + path)
			if err != nil {
				return "", err
			}
			defer resp.Body.Close()
			b, err := io.ReadAll(resp.Body)
			return string(b), err
		}
		seen := map[string]int{}
		for n := 0; len(seen) < 2; n++ {
			if n == 500 {
				t.Fatalf("500 requests were answered by %v", seen)
			}
			if who, err := get("/"); err == nil {
				seen[who]++
			}
		}
		if seen["0 1"] == 0 || seen["1 1"] == 0 {
			t.Errorf("answered by queue and number of cores: %v", seen)
		}
		go func() { _, _ = get("/die") }() // Has no answer.
		if err := <-ended; err == nil || !strings.Contains(err.Error(), "exit status 3") {
			t.Errorf("run: %v", err)
		}
	})
}
