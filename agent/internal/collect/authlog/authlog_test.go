package authlog

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hauberk/hauberk/agent/internal/collect/host"
	"github.com/hauberk/hauberk/event"
	"github.com/hauberk/hauberk/internal/obs"
)

func describe(l *event.Login) string {
	outcome := "no"
	if l.Success {
		outcome = "yes"
	}
	ip := ""
	if a, ok := netip.AddrFromSlice(l.SourceIp); ok {
		ip = netip.AddrPortFrom(a, uint16(l.SourcePort)).String()
	}
	fields := []string{strings.ToLower(strings.TrimPrefix(l.Kind.String(), "LOGIN_KIND_")), outcome, string(l.Service), "user=" + string(l.User)}
	for _, f := range [][2]string{{"by", string(l.By)}, {"from", ip}, {"method", l.Method}, {"tty", string(l.Tty)}, {"command", string(l.Command)}} {
		if f[1] != "" {
			fields = append(fields, f[0]+"="+f[1])
		}
	}
	return strings.Join(fields, " ")
}

// Lines as OpenSSH 9, sudo 1.9, util-linux 2.38 and Linux-PAM 1.5 write them.
var lines = []struct{ text, want string }{
	{"sshd[7]: Accepted publickey for root from 192.0.2.1 port 4711 ssh2: ED25519 SHA256:abc", "login yes sshd user=root from=192.0.2.1:4711 method=publickey"},
	{"sshd-session[7]: Accepted password for bob from 2001:db8::1 port 1 ssh2", "login yes sshd user=bob from=[2001:db8::1]:1 method=password"},
	{"sshd[7]: Failed password for invalid user admin from 192.0.2.1 port 4711 ssh2", "login no sshd user=admin from=192.0.2.1:4711 method=password"},
	{"sshd[7]: Failed password for invalid user x from 9.9.9.9 port 1 ssh2 from 192.0.2.1 port 4711 ssh2", "login no sshd user=x from 9.9.9.9 port 1 ssh2 from=192.0.2.1:4711 method=password"},
	{"sshd[7]: Failed none for invalid user x from 192.0.2.1 port 4711 ssh2", ""},
	{"sshd[7]: pam_unix(sshd:session): session opened for user root(uid=0) by (uid=0)", ""},
	{"sshd[7]: pam_unix(sshd:session): session closed for user root", "logout yes sshd user=root"},
	{"sshd[7]: Invalid user admin from 192.0.2.1 port 4711", ""},
	{"sudo:    alice : TTY=pts/0 ; PWD=/home/alice ; USER=root ; COMMAND=/bin/sh -c echo a ; id", "sudo yes sudo user=root by=alice tty=pts/0 command=/bin/sh -c echo a ; id"},
	{"sudo: mallory : user NOT in sudoers ; TTY=pts/1 ; PWD=/ ; USER=root ; COMMAND=/usr/bin/id", "sudo no sudo user=root by=mallory method=user NOT in sudoers tty=pts/1 command=/usr/bin/id"},
	{"sudo: pam_unix(sudo:session): session opened for user root(uid=0) by alice(uid=1000)", ""},
	{"su[9]: (to root) alice on pts/1", "su yes su user=root by=alice tty=pts/1"},
	{"su[9]: FAILED SU (to root) alice on pts/1", "su no su user=root by=alice tty=pts/1"},
	{"login[3]: FAILED LOGIN (1) on '/dev/tty1' FOR 'root', Authentication failure", "login no login user=root method=password tty=/dev/tty1"},
	{"login[3]: pam_unix(login:session): session opened for user root(uid=0) by LOGIN(uid=0)", "login yes login user=root"},
	{"CRON[5]: pam_unix(cron:session): session opened for user root(uid=0) by (uid=0)", ""},
}

