package porttest

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hauberk/hauberk/internal/need"
)

// InNamespace runs the rest of a test in a process with a network namespace of its own: the test binary runs itself again,
// and the parent reports what the child said.
func InNamespace(t *testing.T, body func(t *testing.T)) {
	t.Helper()
	need.BPF(t)
	if os.Getenv("PORTTEST_NAMESPACE") == t.Name() {
		body(t)
		return
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=120s")
	cmd.Env = append(os.Environ(), "PORTTEST_NAMESPACE="+t.Name())
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// Command runs a command of space-separated words.
func Command(t testing.TB, command string) {
	t.Helper()
	words := strings.Fields(command)
	if out, err := exec.Command(words[0], words[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v %s", command, err, out)
	}
}

// Veth makes a cable in the namespace: one end, near, is for the port under test, and what a raw socket on the other end,
// far, sends and receives is the rest of the Link.
func Veth(t *testing.T, near, far, mtu string) Link {
	t.Helper()
	Command(t, "ip link add "+near+" mtu "+mtu+" type veth peer name "+far+" mtu "+mtu)
	t.Cleanup(func() { _ = exec.Command("ip", "link", "del", near).Run() })
	for _, end := range []string{near, far} {
		if err := os.WriteFile("/proc/sys/net/ipv6/conf/"+end+"/disable_ipv6", []byte("1"), 0o644); err != nil {
			t.Fatal(err)
		}
		Command(t, "ip link set "+end+" up")
	}
	nic, err := net.InterfaceByName(far)
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	const all = unix.ETH_P_ALL << 8 // In network order.
	for _, option := range []struct{ level, name, value int }{
		{unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1}, {unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 16 << 20},
	} {
		if err := unix.SetsockoptInt(fd, option.level, option.name, option.value); err != nil {
			t.Fatal(err)
		}
	}
	patience := unix.NsecToTimeval(int64(patience))
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &patience); err != nil {
		t.Fatal(err)
	}
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: nic.Index}); err != nil {
		t.Fatal(err)
	}
	return Link{
		Inject: func(t *testing.T, packets ...[]byte) {
			for _, p := range packets {
				for end := time.Now().Add(10 * time.Second); ; {
					_, err := unix.Write(fd, p)
					if err == nil {
						break
					}
					if err != unix.ENOBUFS || time.Now().After(end) {
						t.Fatal(err)
					}
				}
			}
		},
		Collect: func(t *testing.T) [][]byte {
			b := make([]byte, 1<<16)
			n, err := unix.Read(fd, b)
			if err != nil {
				t.Fatalf("receive at %s: %v", far, err)
			}
			return [][]byte{bytes.Clone(b[:n])}
		},
	}
}
