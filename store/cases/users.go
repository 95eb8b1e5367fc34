package cases

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"
)

// Passwords are kept as argon2id with the parameters OWASP's cheat sheet
// (2025) names first: 19 MiB, 2 passes, 1 lane.
const (
	argonMemory = 19 << 10 // KiB
	argonTime   = 2
	argonLanes  = 1
	argonKey    = 32
	argonSalt   = 16
)

// Bounds of passwords and names, in bytes.
const (
	MinPassword = 10
	MaxPassword = 512
	maxName     = 64
)

// hashPassword returns the hash in the PHC string format.
func (d *DB) hashPassword(password string) string {
	salt := make([]byte, argonSalt)
	rand.Read(salt) // never fails (crypto/rand, Go 1.24)
	e := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, argonMemory, argonTime, argonLanes,
		e.EncodeToString(salt), e.EncodeToString(d.argon(password, salt, argonTime, argonMemory, argonLanes)))
}

func (d *DB) argon(password string, salt []byte, passes, memory uint32, lanes uint8) []byte {
	d.hash <- struct{}{}
	defer func() { <-d.hash }()
	return argon2.IDKey([]byte(password), salt, passes, memory, lanes, argonKey)
}

// checkPassword compares in constant time; a hash that is not one never
// matches.
func (d *DB) checkPassword(password, hash string) bool {
	fields := strings.Split(hash, "$")
	if len(fields) != 6 || fields[1] != "argon2id" {
		return false
	}
	var version int
	var memory, passes uint32
	var lanes uint8
	if _, err := fmt.Sscanf(fields[2], "v=%d", &version); err != nil || version != argon2.Version {
		return false
	}
	if _, err := fmt.Sscanf(fields[3], "m=%d,t=%d,p=%d", &memory, &passes, &lanes); err != nil || passes == 0 || lanes == 0 || memory > 1<<20 {
		return false
	}
	salt, err := base64.RawStdEncoding.DecodeString(fields[4])
	if err != nil {
		return false
	}
	key, err := base64.RawStdEncoding.DecodeString(fields[5])
	if err != nil || len(key) != argonKey {
		return false
	}
	return subtle.ConstantTimeCompare(d.argon(password, salt, passes, memory, lanes), key) == 1
}

// checkNew reports what is wrong with a new password.
func checkNew(password string) error {
	if len(password) < MinPassword || len(password) > MaxPassword {
		return fmt.Errorf("%w: password of %d bytes, want %d to %d", ErrInvalid, len(password), MinPassword, MaxPassword)
	}
	return nil
}

func checkUser(u User) error {
	if _, err := ParseRole(string(u.Role)); err != nil {
		return err
	}
	if u.Name == "" || len(u.Name) > maxName || strings.ContainsFunc(u.Name, func(r rune) bool {
		return r <= ' ' || r == 0x7f || r == '/' || r == '\ufffd'
	}) {
		return fmt.Errorf("%w: user name %q: want 1 to %d bytes without blanks and slashes", ErrInvalid, u.Name, maxName)
	}
	return nil
}

// CreateUser makes an account. An empty password lets nobody log in by one.
func (d *DB) CreateUser(ctx context.Context, u User, password string) error {
	if err := checkUser(u); err != nil {
		return err
	}
	hash := ""
	if password != "" {
		if err := checkNew(password); err != nil {
			return err
		}
		hash = d.hashPassword(password)
	}
	return d.update(ctx, "create user "+u.Name, func(tx *sql.Tx) error {
		r, err := tx.ExecContext(ctx, `INSERT OR IGNORE INTO users (name, role, tenant, hash, disabled, must_change, created, created_by, last_login)
			VALUES (?,?,?,?,?,?,?,?,0)`, u.Name, u.Role, u.Tenant, hash, u.Disabled, u.MustChange, d.now().UnixNano(), u.CreatedBy)
		if err := one(r, err); errors.Is(err, ErrNotFound) {
			return fmt.Errorf("%w: it exists", ErrConflict)
		} else if err != nil {
			return err
		}
		return nil
	})
}

