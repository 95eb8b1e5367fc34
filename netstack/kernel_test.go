package netstack_test

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/hauberk/hauberk/internal/need"
	"github.com/hauberk/hauberk/netstack"
	"github.com/hauberk/hauberk/netstack/engine"
	"github.com/hauberk/hauberk/netstack/port"
	"github.com/hauberk/hauberk/packet"
)

// inNamespace runs the rest of a test in a process with a network namespace of its own, where the kernel's TCP is the
// other end: the test binary runs itself again, and the parent reports what the child said.
func inNamespace(t *testing.T, body func(t *testing.T)) {
	need.Root(t)
	if os.Getenv("NETSTACK_NAMESPACE") == t.Name() {
		body(t)
		return
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=120s")
	cmd.Env = append(os.Environ(), "NETSTACK_NAMESPACE="+t.Name())
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// device is a TUN device as a port: one system call a packet, enough for a test.
type device struct {
	fd, wake int
	queue    [][]byte
	rng      *rand.Rand
	held     []byte
	impair   impairment
}

// impairment is what happens to packets, as probabilities.
type impairment struct{ loss, duplicate, reorder, corrupt float64 }

// openDevice makes a TUN device with the kernel at 10.77.0.1 and fd77::1.
func openDevice(t *testing.T, i impairment) *device {
	t.Helper()
	d, err := openQueue(0)
	if err != nil {
		t.Fatal(err)
	}
	d.impair = i
	configure(t)
	return d
}

// openQueue opens the device, or with IFF_MULTI_QUEUE a further queue of it.
func openQueue(flags uint16) (*device, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	var req struct {
		name  [16]byte
		flags uint16
		_     [22]byte
	}
	copy(req.name[:], "tun7")
	req.flags = unix.IFF_TUN | unix.IFF_NO_PI | flags
	if _, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.TUNSETIFF, uintptr(unsafe.Pointer(&req))); e != 0 {
		return nil, e
	}
	wake, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	return &device{fd: fd, wake: wake, rng: rand.New(rand.NewPCG(7, 7))}, err
}

// configure gives the device its addresses.
func configure(t *testing.T) {
	t.Helper()
	for _, c := range []string{"link set lo up", "addr add 10.77.0.1/24 dev tun7", "addr add fd77::1/64 dev tun7 nodad",
		"link set tun7 up txqueuelen 5000"} {
		ip(t, c)
	}
}

func ip(t *testing.T, command string) {
	t.Helper()
	if out, err := exec.Command("ip", strings.Fields(command)...).CombinedOutput(); err != nil {
		t.Fatalf("ip %s: %v %s", command, err, out)
	}
}

func (d *device) Info() port.Info { return port.Info{Name: "tun7", MTU: 1500, L3: true} }

func (d *device) Receive(rx []port.Frame) (int, error) {
	n := 0
	for n < len(rx) {
		b := make([]byte, 2048)
		size, err := unix.Read(d.fd, b)
		if errors.Is(err, unix.EAGAIN) {
			break
		}
		if err != nil {
			return n, err
		}
		d.pass(b[:size], func(b []byte) { d.queue = append(d.queue, b) })
		for len(d.queue) > 0 && n < len(rx) {
			rx[n] = port.Frame{Data: d.queue[0]}
			d.queue = d.queue[1:]
			n++
		}
	}
	return n, nil
}

// pass gives a packet on, or does to it what the impairment says.
func (d *device) pass(b []byte, on func([]byte)) {
	x := d.impair
	if d.rng.Float64() < x.loss {
		return
	}
	if d.rng.Float64() < x.corrupt {
		b[d.rng.IntN(len(b))] ^= 1 << d.rng.IntN(8)
	}
	if d.rng.Float64() < x.duplicate {
		on(bytes.Clone(b))
	}
	on(b)
}

func (d *device) Release(...port.Frame) {}
func (d *device) Buffer() (port.Frame, bool) {
	return port.Frame{Data: make([]byte, 0, 2048)}, true
}

// Transmit writes at once; a reordered packet is held back until the next has gone.
func (d *device) Transmit(f port.Frame) {
	d.pass(f.Data, func(b []byte) {
		if d.held == nil && d.rng.Float64() < d.impair.reorder {
			d.held = b
			return
		}
		_, _ = unix.Write(d.fd, b) // What the device does not take is lost, as on any link.
		if d.held != nil {
			_, _ = unix.Write(d.fd, d.held)
			d.held = nil
		}
	})
}
func (d *device) Flush() error { return nil }

func (d *device) Wait(timeout time.Duration) error {
	ms := -1
	if timeout >= 0 {
		ms = int((timeout + time.Millisecond - 1) / time.Millisecond)
	}
	_, err := unix.Poll([]unix.PollFd{{Fd: int32(d.fd), Events: unix.POLLIN}, {Fd: int32(d.wake), Events: unix.POLLIN}}, ms)
	var b [8]byte
	_, _ = unix.Read(d.wake, b[:])
	if errors.Is(err, unix.EINTR) {
		return nil
	}
	return err
}
func (d *device) Wake()             { _, _ = unix.Write(d.wake, binary.NativeEndian.AppendUint64(nil, 1)) }
func (d *device) Stats() port.Stats { return port.Stats{} }
func (d *device) Close() error      { return nil }

// impairments are the links of the lab.
var impairments = []struct {
	name string
	impairment
	size int
}{
	{"clean", impairment{}, 32 << 20},
	{"loss", impairment{loss: 0.01}, 4 << 20},
	{"reorder", impairment{reorder: 0.05}, 8 << 20},
	{"duplicate", impairment{duplicate: 0.05}, 8 << 20},
	{"corrupt", impairment{corrupt: 0.01}, 2 << 20},
	{"all", impairment{loss: 0.005, reorder: 0.02, duplicate: 0.02, corrupt: 0.005}, 2 << 20},
}

// TestKernelBulk moves bytes with checksums between the stack and the kernel: each dials and each sends, over every kind
// of link, IPv4 and IPv6.
func TestKernelBulk(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		d := openDevice(t, impairment{})
		s := run(t, d, nil, "10.77.0.2/24", "fd77::2/64")
		for _, hosts := range [][2]string{{"10.77.0.1", "10.77.0.2"}, {"fd77::1", "fd77::2"}} {
			theirs := must[net.Listener](t)(net.Listen("tcp", net.JoinHostPort(hosts[0], "0")))
			ours := must[net.Listener](t)(s.Listen("tcp", net.JoinHostPort(hosts[1], "0")))
			for _, link := range impairments {
				setImpairment(s, d, link.impairment)
				t.Run(fmt.Sprintf("%s %s", hosts[1], link.name), func(t *testing.T) {
					start := time.Now()
					a, b := connect(t, s.Dial, theirs)
					exchange(t, a, b, link.size)
					a, b = connect(t, net.Dial, ours)
					exchange(t, a, b, link.size)
					t.Logf("%d MiB in %s", 4*link.size>>20, time.Since(start))
				})
			}
		}
		var out bytes.Buffer
		_ = s.View(0).Statistics(&out)
		t.Log("\n" + out.String())
	})
}

