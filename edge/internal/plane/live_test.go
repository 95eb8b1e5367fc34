package plane

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hauberk/hauberk/internal/need"
)

func smallOptions() Options {
	o := DefaultOptions()
	o.Slots, o.Flows, o.VIPs, o.Backends, o.Entries = 1<<14, 1<<12, 64, 64, 1<<12
	return o
}

// labState has a VIP of each family and protocol in one mode, before two backends.
func labState(mode Mode) *State {
	s := &State{
		Local:    Local{netip.MustParsePrefix("10.0.9.0/28"), netip.MustParsePrefix("fd00:9::/124")},
		SourceV4: netip.MustParseAddr("10.0.2.1"), SourceV6: netip.MustParseAddr("fd00:2::1"),
	}
	for i, a := range []string{"10.0.2.2", "10.0.2.3", "fd00:2::2", "fd00:2::3"} {
		s.Backends = append(s.Backends, Backend{ID: uint32(i + 1), Addr: netip.MustParseAddr(a), Port: 8080, State: Up})
	}
	id := uint32(0)
	for _, proto := range []uint8{protoTCP, protoUDP} {
		for i, a := range []string{"10.0.8.1", "fd00:8::1"} {
			id++
			s.VIPs = append(s.VIPs, VIP{
				ID: id, Addr: netip.MustParseAddr(a), Proto: proto, FirstPort: 80, LastPort: 80,
				Mode: mode, Choice: ByHash, Table: []uint32{uint32(2*i + 1), uint32(2*i + 2)},
			})
		}
	}
	return s
}

func TestFullNATWithCurlAndNginx(t *testing.T) {
	l := newLab(t)
	nginx, curl := need.Program(t, "nginx"), need.Program(t, "curl")
	p := l.open(smallOptions())
	if err := p.Apply(labState(FullNAT)); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	big := strings.Repeat("the edge carries every byte. ", 1<<17)
	if err := os.WriteFile(filepath.Join(dir, "big"), []byte(big), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	conf := fmt.Sprintf(`daemon off; master_process off; pid %[1]s/pid; error_log %[1]s/error.log; user root;
events {} http { access_log off; client_body_temp_path %[1]s; proxy_temp_path %[1]s; fastcgi_temp_path %[1]s; uwsgi_temp_path %[1]s; scgi_temp_path %[1]s;
server { listen 8080; listen [::]:8080; root %[1]s; location /who { return 200 "$remote_addr $server_addr"; } } }`, dir)
	if err := os.WriteFile(filepath.Join(dir, "conf"), []byte(conf), 0o644); err != nil {
		t.Fatal(err)
	}
	server := exec.Command("ip", "netns", "exec", l.server, nginx, "-c", filepath.Join(dir, "conf"), "-e", filepath.Join(dir, "error.log"))
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Process.Kill(); _ = server.Wait() })
	for _, host := range []string{"10.0.8.1", "[fd00:8::1]"} {
		l.in(l.client, curl, "-sf", "--retry-connrefused", "--retry", "5", "--max-time", "10", "http://"+host+"/who")
		who := map[string]bool{}
		for range 20 {
			who[l.in(l.client, curl, "-sf", "--max-time", "10", "http://"+host+"/who")] = true
		}
		if len(who) < 2 {
			t.Errorf("%s: 20 connections all went to one backend: %v", host, who)
		}
		for w := range who {
			if a := netip.MustParseAddr(strings.Fields(w)[0]); !netip.MustParsePrefix("10.0.9.0/28").Contains(a) && !netip.MustParsePrefix("fd00:9::/124").Contains(a) {
				t.Errorf("%s: the backend saw %s", host, a)
			}
		}
		if got := l.in(l.client, curl, "-sf", "--max-time", "20", "http://"+host+"/big"); got != big {
			t.Errorf("%s: %d bytes came, want %d the same", host, len(got), len(big))
		}
	}
	n := 0
	p.Sessions(func(s Session) bool {
		n++
		if s.Phase < FinClient {
			t.Errorf("session %+v is not over", s)
		}
		return true
	})
	if n < 44 {
		t.Errorf("%d sessions, want at least 44", n)
	}
}
