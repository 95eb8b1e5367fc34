package cases

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Secrets are 32 random bytes after a prefix that tells what they are; only
// their SHA-256 is kept, which is enough for what nobody can guess.
const (
	sessionPrefix = "hbs_"
	tokenPrefix   = "hbt_"
	secretBytes   = 32
	idBytes       = 8
	// MaxSession bounds a session, MaxTokens and maxSessions what one user has.
	MaxSession  = 30 * 24 * time.Hour
	maxTokens   = 100
	maxSessions = 100
	// usedEvery is how exact the last use of a token is kept.
	usedEvery = time.Minute
	maxText   = 256 // of token names, addresses and user agents, in bytes
)

func newSecret(prefix string) (secret, id string, hash []byte) {
	raw := make([]byte, secretBytes+idBytes)
	rand.Read(raw) // never fails (crypto/rand, Go 1.24)
	secret = prefix + base64.RawURLEncoding.EncodeToString(raw[:secretBytes])
	return secret, hex.EncodeToString(raw[secretBytes:]), hashSecret(secret)
}

func hashSecret(secret string) []byte {
	sum := sha256.Sum256([]byte(secret))
	return sum[:]
}

func cut(s string) string {
	if len(s) > maxText {
		return strings.ToValidUTF8(s[:maxText], "")
	}
	return s
}

// CreateSession logs a user in for ttl and returns the token.
func (d *DB) CreateSession(ctx context.Context, user string, ttl time.Duration, address, agent string) (string, Session, error) {
	if ttl <= 0 || ttl > MaxSession {
		return "", Session{}, fmt.Errorf("%w: session of %s, want at most %s", ErrInvalid, ttl, MaxSession)
	}
	secret, id, hash := newSecret(sessionPrefix)
	now := d.now()
	s := Session{ID: id, User: user, Created: now.UnixNano(), Expires: now.Add(ttl).UnixNano(), Address: cut(address), Agent: cut(agent)}
	err := d.update(ctx, "create session of "+user, func(tx *sql.Tx) error {
		if err := enabled(ctx, tx, user); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "DELETE FROM sessions WHERE user = ? AND (expires <= ? OR id NOT IN (SELECT id FROM sessions WHERE user = ? ORDER BY created DESC LIMIT ?))",
			user, s.Created, user, maxSessions-1); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, "INSERT INTO sessions (id, hash, user, created, expires, address, agent) VALUES (?,?,?,?,?,?,?)",
			s.ID, hash, s.User, s.Created, s.Expires, s.Address, s.Agent)
		return err
	})
	if err != nil {
		return "", Session{}, err
	}
	return secret, s, nil
}

// enabled fails unless the user exists and is enabled.
func enabled(ctx context.Context, tx *sql.Tx, user string) error {
	var disabled bool
	err := tx.QueryRowContext(ctx, "SELECT disabled FROM users WHERE name = ?", user).Scan(&disabled)
	if errors.Is(err, sql.ErrNoRows) {
		return ErrNotFound
	}
	if err == nil && disabled {
		return fmt.Errorf("%w: user is disabled", ErrDenied)
	}
	return err
}

// Sessions lists a user's sessions that have not expired, newest first;
// everybody's with "".
func (d *DB) Sessions(ctx context.Context, user string) ([]Session, error) {
	w := &where{}
	w.add("expires > ?", d.now().UnixNano())
	w.equal("user", user)
	var list []Session
	err := d.query(ctx, "list sessions", func(rows *sql.Rows) error {
		var s Session
		err := rows.Scan(&s.ID, &s.User, &s.Created, &s.Expires, &s.Address, &s.Agent)
		list = append(list, s)
		return err
	}, "SELECT id, user, created, expires, address, agent FROM sessions WHERE "+w.String()+" ORDER BY created DESC, id", w.args...)
	return list, err
}

// EndSession ends a session by its id.
func (d *DB) EndSession(ctx context.Context, id string) error {
	return d.update(ctx, "end session "+id, func(tx *sql.Tx) error {
		return one(tx.ExecContext(ctx, "DELETE FROM sessions WHERE id = ?", id))
	})
}