func setImpairment(s *netstack.Stack, d *device, i impairment) {
	s.Do(func(*engine.Stack) { d.impair = i })
}

func connect(t *testing.T, dial func(network, address string) (net.Conn, error), l net.Listener) (a, b net.Conn) {
	t.Helper()
	accepted := make(chan net.Conn, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			t.Error(err)
		}
		accepted <- c
	}()
	a = must[net.Conn](t)(dial("tcp", l.Addr().String()))
	return a, <-accepted
}

// exchange sends size bytes each way at once, closes halves, and compares checksums.
func exchange(t *testing.T, a, b net.Conn, size int) {
	t.Helper()
	var sums [4][32]byte
	var wg sync.WaitGroup
	for i, c := range []net.Conn{a, b} {
		wg.Go(func() {
			r := rand.NewChaCha8([32]byte{byte(i), byte(size)})
			h := sha256.New()
			if _, err := io.CopyBuffer(struct{ io.Writer }{io.MultiWriter(h, c)}, io.LimitReader(r, int64(size)), make([]byte, 64<<10)); err != nil {
				t.Error(err)
			}
			if err := c.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
				t.Error(err)
			}
			sums[i] = [32]byte(h.Sum(nil))
		})
		wg.Go(func() {
			h := sha256.New()
			if n, err := io.Copy(h, struct{ io.Reader }{c}); err != nil || n != int64(size) {
				t.Errorf("%d bytes, %v", n, err)
			}
			sums[3-i] = [32]byte(h.Sum(nil))
		})
	}
	wg.Wait()
	a.Close()
	b.Close()
	if sums[0] != sums[2] || sums[1] != sums[3] {
		t.Error("checksums differ")
	}
}

