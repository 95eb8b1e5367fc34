// Package store is the store role: it consumes the bus, keeps events in
// store/events and everything that changes (alerts with their state, nodes,
// command results, users, audit) in store/cases, and serves both on a Unix
// socket that only its own user can open. Client is the other end of the
// socket; the protocol is specified in docs/formats/store.md.
//
// It is a process of its own, because the event engine ends its process when
// the disk fails it (docs/adr/0003-event-store.md). run.go has the pipeline
// and the argument why a kill -9 at any moment loses and doubles nothing.
package store
