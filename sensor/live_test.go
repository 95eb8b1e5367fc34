package sensor

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hauberk/hauberk/internal/need"
	"github.com/hauberk/hauberk/packet"
)

// wire makes a network namespace for this thread, with a pair of interfaces in
// it, and returns a socket that sends on one of them. The thread ends with the
// test.
func wire(t *testing.T, watched, sender string) int {
	t.Helper()
	need.Root(t)
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
	for _, args := range []string{"link add " + watched + " type veth peer name " + sender, "link set " + watched + " up", "link set " + sender + " up"} {
		if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v: %s", args, err, out)
		}
	}
	iface, err := net.InterfaceByName(sender)
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Ifindex: iface.Index}); err != nil {
		t.Fatal(err)
	}
	return fd
}

func datagram(payload string) []byte {
	src, dst := []byte{192, 0, 2, 1}, []byte{192, 0, 2, 2}
	udp := packet.AppendUDP(nil, src, dst, 1111, 2222, []byte(payload))
	b := packet.AppendEthernet(nil, packet.MAC{2, 1}, packet.MAC{2, 2}, packet.EtherIPv4)
	return append(packet.AppendIP(b, src, dst, packet.ProtoUDP, 64, 1, len(udp)), udp...)
}

// TestLive watches an interface: alerts of the rules there are, of those that
// replace them, logs that are begun anew, and an end by the context.
func TestLive(t *testing.T) {
	fd := wire(t, "watched", "sender")
	c := site(t, map[string]string{
		"suricata.yaml": yaml + "outputs: [{eve-log: {types: [alert, flow, stats]}}, {fast: {}}]\n",
		"a.rules":       `alert udp any any -> any any (msg:"first"; content:"one"; sid:1;)` + "\n",
	})
	c.Interface = "watched"
	live, err := OpenLive(c, func(Problem) {})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	type result struct {
		sum Summary
		err error
	}
	done := make(chan result, 1)
	go func() {
		sum, err := live.Run(ctx)
		done <- result{sum, err}
	}()
	fast := filepath.Join(c.LogDir, "fast.log")
	// until sends a datagram until fast.log has the text.
	until := func(payload, text string) {
		t.Helper()
		for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
			if _, err := unix.Write(fd, datagram(payload)); err != nil {
				t.Fatal(err)
			}
			if log, _ := os.ReadFile(fast); strings.Contains(string(log), text) {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("no alert %s", text)
			}
		}
	}
	until("one", "[1:1:0] first")
	if err := os.WriteFile(filepath.Join(c.LogDir, "a.rules"), []byte(`alert udp any any -> any any (msg:"second"; content:"two"; sid:2;)`+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if n, err := live.Reload(); err != nil || n != 1 {
		t.Fatalf("reload: %d rules, %v", n, err)
	}
	if err := os.Rename(fast, fast+".old"); err != nil {
		t.Fatal(err)
	}
	live.Reopen()
	until("two", "[1:2:0] second")
	if log, _ := os.ReadFile(fast); strings.Contains(string(log), "first") {
		t.Error("the log was not begun anew")
	}
	cancel()
	r := <-done
	if r.err != nil || r.sum.Packets == 0 || r.sum.Alerts < 2 || r.sum.Rules != 1 {
		t.Errorf("%+v", r)
	}
	eve, err := os.ReadFile(filepath.Join(c.LogDir, "eve.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"in_iface":"watched"`, `"event_type":"flow"`, `"kernel_packets":`, `"signature":"second"`} {
		if !strings.Contains(string(eve), want) {
			t.Errorf("eve.json lacks %s", want)
		}
	}
	if strings.Contains(string(eve), "pcap_cnt") {
		t.Error("packets of no capture have numbers")
	}
}

func TestLiveRefusals(t *testing.T) {
	need.Root(t)
	c := site(t, map[string]string{"suricata.yaml": yaml, "a.rules": ""})
	c.Interface = "nosuch0"
	if _, err := OpenLive(c, func(Problem) {}); err == nil || !strings.Contains(err.Error(), "nosuch0") {
		t.Errorf("an interface that is not there: %v", err)
	}
}

// TestLiveTrouble watches on while a log cannot be written, says so and counts
// what was lost, and ends with an error when the interface is gone.
func TestLiveTrouble(t *testing.T) {
	fd := wire(t, "watched", "sender")
	c := site(t, map[string]string{
		"suricata.yaml": yaml + "outputs: [{fast: {filename: /dev/full}}]\n",
		"a.rules":       `alert udp any any -> any any (msg:"first"; content:"one"; sid:1;)` + "\n",
	})
	c.Interface = "watched"
	told := make(chan Problem, 10)
	live, err := OpenLive(c, func(p Problem) {
		if p.Part == "logs" {
			told <- p
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		_, err := live.Run(ctx)
		done <- err
	}()
	if _, err := unix.Write(fd, datagram("one")); err != nil {
		t.Fatal(err)
	}
	select {
	case p := <-told:
		if !strings.Contains(p.Text, "no space left") || strings.Contains(p.Text, " 0 bytes") {
			t.Errorf("told %+v", p)
		}
	case err := <-done:
		t.Fatalf("ended, %v", err)
	}
	if out, err := exec.Command("ip", "link", "delete", "watched").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := <-done; err == nil || !strings.Contains(err.Error(), "watched is gone") {
		t.Errorf("the interface went away: %v", err)
	}
}