// TestKernelClients drives net/http on the stack with curl, over a link that loses 1 %, and pings it.
func TestKernelClients(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		curl := need.Program(t, "curl")
		d := openDevice(t, impairment{})
		s := run(t, d, nil, "10.77.0.2/24", "fd77::2/64")
		ping(t, 1400)
		ping(t, 1480-8)
		setImpairment(s, d, impairment{loss: 0.01, duplicate: 0.01, reorder: 0.01})
		body := bytes.Repeat([]byte("0123456789abcdef"), 1<<14)
		serve := func(addr string, secure bool) *httptest.Server {
			ts := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write(body) }))
			ts.Listener.Close()
			ts.Listener = must[net.Listener](t)(s.Listen("tcp", addr))
			ts.EnableHTTP2 = true
			ts.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
			if secure {
				ts.StartTLS()
			} else {
				ts.Start()
			}
			t.Cleanup(ts.Close)
			return ts
		}
		serve(":80", false)
		serve(":443", true)
		for _, args := range [][]string{
			slices.Repeat([]string{"http://10.77.0.2/"}, 20),
			slices.Repeat([]string{"http://[fd77::2]/"}, 20),
			append([]string{"--http2", "-k"}, slices.Repeat([]string{"https://10.77.0.2/"}, 10)...),
			append([]string{"-H", "Connection: close"}, slices.Repeat([]string{"http://10.77.0.2/"}, 20)...),
		} {
			out, err := exec.Command(curl, append([]string{"-sSf", "--max-time", "60"}, args...)...).Output()
			urls := slices.DeleteFunc(slices.Clone(args), func(a string) bool { return !strings.HasPrefix(a, "http") })
			if err != nil || !bytes.Equal(out, bytes.Repeat(body, len(urls))) {
				t.Errorf("curl %s: %d bytes, %v", strings.Join(args, " "), len(out), err)
			}
		}
	})
}

// ping sends an echo request of the kernel's with n bytes.
func ping(t *testing.T, n int) {
	t.Helper()
	c := must[net.Conn](t)(net.Dial("ip4:icmp", "10.77.0.2"))
	defer c.Close()
	ask := append([]byte{8, 0, 0, 0, 0, 1, 0, 1}, bytes.Repeat([]byte{'p'}, n)...)
	binary.BigEndian.PutUint16(ask[2:], packet.Checksum(ask))
	must[int](t)(c.Write(ask))
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
	b := make([]byte, 2000)
	got, err := c.Read(b)
	if err != nil || got != 20+len(ask) || b[20] != 0 || !bytes.Equal(b[24:got], ask[4:]) {
		t.Fatalf("ping: %d bytes, %v", got, err)
	}
}

// TestKernelDatagrams echoes datagrams of the kernel, fragmented ones too, both ways round.
func TestKernelDatagrams(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		s := run(t, openDevice(t, impairment{}), nil, "10.77.0.2/24", "fd77::2/64")
		theirs := must[net.PacketConn](t)(net.ListenPacket("udp", "[::]:53"))
		ours := must[*netstack.PacketConn](t)(s.ListenPacket("udp", ":53"))
		for _, p := range []net.PacketConn{theirs, ours} {
			go func() {
				b := make([]byte, 65535)
				for {
					n, from, err := p.ReadFrom(b)
					if err != nil {
						return
					}
					_, _ = p.WriteTo(b[:n], from)
				}
			}()
		}
		for _, c := range []net.Conn{
			must[net.Conn](t)(net.Dial("udp", "10.77.0.2:53")), must[net.Conn](t)(net.Dial("udp", "[fd77::2]:53")),
			must[net.Conn](t)(s.Dial("udp", "10.77.0.1:53")), must[net.Conn](t)(s.Dial("udp", "[fd77::1]:53")),
		} {
			for _, n := range []int{1, 1472, 1473, 9000, 60000} {
				ask, b := bytes.Repeat([]byte{byte(n)}, n), make([]byte, 65535)
				must[int](t)(c.Write(ask))
				_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
				if got, err := c.Read(b); err != nil || !bytes.Equal(b[:got], ask) {
					t.Fatalf("%s: asked with %d bytes, got %d, %v", c.RemoteAddr(), n, got, err)
				}
			}
		}
		c := must[net.Conn](t)(net.Dial("udp", "10.77.0.2:54"))
		must[int](t)(c.Write([]byte("anybody?")))
		if _, err := c.Read(make([]byte, 9)); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("a port without a socket: %v", err)
		}
		if _, err := s.Dial("tcp", netip.AddrPortFrom(netip.MustParseAddr("10.77.0.1"), 1).String()); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("dial a closed port of the kernel: %v", err)
		}
	})
}
