package api

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hauberk/hauberk/store/cases"
)

type userAnswer struct {
	Name       string     `json:"name"`
	Role       cases.Role `json:"role"`
	Tenant     string     `json:"tenant,omitempty"`
	Disabled   bool       `json:"disabled"`
	MustChange bool       `json:"must_change_password"`
	Created    string     `json:"created"`
	CreatedBy  string     `json:"created_by,omitempty"`
	LastLogin  string     `json:"last_login,omitempty"`
}

func answerUser(u cases.User) userAnswer {
	return userAnswer{u.Name, u.Role, u.Tenant, u.Disabled, u.MustChange, stamp(u.Created), u.CreatedBy, stamp(u.LastLogin)}
}

func (s *Server) listUsers(c *call) error {
	users, err := s.deps.Store.Users(c.Context())
	if err != nil {
		return err
	}
	out := make([]userAnswer, len(users))
	for i, u := range users {
		out[i] = answerUser(u)
	}
	return c.json(http.StatusOK, pageOf(out, ""))
}

// checkName: letters, digits and . _ - @, so that a name is one word in logs
// and cannot be taken for local:root.
func checkName(name string) error {
	ok := name != "" && len(name) <= maxName
	for i := 0; ok && i < len(name); i++ {
		b := name[i]
		ok = b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= '0' && b <= '9' || strings.IndexByte("._-@", b) >= 0
	}
	if !ok {
		return badRequest("name: want 1 to %d of A-Z a-z 0-9 . _ - @", maxName)
	}
	return nil
}

// createUser gives out a one-time password unless one is given.
func (s *Server) createUser(c *call) error {
	var in struct {
		Name     string `json:"name"`
		Role     string `json:"role"`
		Tenant   string `json:"tenant"`
		Password string `json:"password"`
	}
	if err := c.body(&in); err != nil {
		return err
	}
	c.target, c.note = in.Name, "role "+in.Role
	if err := checkName(in.Name); err != nil {
		return err
	}
	role, err := cases.ParseRole(in.Role)
	if err != nil {
		return err
	}
	out, secret := credentials{Username: in.Name}, in.Password
	if secret == "" {
		secret = oneTimePassword()
		out.Password = secret
	} else if err := checkPassword(secret); err != nil {
		return err
	}
	u := cases.User{Name: in.Name, Role: role, Tenant: in.Tenant, MustChange: out.Password != "", CreatedBy: c.who.Name}
	if err := s.deps.Store.CreateUser(c.Context(), u, secret); err != nil {
		return err
	}
	return c.json(http.StatusCreated, out)
}

// resetPassword sets the password given, or a one-time one, and ends the
// user's sessions.
func (s *Server) resetPassword(c *call) error {
	var in struct {
		Password string `json:"password"`
	}
	if err := c.body(&in); err != nil {
		return err
	}
	out, secret := credentials{Username: c.PathValue("name")}, in.Password
	if secret == "" {
		secret = oneTimePassword()
		out.Password = secret
	} else if err := checkPassword(secret); err != nil {
		return err
	}
	if err := s.deps.Store.SetPassword(c.Context(), out.Username, secret, out.Password != ""); err != nil {
		return err
	}
	s.limiter.Forgive("user:" + out.Username)
	return c.json(http.StatusOK, out)
}

func (s *Server) setRole(c *call) error {
	var in struct {
		Role string `json:"role"`
	}
	if err := c.body(&in); err != nil {
		return err
	}
	role, err := cases.ParseRole(in.Role)
	if err != nil {
		return err
	}
	return s.change(c, func(u *cases.User) {
		c.note = "role " + string(u.Role) + " -> " + in.Role
		u.Role = role
	})
}

// updateUser disables an account, enables it again, or moves it to a tenant.
func (s *Server) updateUser(c *call) error {
	var in struct {
		Tenant   *string `json:"tenant"`
		Disabled *bool   `json:"disabled"`
	}
	if err := c.body(&in); err != nil {
		return err
	}
	return s.change(c, func(u *cases.User) {
		var notes []string
		if in.Tenant != nil {
			notes = append(notes, "tenant "+strconv.Quote(u.Tenant)+" -> "+strconv.Quote(*in.Tenant))
			u.Tenant = *in.Tenant
		}
		if in.Disabled != nil {
			notes = append(notes, map[bool]string{true: "disabled", false: "enabled"}[*in.Disabled])
			u.Disabled = *in.Disabled
		}
		c.note = strings.Join(notes, ", ")
	})
}

