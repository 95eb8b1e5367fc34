package authlog

import (
	"bytes"
	"net/netip"
	"strconv"
	"time"

	"github.com/hauberk/hauberk/event"
)

// line is a line of a system log, taken apart.
type line struct {
	time    time.Time // zero if it has none that can be read
	service []byte    // sshd, sudo, ...
	pid     uint32
	message []byte
}

// split takes apart a line as rsyslog writes it: "Nov 25 05:00:00 host
// tag[pid]: message" (RFC 3164) or with an RFC 3339 time. now gives the year
// and zone the former lacks.
func split(text []byte, now time.Time) (line, bool) {
	var l line
	rest := text
	if len(text) > 16 && text[3] == ' ' && text[15] == ' ' {
		if t, err := time.ParseInLocation(time.Stamp, string(text[:15]), now.Location()); err == nil {
			t = t.AddDate(now.Year(), 0, 0)
			if t.After(now.AddDate(0, 0, 1)) {
				t = t.AddDate(-1, 0, 0) // written last year
			}
			l.time = t
		}
		rest = text[16:]
	} else {
		stamp, after, ok := bytes.Cut(text, []byte(" "))
		if !ok {
			return l, false
		}
		t, err := time.Parse(time.RFC3339Nano, string(stamp))
		if err != nil {
			return l, false
		}
		l.time, rest = t, after
	}
	_, rest, ok := bytes.Cut(rest, []byte(" ")) // the host
	if !ok {
		return l, false
	}
	tag, message, ok := bytes.Cut(rest, []byte(": "))
	if !ok || len(tag) == 0 || bytes.IndexByte(tag, ' ') >= 0 {
		return l, false
	}
	l.tag(tag)
	l.message = message
	return l, true
}

// tag reads "sshd[42]" or "sudo".
func (l *line) tag(tag []byte) {
	name, pid, ok := bytes.Cut(tag, []byte("["))
	if ok {
		n, _ := strconv.ParseUint(string(bytes.TrimSuffix(pid, []byte("]"))), 10, 32)
		l.pid = uint32(n)
	}
	if i := bytes.LastIndexByte(name, '/'); i >= 0 {
		name = name[i+1:]
	}
	if bytes.HasPrefix(name, []byte("sshd")) { // sshd-session since OpenSSH 9.8
		name = name[:4]
	}
	l.service = name
}

// parse says what a line means, false if it is no log-in. The event borrows
// from the line.
func parse(l line, login *event.Login) bool {
	*login = event.Login{Service: l.service, Message: l.message}
	switch string(l.service) {
	case "sshd":
		return parseSSH(l.message, login)
	case "sudo":
		return parseSudo(l.message, login)
	case "su", "su-l":
		login.Service = l.service[:2]
		return parseSu(l.message, login)
	case "login":
		return parseLogin(l.message, login)
	}
	return parseSession(l.message, login)
}

// parseSSH reads sshd's "Accepted <method> for <user> from <ip> port <n>" and
// its like, and the end of PAM's session.
func parseSSH(m []byte, login *event.Login) bool {
	login.Kind = event.LoginKind_LOGIN_KIND_LOGIN
	rest, ok := bytes.CutPrefix(m, []byte("Accepted "))
	if ok {
		login.Success = true
	} else if rest, ok = bytes.CutPrefix(m, []byte("Failed ")); !ok {
		if user, found := session(m, "closed"); found {
			login.Kind, login.Success, login.User = event.LoginKind_LOGIN_KIND_LOGOUT, true, user
			return true
		}
		return false
	}
	method, rest, ok := bytes.Cut(rest, []byte(" for "))
	if !ok || string(method) == "none" {
		return false // "none" is the client's question for methods
	}
	// The user is the attacker's text and may hold " from ": the address is
	// after the last one.
	i := bytes.LastIndex(rest, []byte(" from "))
	if i < 0 {
		return false
	}
	login.Method = string(method)
	login.User = bytes.TrimPrefix(rest[:i], []byte("invalid user "))
	fields := bytes.Fields(rest[i+len(" from "):])
	if len(fields) < 3 || string(fields[1]) != "port" {
		return false
	}
	if address, err := netip.ParseAddr(string(fields[0])); err == nil {
		login.SourceIp = address.Unmap().AsSlice()
	}
	port, _ := strconv.ParseUint(string(fields[2]), 10, 16)
	login.SourcePort = uint32(port)
	return true
}