func TestParse(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, head := range []string{"Jan  2 03:04:00 host ", "2026-01-02T03:04:00.000000+00:00 host "} {
		for _, c := range lines {
			l, ok := split([]byte(head+c.text), now)
			if !ok || now.Sub(l.time) != 5*time.Second {
				t.Fatalf("split %q: %+v, %v", head+c.text, l, ok)
			}
			var login event.Login
			got := ""
			if parse(l, &login) {
				got = describe(&login)
			}
			if got != c.want {
				t.Errorf("%s:\n got %s\nwant %s", c.text, got, c.want)
			}
		}
	}
	if l, _ := split([]byte("Dec 31 23:59:59 host x: y"), now); l.time.Year() != 2025 {
		t.Errorf("a line of last year is of %v", l.time)
	}
	for _, text := range []string{"", "x", "Jan  2 03:04:00 host", "2026 host x: y", "Jan  2 03:04:00 host two words: y"} {
		if _, ok := split([]byte(text), now); ok {
			t.Errorf("%q was taken for a line", text)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, c := range lines {
		f.Add([]byte("Jan  2 03:04:00 host " + c.text))
	}
	f.Add([]byte(`{"MESSAGE":[70,97],"SYSLOG_IDENTIFIER":"sshd","_PID":"7"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var login event.Login
		if l, ok := split(text, time.Unix(0, 0)); ok {
			parse(l, &login)
		}
		var e entry
		if json.Unmarshal(text, &e) == nil {
			if l, ok := e.line(); ok {
				parse(l, &login)
			}
		}
	})
}

func TestJournalEntry(t *testing.T) {
	for _, text := range []string{
		`{"MESSAGE":"Accepted password for bob from 192.0.2.1 port 1 ssh2","SYSLOG_IDENTIFIER":"sshd","_PID":"7","__REALTIME_TIMESTAMP":"1000000"}`,
		`{"MESSAGE":[65,99,99,101,112,116,101,100,32,112,97,115,115,119,111,114,100,32,102,111,114,32,98,111,98,32,102,114,111,109,32,49,57,50,46,48,46,50,46,49,32,112,111,114,116,32,49,32,115,115,104,50],"SYSLOG_IDENTIFIER":"sshd","_PID":"7","__REALTIME_TIMESTAMP":"1000000"}`,
	} {
		var e entry
		if err := json.Unmarshal([]byte(text), &e); err != nil {
			t.Fatal(err)
		}
		var login event.Login
		l, ok := e.line()
		if !ok || !parse(l, &login) || l.pid != 7 || l.time.Unix() != 1 || describe(&login) != "login yes sshd user=bob from=192.0.2.1:1 method=password" {
			t.Fatalf("%+v, %v: %s", l, ok, describe(&login))
		}
	}
}

type told chan string

func (t told) Emit(_ event.Class, _ int64, e *event.Event) { t <- describe(e.GetLogin()) }
func (t told) Flush()                                      {}

func (t told) want(test *testing.T, n int) {
	test.Helper()
	select {
	case got := <-t:
		if want := fmt.Sprintf("login yes sshd user=u%d from=192.0.2.1:1 method=password", n); got != want {
			test.Fatalf("told %q, want %q", got, want)
		}
	case <-time.After(10 * time.Second):
		test.Fatalf("not told of line %d", n)
	}
}

// TestRotation writes through a rename, a gap, and a truncation.
func TestRotation(t *testing.T) {
	path := filepath.Join(t.TempDir(), "auth.log")
	write := func(f *os.File, n int) {
		fmt.Fprintf(f, "Jan  2 03:04:00 host sshd[1]: Accepted password for u%d from 192.0.2.1 port 1 ssh2\n", n)
	}
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	write(f, 0) // before the start
	s, err := OpenFile([]string{"/nowhere", path}, host.New(100, &obs.Registry{}), &obs.Registry{})
	if err != nil {
		t.Fatal(err)
	}
	sink := make(told, 100)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.Run(ctx, sink) }()
	write(f, 1)
	sink.want(t, 1)
	os.Rename(path, path+".1")
	write(f, 2) // the daemon has not been told yet
	sink.want(t, 2)
	f.Close()
	if f, err = os.Create(path); err != nil {
		t.Fatal(err)
	}
	write(f, 3)
	sink.want(t, 3)
	f.Truncate(0)
	f.Seek(0, 0)
	fmt.Fprint(f, strings.Repeat("x", 3*maxLine)+"\n")
	write(f, 4)
	sink.want(t, 4)
	if s.cut.Value() != 1 {
		t.Errorf("%d lines were cut, want 1", s.cut.Value())
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}
