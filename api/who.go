package api

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/user"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/hauberk/hauberk/store/cases"
)

// principal is who makes a request.
type principal struct {
	Name       string
	Role       cases.Role
	Tenant     string // whose data they see; empty: everybody's
	Via        string // session, token or socket
	From       string
	MustChange bool
	id         string // of the session or token
}

// peerKey finds the Unix socket's peer in a connection's context.
type peerKey struct{}

// peerContext notes the credentials the kernel keeps of a Unix socket's peer
// (SO_PEERCRED, unix(7)) and refuses to know it if there are none.
func peerContext(ctx context.Context, conn net.Conn) context.Context {
	u, ok := conn.(*net.UnixConn)
	if !ok {
		return ctx
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return ctx
	}
	var cred *unix.Ucred
	var failed error
	if err := raw.Control(func(fd uintptr) {
		cred, failed = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil || failed != nil {
		return ctx
	}
	return context.WithValue(ctx, peerKey{}, cred)
}

// isLocal reports whether the request came by the Unix socket.
func isLocal(q *http.Request) bool {
	a, ok := q.Context().Value(http.LocalAddrContextKey).(net.Addr)
	return ok && a.Network() == "unix"
}

var errNoLogin = failf(http.StatusUnauthorized, "log-in", "log in first (POST /api/v1/session), or send a token (Authorization: Bearer ...)")

// admit finds out who makes the call and whether they may.
func (s *Server) admit(r *route, c *call) error {
	if r.open {
		return nil
	}
	who, err := s.principal(c.Request)
	if err != nil {
		return err
	}
	c.who = who
	switch {
	case r.local && who.Via != "socket":
		return failf(http.StatusForbidden, "local-only", "this works only on the server itself, through its Unix socket")
	case who.MustChange && !r.early:
		return failf(http.StatusForbidden, "password-change", "this password is a one-time one; change it first (PUT /api/v1/session/password)")
	case !may(who.Role, r.role):
		return failf(http.StatusForbidden, "role", "this needs the role %s; %s has %s", r.role, who.Name, who.Role)
	}
	return nil
}

func (s *Server) principal(q *http.Request) (*principal, error) {
	if isLocal(q) {
		return localPrincipal(q)
	}
	secret, via := "", "token"
	if bearer, ok := strings.CutPrefix(q.Header.Get("Authorization"), "Bearer "); ok {
		secret = strings.TrimSpace(bearer)
	} else if cookie, err := q.Cookie(cookieName); err == nil {
		secret, via = cookie.Value, "session"
	}
	if secret == "" || len(secret) > maxSecret {
		return nil, errNoLogin
	}
	p, err := s.deps.Store.Resolve(q.Context(), secret)
	if errors.Is(err, cases.ErrDenied) || err == nil && (p.Session != "") != (via == "session") {
		return nil, failf(http.StatusUnauthorized, "log-in", "the %s is not known or has ended; log in again, or make a new token", via)
	}
	if err != nil {
		return nil, err
	}
	return &principal{
		Name: p.User, Role: p.Role, Tenant: p.Tenant, Via: via, From: addressOf(q), MustChange: p.MustChange, id: p.Session + p.Token,
	}, nil
}

// maxSecret bounds a cookie or token worth looking up, in bytes.
const maxSecret = 512

// localPrincipal acts as an administrator for root and for the user the
// server runs as; the socket's mode keeps others out already.
func localPrincipal(q *http.Request) (*principal, error) {
	cred, ok := q.Context().Value(peerKey{}).(*unix.Ucred)
	if !ok || cred.Uid != 0 && int(cred.Uid) != os.Geteuid() {
		return nil, failf(http.StatusForbidden, "local-only", "this socket serves root and the server's own user only")
	}
	name := "uid " + strconv.Itoa(int(cred.Uid))
	if u, err := user.LookupId(strconv.Itoa(int(cred.Uid))); err == nil {
		name = u.Username
	}
	return &principal{Name: "local:" + name, Role: cases.RoleAdmin, Via: "socket", From: fmt.Sprintf("pid %d, uid %d", cred.Pid, cred.Uid)}, nil
}

func addressOf(q *http.Request) string {
	host, _, err := net.SplitHostPort(q.RemoteAddr)
	if err != nil {
		return q.RemoteAddr
	}
	return host
}