// parseSudo reads "alice : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/bin/id",
// with a reason first when it was refused.
func parseSudo(m []byte, login *event.Login) bool {
	by, rest, ok := bytes.Cut(bytes.TrimLeft(m, " "), []byte(" : "))
	if !ok || len(by) == 0 || bytes.IndexByte(by, ' ') >= 0 {
		return false
	}
	login.Kind, login.Success, login.By = event.LoginKind_LOGIN_KIND_SUDO, true, by
	for first := true; len(rest) > 0; first = false {
		if command, ok := bytes.CutPrefix(rest, []byte("COMMAND=")); ok {
			login.Command = command // to the end: it may hold " ; "
			return true
		}
		var field []byte
		field, rest, _ = bytes.Cut(rest, []byte(" ; "))
		key, value, ok := bytes.Cut(field, []byte("="))
		switch {
		case !ok && first:
			login.Success, login.Method = false, string(field)
		case string(key) == "TTY":
			login.Tty = value
		case string(key) == "USER":
			login.User = value
		}
	}
	return !login.Success
}

// parseSu reads util-linux's "(to root) alice on pts/1" and "FAILED SU (to
// root) alice on pts/1"; shadow's and PAM's lines say the same.
func parseSu(m []byte, login *event.Login) bool {
	login.Kind = event.LoginKind_LOGIN_KIND_SU
	rest, failed := bytes.CutPrefix(m, []byte("FAILED SU "))
	if rest, ok := bytes.CutPrefix(rest, []byte("(to ")); ok {
		user, rest, ok := bytes.Cut(rest, []byte(") "))
		if !ok {
			return false
		}
		by, tty, _ := bytes.Cut(rest, []byte(" on "))
		login.User, login.By, login.Tty, login.Success = user, by, tty, !failed
		return true
	}
	return false
}

// parseLogin reads login(1) on a console.
func parseLogin(m []byte, login *event.Login) bool {
	login.Kind = event.LoginKind_LOGIN_KIND_LOGIN
	if rest, ok := bytes.CutPrefix(m, []byte("FAILED LOGIN ")); ok {
		if _, after, ok := bytes.Cut(rest, []byte(" on '")); ok {
			login.Tty, _, _ = bytes.Cut(after, []byte("'"))
		}
		_, user, ok := bytes.Cut(rest, []byte(" FOR '"))
		login.User, _, _ = bytes.Cut(user, []byte("'"))
		login.Method = "password"
		return ok
	}
	return parseSession(m, login)
}

// parseSession reads PAM's sessions of services that say nothing better.
// cron's and systemd's are no log-ins.
func parseSession(m []byte, login *event.Login) bool {
	if user, ok := session(m, "opened"); ok && isLogin(m) {
		login.Kind, login.Success, login.User = event.LoginKind_LOGIN_KIND_LOGIN, true, user
		return true
	}
	if user, ok := session(m, "closed"); ok && isLogin(m) {
		login.Kind, login.Success, login.User = event.LoginKind_LOGIN_KIND_LOGOUT, true, user
		return true
	}
	return false
}

var loginServices = [][]byte{[]byte("(login:"), []byte("(gdm-password:"), []byte("(sddm:"), []byte("(lightdm:"), []byte("(xrdp-sesman:"), []byte("(cockpit:")}

func isLogin(m []byte) bool {
	for _, service := range loginServices {
		if bytes.Contains(m, service) {
			return true
		}
	}
	return false
}

// session reads "pam_unix(sshd:session): session opened for user root(uid=0)
// by (uid=0)".
func session(m []byte, what string) ([]byte, bool) {
	if !bytes.HasPrefix(m, []byte("pam_unix(")) {
		return nil, false
	}
	_, rest, ok := bytes.Cut(m, []byte("): session "+what+" for user "))
	if !ok {
		return nil, false
	}
	user, _, _ := bytes.Cut(rest, []byte(" "))
	user, _, _ = bytes.Cut(user, []byte("("))
	return user, len(user) > 0
}