// change changes the user in the path and answers with it.
func (s *Server) change(c *call, f func(*cases.User)) error {
	u, err := s.deps.Store.User(c.Context(), c.PathValue("name"))
	if err != nil {
		return err
	}
	f(&u)
	if err := s.deps.Store.UpdateUser(c.Context(), u); err != nil {
		return err
	}
	return c.json(http.StatusOK, answerUser(u))
}

func (s *Server) deleteUser(c *call) error {
	return s.deps.Store.DeleteUser(c.Context(), c.PathValue("name"))
}

type tokenAnswer struct {
	ID       string     `json:"id"`
	Name     string     `json:"name"`
	User     string     `json:"user"`
	Role     cases.Role `json:"role"`
	Created  string     `json:"created"`
	Expires  string     `json:"expires,omitempty"`
	LastUsed string     `json:"last_used,omitempty"`
	Token    string     `json:"token,omitempty"` // once
}

func answerToken(t cases.APIToken, secret string) tokenAnswer {
	return tokenAnswer{t.ID, t.Name, t.User, t.Role, stamp(t.Created), stamp(t.Expires), stamp(t.LastUsed), secret}
}

// ownTokens returns all tokens for administrators, their own for others.
func (s *Server) ownTokens(c *call) ([]cases.APIToken, error) {
	if c.who.Role == cases.RoleAdmin {
		return s.deps.Store.Tokens(c.Context(), "")
	}
	return s.deps.Store.Tokens(c.Context(), c.who.Name)
}

func (s *Server) listTokens(c *call) error {
	tokens, err := s.ownTokens(c)
	if err != nil {
		return err
	}
	out := make([]tokenAnswer, len(tokens))
	for i, t := range tokens {
		out[i] = answerToken(t, "")
	}
	return c.json(http.StatusOK, pageOf(out, ""))
}

// defaultTokenLife and maxTokenLife bound the life of an API token.
const (
	defaultTokenLife = 90 * 24 * time.Hour
	maxTokenLife     = 10 * 366 * 24 * time.Hour
)

// createToken makes a token for whoever asks; an administrator may name
// another user, and on the Unix socket, which has no account, must or gets
// the first administrator's.
func (s *Server) createToken(c *call) error {
	var in struct {
		Name    string `json:"name"`
		User    string `json:"user"`
		Role    string `json:"role"`
		Seconds int64  `json:"seconds"`
	}
	if err := c.body(&in); err != nil {
		return err
	}
	if in.User == "" {
		if in.User = c.who.Name; c.who.Via == "socket" {
			in.User = administrator
		}
	}
	if in.Role == "" {
		in.Role = string(cases.RoleViewer)
	}
	role, err := cases.ParseRole(in.Role)
	if err != nil {
		return err
	}
	life := defaultTokenLife
	if in.Seconds != 0 {
		life = time.Duration(in.Seconds) * time.Second
	}
	switch {
	case in.Name == "" || len(in.Name) > maxName:
		return badRequest("name: say what the token is for, in at most %d bytes", maxName)
	case in.Seconds < 0 || in.Seconds > int64(maxTokenLife/time.Second):
		return badRequest("seconds: %d is outside 1 to %d", in.Seconds, int64(maxTokenLife/time.Second))
	case in.User != c.who.Name && c.who.Role != cases.RoleAdmin:
		return failf(http.StatusForbidden, "role", "only an administrator makes tokens for others")
	case !may(c.who.Role, role):
		return failf(http.StatusForbidden, "role", "a token cannot have the role %s when its maker has %s", role, c.who.Role)
	case c.who.Via == "token":
		return failf(http.StatusForbidden, "role", "a token cannot make tokens; log in")
	}
	secret, t, err := s.deps.Store.CreateToken(c.Context(), in.Name, in.User, role, life)
	if err != nil {
		return err
	}
	c.target, c.note = t.ID, "role "+string(t.Role)+" of "+t.User+": "+t.Name
	return c.json(http.StatusCreated, answerToken(t, secret))
}

func (s *Server) deleteToken(c *call) error {
	tokens, err := s.ownTokens(c)
	if err != nil {
		return err
	}
	id := c.PathValue("id")
	if !slices.ContainsFunc(tokens, func(t cases.APIToken) bool { return t.ID == id }) {
		return failf(http.StatusNotFound, "not-found", "no token %s of yours", id)
	}
	return s.deps.Store.RevokeToken(c.Context(), id)
}
