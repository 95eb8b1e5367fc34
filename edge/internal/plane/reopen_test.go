package plane

import (
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestTablesOutliveTheProcess closes the plane as a dying process does and
// opens it again: programs forward meanwhile, the clock goes on, the session
// is still there, and the links are the same.
func TestTablesOutliveTheProcess(t *testing.T) {
	l := newLab(t)
	pins := filepath.Join(t.TempDir(), "bpf")
	if err := os.Mkdir(pins, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("hauberk-test", pins, "bpf", 0, "mode=0700"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(pins, unix.MNT_DETACH) })
	o := smallOptions()
	o.PinDir, o.Interfaces, o.Partial = pins, []string{"toc", "tos"}, true
	var first, second *Plane
	l.inside(l.edge, func() (err error) {
		first, err = Open(o)
		return err
	})
	if !first.Native("toc") || first.Renewed() {
		t.Error("the first process did not attach natively to new tables")
	}
	if err := first.Apply(labState(FullNAT)); err != nil {
		t.Fatal(err)
	}
	r := &runner{l: l, p: first, ifindex: map[string]int{"toc": 2}}
	frame := buildFrame(netip.MustParseAddrPort("10.0.1.2:999"), netip.MustParseAddrPort("10.0.8.1:80"), protoTCP, nil, 2, nil)
	l.inside(l.edge, func() error {
		_, _, err := r.run("toc", frame)
		return err
	})
	want := onlySession(t, first)
	before := first.clocks.rows[0].Now
	first.Close(true)

	if got := l.in(l.edge, "ip", "link", "show", "toc"); !strings.Contains(got, "xdp") {
		t.Errorf("the program went with its process: %s", got)
	}
	l.inside(l.edge, func() (err error) {
		second, err = Open(o)
		return err
	})
	if !second.Native("toc") || !second.Renewed() {
		t.Error("the second process did not take over")
	}
	if got := onlySession(t, second); got.Client != want.Client || got.Local != want.Local || got.Backend != want.Backend {
		t.Errorf("the session was %+v and is %+v", want, got)
	}
	for second.clocks.rows[0].Now == before { // the kernel's timer moves it
		runtime.Gosched()
	}
	o.Slots *= 2
	l.inside(l.edge, func() error {
		if p, err := Open(o); err == nil {
			t.Error("tables of another size were taken over")
			p.Close(true)
		}
		return nil
	})
	second.Close(false)
	if got := l.in(l.edge, "ip", "link", "show", "toc"); strings.Contains(got, "xdp") {
		t.Errorf("the program is still there: %s", got)
	}
}

func onlySession(t *testing.T, p *Plane) Session {
	t.Helper()
	var found []Session
	p.Sessions(func(s Session) bool { found = append(found, s); return true })
	if len(found) != 1 {
		t.Fatalf("%d sessions, want 1", len(found))
	}
	return found[0]
}