// UpdateUser sets role, tenant and disabled. The last enabled admin of all
// tenants stays one.
func (d *DB) UpdateUser(ctx context.Context, u User) error {
	if err := checkUser(u); err != nil {
		return err
	}
	return d.update(ctx, "update user "+u.Name, func(tx *sql.Tx) error {
		if err := one(tx.ExecContext(ctx, "UPDATE users SET role = ?, tenant = ?, disabled = ? WHERE name = ?", u.Role, u.Tenant, u.Disabled, u.Name)); err != nil {
			return err
		}
		if u.Disabled {
			if _, err := tx.ExecContext(ctx, "DELETE FROM sessions WHERE user = ?", u.Name); err != nil {
				return err
			}
		}
		return adminLeft(ctx, tx)
	})
}

// adminLeft fails when there are users but no admin that could log in for all
// tenants.
func adminLeft(ctx context.Context, tx *sql.Tx) error {
	var admins int
	if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM users WHERE role = ? AND tenant = '' AND NOT disabled AND hash <> ''", RoleAdmin).Scan(&admins); err != nil {
		return err
	}
	if admins == 0 {
		return fmt.Errorf("%w: no admin would be left", ErrConflict)
	}
	return nil
}

// DeleteUser removes an account with its sessions and tokens.
func (d *DB) DeleteUser(ctx context.Context, name string) error {
	return d.update(ctx, "delete user "+name, func(tx *sql.Tx) error {
		if err := one(tx.ExecContext(ctx, "DELETE FROM users WHERE name = ?", name)); err != nil {
			return err
		}
		return adminLeft(ctx, tx)
	})
}

// SetPassword sets a password and ends the user's sessions.
func (d *DB) SetPassword(ctx context.Context, name, password string, mustChange bool) error {
	if err := checkNew(password); err != nil {
		return err
	}
	hash := d.hashPassword(password)
	return d.update(ctx, "set password of "+name, func(tx *sql.Tx) error {
		if err := one(tx.ExecContext(ctx, "UPDATE users SET hash = ?, must_change = ? WHERE name = ?", hash, mustChange, name)); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, "DELETE FROM sessions WHERE user = ?", name)
		return err
	})
}

const userColumns = "name, role, tenant, disabled, must_change, created, created_by, last_login"

func scanUser(row interface{ Scan(...any) error }, more ...any) (User, error) {
	var u User
	err := row.Scan(append([]any{&u.Name, &u.Role, &u.Tenant, &u.Disabled, &u.MustChange, &u.Created, &u.CreatedBy, &u.LastLogin}, more...)...)
	return u, err
}

// Users lists the accounts by name.
func (d *DB) Users(ctx context.Context) ([]User, error) {
	var list []User
	err := d.query(ctx, "list users", func(rows *sql.Rows) error {
		u, err := scanUser(rows)
		list = append(list, u)
		return err
	}, "SELECT "+userColumns+" FROM users ORDER BY name")
	return list, err
}

// User returns an account.
func (d *DB) User(ctx context.Context, name string) (User, error) {
	u, err := scanUser(d.read.QueryRowContext(ctx, "SELECT "+userColumns+" FROM users WHERE name = ?", name))
	if errors.Is(err, sql.ErrNoRows) {
		return u, fmt.Errorf("user %s: %w", name, ErrNotFound)
	}
	if err != nil {
		return u, fmt.Errorf("read user %s: %w", name, err)
	}
	return u, nil
}

// nobody is hashed against when there is no such user, so that the time of an
// answer does not tell whether there is.
const nobody = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

// Authenticate checks a password: the user, or ErrDenied.
func (d *DB) Authenticate(ctx context.Context, name, password string) (User, error) {
	if len(password) > MaxPassword {
		return User{}, ErrDenied
	}
	var hash string
	u, err := scanUser(d.read.QueryRowContext(ctx, "SELECT "+userColumns+", hash FROM users WHERE name = ?", name), &hash)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return User{}, fmt.Errorf("authenticate %s: %w", name, err)
	}
	if hash == "" {
		hash = nobody
	}
	if !d.checkPassword(password, hash) || u.Name == "" || u.Disabled {
		return User{}, ErrDenied
	}
	u.LastLogin = d.now().UnixNano()
	err = d.update(ctx, "note log-in of "+name, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "UPDATE users SET last_login = ? WHERE name = ?", u.LastLogin, name)
		return err
	})
	return u, err
}
