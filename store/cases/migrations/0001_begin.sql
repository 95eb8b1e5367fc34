-- Times are Unix ns. Bodies are protobuf.

CREATE TABLE alerts (
    id          TEXT PRIMARY KEY,
    fingerprint TEXT NOT NULL,
    tenant      TEXT NOT NULL,
    rule_id     TEXT NOT NULL,
    rule_name   TEXT NOT NULL,
    severity    INTEGER NOT NULL,
    techniques  TEXT NOT NULL, -- ' T1059.004 T1190 ': each between spaces
    node        TEXT NOT NULL,
    host        TEXT NOT NULL,
    summary     TEXT NOT NULL,
    count       INTEGER NOT NULL,
    first_seen  INTEGER NOT NULL,
    last_seen   INTEGER NOT NULL,
    state       TEXT NOT NULL,
    state_by    TEXT NOT NULL,
    state_at    INTEGER NOT NULL,
    version     INTEGER NOT NULL,
    body        BLOB NOT NULL  -- event.Alert
) WITHOUT ROWID;
CREATE INDEX alerts_by_time ON alerts (last_seen DESC, id);
CREATE INDEX alerts_by_state ON alerts (state, last_seen DESC);
CREATE INDEX alerts_by_version ON alerts (version);
CREATE INDEX alerts_by_fingerprint ON alerts (fingerprint);

CREATE TABLE alert_history (
    alert   TEXT NOT NULL,
    number  INTEGER NOT NULL, -- from 1, per alert
    at      INTEGER NOT NULL,
    by      TEXT NOT NULL,
    action  TEXT NOT NULL,
    comment TEXT NOT NULL,
    PRIMARY KEY (alert, number)
) WITHOUT ROWID;

CREATE TABLE nodes (
    id      TEXT PRIMARY KEY,
    tenant  TEXT NOT NULL,
    host    TEXT NOT NULL,
    kind    TEXT NOT NULL,
    state   INTEGER NOT NULL,
    gateway TEXT NOT NULL,
    body    BLOB NOT NULL      -- fleet.Presence
) WITHOUT ROWID;
CREATE INDEX nodes_by_host ON nodes (host, id);

CREATE TABLE results (
    command TEXT NOT NULL,
    node    TEXT NOT NULL,
    tenant  TEXT NOT NULL,
    state   INTEGER NOT NULL,
    time    INTEGER NOT NULL,
    body    BLOB NOT NULL,     -- fleet.CommandResult
    PRIMARY KEY (command, node)
) WITHOUT ROWID;
CREATE INDEX results_by_time ON results (time);

CREATE TABLE users (
    name        TEXT PRIMARY KEY,
    role        TEXT NOT NULL,
    tenant      TEXT NOT NULL,
    hash        TEXT NOT NULL, -- argon2id, or empty: no password
    disabled    INTEGER NOT NULL,
    must_change INTEGER NOT NULL,
    created     INTEGER NOT NULL,
    created_by  TEXT NOT NULL,
    last_login  INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE sessions (
    id      TEXT PRIMARY KEY,
    hash    BLOB NOT NULL UNIQUE, -- SHA-256 of the token
    user    TEXT NOT NULL REFERENCES users (name) ON DELETE CASCADE,
    created INTEGER NOT NULL,
    expires INTEGER NOT NULL,
    address TEXT NOT NULL,
    agent   TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX sessions_by_user ON sessions (user);

CREATE TABLE tokens (
    id        TEXT PRIMARY KEY,
    hash      BLOB NOT NULL UNIQUE, -- SHA-256 of the secret
    name      TEXT NOT NULL,
    user      TEXT NOT NULL REFERENCES users (name) ON DELETE CASCADE,
    role      TEXT NOT NULL,
    created   INTEGER NOT NULL,
    expires   INTEGER NOT NULL,
    last_used INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX tokens_by_user ON tokens (user);

CREATE TABLE audit (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    at      INTEGER NOT NULL,
    actor   TEXT NOT NULL,
    tenant  TEXT NOT NULL,
    via     TEXT NOT NULL,
    address TEXT NOT NULL,
    action  TEXT NOT NULL,
    object  TEXT NOT NULL,
    detail  TEXT NOT NULL,
    outcome TEXT NOT NULL
);
CREATE INDEX audit_by_actor ON audit (actor, id);
CREATE TRIGGER audit_keeps BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'audit entries do not change'); END;
CREATE TRIGGER audit_stays BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'audit entries are not deleted'); END;

CREATE TABLE settings (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL,
    by    TEXT NOT NULL,
    at    INTEGER NOT NULL
) WITHOUT ROWID;

-- One row: the newest alert version.
CREATE TABLE versions (alerts INTEGER NOT NULL);
INSERT INTO versions VALUES (0);

-- What the event store remembers across a crash.

-- The numbers of tenants in the event engine; never reused.
CREATE TABLE tenants (
    name   TEXT PRIMARY KEY,
    number INTEGER NOT NULL UNIQUE
) WITHOUT ROWID;

-- One row: no event older than floor, and none of a day that size retention
-- dropped, was stored since the last checkpoint.
CREATE TABLE checkpoint (
    floor   INTEGER NOT NULL,
    dropped INTEGER NOT NULL -- events before this were dropped for their size
);
INSERT INTO checkpoint VALUES (0, 0);

-- Next offset of the bus to store, per partition of the events topic.
CREATE TABLE positions (
    partition INTEGER PRIMARY KEY,
    next      INTEGER NOT NULL
);

-- Per life of a node: which of its events were handled, and what became of
-- those that were not stored.
CREATE TABLE lives (
    node        TEXT NOT NULL,
    incarnation INTEGER NOT NULL,
    seen        BLOB NOT NULL, -- ranges of sequences, see store/ledger
    rejected    TEXT NOT NULL, -- JSON: reason -> events
    produced    INTEGER NOT NULL, -- events the node said it gave a sequence
    dropped     TEXT NOT NULL, -- JSON: reason -> events, as the node said
    changed     INTEGER NOT NULL,
    PRIMARY KEY (node, incarnation)
) WITHOUT ROWID;
CREATE INDEX lives_by_time ON lives (changed);
