package cases

import (
	"context"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
)

// maxDetail bounds an audit entry's detail, in bytes; the rest is cut.
const maxDetail = 4 << 10

// Audit adds an entry to the audit log. Entries can be neither changed nor
// deleted, not even by this program: triggers of the database refuse.
func (d *DB) Audit(ctx context.Context, e AuditEntry) error {
	if e.Actor == "" || e.Action == "" {
		return fmt.Errorf("%w: audit entry without actor or action", ErrInvalid)
	}
	if e.At == 0 {
		e.At = d.now().UnixNano()
	}
	if len(e.Detail) > maxDetail {
		e.Detail = e.Detail[:maxDetail]
	}
	return d.update(ctx, "add audit entry", func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "INSERT INTO audit (at, actor, tenant, via, address, action, object, detail, outcome) VALUES (?,?,?,?,?,?,?,?,?)",
			e.At, e.Actor, e.Tenant, e.Via, e.Address, e.Action, e.Object, e.Detail, e.Outcome)
		return err
	})
}

// AuditLog lists entries, newest first.
func (d *DB) AuditLog(ctx context.Context, f AuditFilter) (AuditPage, error) {
	var page AuditPage
	limit, err := pageLimit(f.Limit)
	if err != nil {
		return page, err
	}
	w := &where{}
	w.equal("actor", f.Actor)
	w.equal("object", f.Object)
	w.equal("tenant", f.Tenant)
	if f.Action != "" {
		w.add(`action = ? OR action LIKE ? ESCAPE '\'`, f.Action, likeText(f.Action)+".%")
	}
	if f.Since != 0 {
		w.add("at >= ?", f.Since)
	}
	if f.Until != 0 {
		w.add("at < ?", f.Until)
	}
	if f.Cursor != "" {
		raw, err := base64.RawURLEncoding.DecodeString(f.Cursor)
		before, err2 := strconv.ParseInt(string(raw), 10, 64)
		if err != nil || err2 != nil {
			return page, fmt.Errorf("%w: cursor %q", ErrInvalid, f.Cursor)
		}
		w.add("id < ?", before)
	}
	err = d.query(ctx, "list audit entries", func(rows *sql.Rows) error {
		var e AuditEntry
		err := rows.Scan(&e.ID, &e.At, &e.Actor, &e.Tenant, &e.Via, &e.Address, &e.Action, &e.Object, &e.Detail, &e.Outcome)
		page.Entries = append(page.Entries, e)
		return err
	}, "SELECT id, at, actor, tenant, via, address, action, object, detail, outcome FROM audit WHERE "+w.String()+" ORDER BY id DESC LIMIT ?",
		append(w.args, limit+1)...)
	if err != nil {
		return AuditPage{}, err
	}
	if len(page.Entries) > limit {
		page.Entries = page.Entries[:limit]
		page.Next = base64.RawURLEncoding.EncodeToString(strconv.AppendInt(nil, page.Entries[limit-1].ID, 10))
	}
	return page, nil
}

// Setting returns a setting, or ErrNotFound.
func (d *DB) Setting(ctx context.Context, key string) (string, error) {
	var value string
	err := d.read.QueryRowContext(ctx, "SELECT value FROM settings WHERE key = ?", key).Scan(&value)
	if errors.Is(err, sql.ErrNoRows) {
		return "", fmt.Errorf("setting %s: %w", key, ErrNotFound)
	}
	if err != nil {
		return "", fmt.Errorf("read setting %s: %w", key, err)
	}
	return value, nil
}

// SetSetting sets a setting.
func (d *DB) SetSetting(ctx context.Context, key, value, by string) error {
	if key == "" || len(key) > maxText {
		return fmt.Errorf("%w: setting %q", ErrInvalid, key)
	}
	return d.update(ctx, "set setting "+key, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO settings (key, value, by, at) VALUES (?,?,?,?)
			ON CONFLICT (key) DO UPDATE SET value = excluded.value, by = excluded.by, at = excluded.at`, key, value, by, d.now().UnixNano())
		return err
	})
}
