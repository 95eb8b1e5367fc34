// Package cases keeps what changes: alerts with their state and history, the
// last word of each node, command results, users, sessions, tokens, the audit
// log and settings, and what the event store must remember across a crash.
// One SQLite file with one writer; PostgreSQL can take its place.
package cases