// CreateToken makes an API token and returns its secret. With ttl 0 it does
// not expire.
func (d *DB) CreateToken(ctx context.Context, name, user string, role Role, ttl time.Duration) (string, APIToken, error) {
	if _, err := ParseRole(string(role)); err != nil {
		return "", APIToken{}, err
	}
	if name == "" || len(name) > maxText || ttl < 0 {
		return "", APIToken{}, fmt.Errorf("%w: token %q for %s", ErrInvalid, name, ttl)
	}
	secret, id, hash := newSecret(tokenPrefix)
	t := APIToken{ID: id, Name: name, User: user, Role: role, Created: d.now().UnixNano()}
	if ttl > 0 {
		t.Expires = d.now().Add(ttl).UnixNano()
	}
	err := d.update(ctx, "create token of "+user, func(tx *sql.Tx) error {
		if err := enabled(ctx, tx, user); err != nil {
			return err
		}
		var n int
		if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM tokens WHERE user = ?", user).Scan(&n); err != nil {
			return err
		}
		if n >= maxTokens {
			return fmt.Errorf("%w: the user has %d tokens", ErrConflict, n)
		}
		_, err := tx.ExecContext(ctx, "INSERT INTO tokens (id, hash, name, user, role, created, expires, last_used) VALUES (?,?,?,?,?,?,?,0)",
			t.ID, hash, t.Name, t.User, t.Role, t.Created, t.Expires)
		return err
	})
	if err != nil {
		return "", APIToken{}, err
	}
	return secret, t, nil
}

// Tokens lists a user's API tokens, oldest first; everybody's with "".
func (d *DB) Tokens(ctx context.Context, user string) ([]APIToken, error) {
	w := &where{}
	w.equal("user", user)
	var list []APIToken
	err := d.query(ctx, "list tokens", func(rows *sql.Rows) error {
		var t APIToken
		err := rows.Scan(&t.ID, &t.Name, &t.User, &t.Role, &t.Created, &t.Expires, &t.LastUsed)
		list = append(list, t)
		return err
	}, "SELECT id, name, user, role, created, expires, last_used FROM tokens WHERE "+w.String()+" ORDER BY created, id", w.args...)
	return list, err
}

// RevokeToken revokes an API token by its id.
func (d *DB) RevokeToken(ctx context.Context, id string) error {
	return d.update(ctx, "revoke token "+id, func(tx *sql.Tx) error {
		return one(tx.ExecContext(ctx, "DELETE FROM tokens WHERE id = ?", id))
	})
}

// ranks order the roles.
var ranks = map[Role]int{RoleViewer: 1, RoleAnalyst: 2, RoleAdmin: 3}

// Lower returns the role with fewer rights.
func Lower(a, b Role) Role {
	if ranks[a] <= ranks[b] {
		return a
	}
	return b
}

// Resolve says who a session's token or an API token stands for, or ErrDenied.
func (d *DB) Resolve(ctx context.Context, secret string) (Principal, error) {
	var p Principal
	var disabled bool
	hash, now := hashSecret(secret), d.now().UnixNano()
	var err error
	switch {
	case strings.HasPrefix(secret, sessionPrefix):
		err = d.read.QueryRowContext(ctx, `SELECT s.id, s.expires, u.name, u.role, u.tenant, u.disabled, u.must_change
			FROM sessions s JOIN users u ON u.name = s.user WHERE s.hash = ? AND s.expires > ?`, hash, now).
			Scan(&p.Session, &p.Expires, &p.User, &p.Role, &p.Tenant, &disabled, &p.MustChange)
	case strings.HasPrefix(secret, tokenPrefix):
		var role Role
		var used int64
		err = d.read.QueryRowContext(ctx, `SELECT t.id, t.expires, t.role, t.last_used, u.name, u.role, u.tenant, u.disabled
			FROM tokens t JOIN users u ON u.name = t.user WHERE t.hash = ? AND (t.expires = 0 OR t.expires > ?)`, hash, now).
			Scan(&p.Token, &p.Expires, &role, &used, &p.User, &p.Role, &p.Tenant, &disabled)
		if err == nil && !disabled {
			p.Role = Lower(p.Role, role)
			if now-used > int64(usedEvery) {
				err = d.noteUse(ctx, p.Token, now)
			}
		}
	default:
		return Principal{}, ErrDenied
	}
	if errors.Is(err, sql.ErrNoRows) || err == nil && disabled {
		return Principal{}, ErrDenied
	}
	if err != nil {
		return Principal{}, fmt.Errorf("resolve token: %w", err)
	}
	return p, nil
}

func (d *DB) noteUse(ctx context.Context, id string, now int64) error {
	return d.update(ctx, "note use of token", func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "UPDATE tokens SET last_used = ? WHERE id = ?", now, id)
		return err
	})
}
