package api

import (
	"crypto/rand"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/hauberk/hauberk/store/cases"
)

const (
	// administrator is the name of the first user.
	administrator = "admin"
	// minPassword and maxPassword bound a password, in bytes: NIST SP 800-63B
	// asks for at least 8 and for room up to at least 64.
	minPassword = 12
	maxPassword = 256
	// maxName bounds a user's name, in bytes.
	maxName = 64
)

// oneTimePassword draws 99 random bits that people can type: five groups of
// four letters and digits that are not mistaken for each other.
func oneTimePassword() string {
	const letters = "abcdefghjkmnpqrstuvwxyz23456789"
	var b strings.Builder
	var one [1]byte
	for n := 0; n < 20; {
		rand.Read(one[:]) // never fails (crypto/rand, Go 1.24)
		if int(one[0]) >= len(letters)*(256/len(letters)) {
			continue // it would favour the first letters
		}
		if n > 0 && n%4 == 0 {
			b.WriteByte('-')
		}
		b.WriteByte(letters[int(one[0])%len(letters)])
		n++
	}
	return b.String()
}

func checkPassword(secret string) error {
	distinct := map[rune]bool{}
	for _, r := range secret {
		distinct[r] = true
	}
	switch {
	case len(secret) < minPassword:
		return badRequest("the password has %d bytes; use at least %d, a few words make a good one", len(secret), minPassword)
	case len(secret) > maxPassword:
		return badRequest("the password has %d bytes, at most %d", len(secret), maxPassword)
	case len(distinct) < 5:
		return badRequest("the password repeats a few characters; use a few words")
	}
	return nil
}

// credentials are what setUp and the resetting of a password give out once.
type credentials struct {
	Username string `json:"username"`
	// Password is a one-time one; empty: somebody has chosen one already.
	Password string `json:"password"`
}

// setUp makes the first administrator. Until that one has chosen a password
// each call makes a new one-time password, so that one that was never read
// locks nobody out.
func (s *Server) setUp(c *call) error {
	c.target = administrator
	users, err := s.deps.Store.Users(c.Context())
	if err != nil {
		return err
	}
	once := oneTimePassword()
	switch {
	case len(users) == 0:
		u := cases.User{Name: administrator, Role: cases.RoleAdmin, MustChange: true, CreatedBy: c.who.Name}
		if err := s.deps.Store.CreateUser(c.Context(), u, once); err != nil {
			return err
		}
	case len(users) == 1 && users[0].Name == administrator && users[0].MustChange:
	default:
		return c.json(http.StatusOK, credentials{Username: administrator})
	}
	if err := s.deps.Store.SetPassword(c.Context(), administrator, once, true); err != nil {
		return err
	}
	return c.json(http.StatusOK, credentials{administrator, once})
}

// sessionAnswer says who is logged in.
type sessionAnswer struct {
	Username   string     `json:"username"`
	Role       cases.Role `json:"role"`
	Tenant     string     `json:"tenant,omitempty"`
	Via        string     `json:"via"`
	MustChange bool       `json:"must_change_password"`
	Version    string     `json:"version"`
}

func (s *Server) sessionAnswer(p *principal) sessionAnswer {
	return sessionAnswer{p.Name, p.Role, p.Tenant, p.Via, p.MustChange, s.deps.Version}
}

func (s *Server) getSession(c *call) error {
	return c.json(http.StatusOK, s.sessionAnswer(c.who))
}

// errCredentials never says which of the two is wrong.
var errCredentials = failf(http.StatusUnauthorized, "credentials", "the user or the password is wrong")

func (s *Server) logIn(c *call) error {
	var in struct {
		Username string `json:"username"`
		Password string `json:"password"`
	}
	if err := c.body(&in); err != nil {
		return err
	}
	if len(in.Username) > maxName || len(in.Password) > maxPassword {
		return errCredentials
	}
	from := addressOf(c.Request)
	u, err := s.authenticate(c, in.Username, in.Password, from)
	if err != nil {
		return err
	}
	return s.openSession(c, u, from)
}

// authenticate checks a password, as often as the limits allow: each address,
// and each user from all addresses together.
func (s *Server) authenticate(c *call, name, secret, from string) (cases.User, error) {
	now := s.now()
	keys := []string{from, "user:" + name}
	for _, key := range keys {
		if wait := s.limiter.Wait(key, now); wait > 0 {
			s.count.loginsLimited.Inc()
			p := failf(http.StatusTooManyRequests, "rate", "too many log-ins failed; try again in %s", wait.Round(time.Second))
			p.retry = wait
			return cases.User{}, p
		}
	}
	c.target = name // from here on the attempt is audited
	u, err := s.deps.Store.Authenticate(c.Context(), name, secret)
	if errors.Is(err, cases.ErrDenied) || errors.Is(err, cases.ErrNotFound) {
		for _, key := range keys {
			s.limiter.Fail(key, now)
		}
		s.count.loginsFailed.Inc()
		return u, errCredentials
	}
	if err == nil {
		s.limiter.Forgive("user:" + name)
	}
	return u, err
}

// cookieName: the __Host- prefix makes browsers insist on Secure, on Path=/
// and on no Domain (RFC 6265bis, 4.1.3.2).
const cookieName = "__Host-hauberk"

// openSession answers with a cookie.
func (s *Server) openSession(c *call, u cases.User, from string) error {
	secret, session, err := s.deps.Store.CreateSession(c.Context(), u.Name, s.config.SessionLife, from, clip(c.UserAgent()))
	if err != nil {
		return err
	}
	http.SetCookie(c.w, &http.Cookie{
		Name: cookieName, Value: secret, Path: "/", MaxAge: int(s.config.SessionLife.Seconds()),
		Secure: true, HttpOnly: true, SameSite: http.SameSiteStrictMode,
	})
	c.who = &principal{Name: u.Name, Role: u.Role, Tenant: u.Tenant, Via: "session", From: from, MustChange: u.MustChange, id: session.ID}
	return c.json(http.StatusOK, s.sessionAnswer(c.who))
}

func (s *Server) logOut(c *call) error {
	if c.who.Via != "session" {
		return badRequest("only a session can log out; a token is deleted (DELETE /api/v1/tokens/{id})")
	}
	if err := s.deps.Store.EndSession(c.Context(), c.who.id); err != nil {
		return err
	}
	http.SetCookie(c.w, &http.Cookie{
		Name: cookieName, Path: "/", MaxAge: -1, Secure: true, HttpOnly: true, SameSite: http.SameSiteStrictMode,
	})
	return nil
}

// changePassword ends all sessions of the user and opens a new one.
func (s *Server) changePassword(c *call) error {
	if c.who.Via != "session" {
		return badRequest("only a session changes its own password; use PUT /api/v1/users/{name}/password")
	}
	var in struct {
		Current string `json:"current"`
		New     string `json:"new"`
	}
	if err := c.body(&in); err != nil {
		return err
	}
	if err := checkPassword(in.New); err != nil {
		return err
	}
	if in.New == in.Current {
		return badRequest("the new password is the old one")
	}
	u, err := s.authenticate(c, c.who.Name, in.Current, c.who.From)
	if errors.Is(err, errCredentials) {
		return failf(http.StatusForbidden, "credentials", "the current password is wrong")
	}
	if err != nil {
		return err
	}
	if err := s.deps.Store.SetPassword(c.Context(), u.Name, in.New, false); err != nil {
		return err
	}
	u.MustChange = false
	return s.openSession(c, u, c.who.From)
}
