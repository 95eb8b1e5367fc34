// Package limit counts failures by key, to slow down who guesses passwords.
// It knows no clock.
package limit

import (
	"sync"
	"time"
)

// maxKeys bounds the keys remembered: 4,096 addresses and users at a time.
const maxKeys = 4096

// Limiter refuses a key for Window once it failed Failures times within it.
// Safe for concurrent use.
type Limiter struct {
	Failures int
	Window   time.Duration

	mu   sync.Mutex
	keys map[string]*entry
}

type entry struct {
	failures int
	first    time.Time // of the failures counted
}

// Wait returns how long the key must wait, 0 if it may try now.
func (l *Limiter) Wait(key string, now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.keys[key]
	if e == nil || e.failures < l.Failures {
		return 0
	}
	return max(0, e.first.Add(l.Window).Sub(now))
}

// Fail notes a failure. When too many keys failed, the one that failed first
// is forgotten: guessing from 4,096 addresses still meets the user's limit.
func (l *Limiter) Fail(key string, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.keys[key]
	if e == nil || now.Sub(e.first) >= l.Window {
		if l.keys == nil {
			l.keys = map[string]*entry{}
		}
		if e == nil && len(l.keys) >= maxKeys {
			l.forget(now)
		}
		e = &entry{first: now}
		l.keys[key] = e
	}
	e.failures++
}

// Forgive forgets a key's failures.
func (l *Limiter) Forgive(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.keys, key)
}

func (l *Limiter) forget(now time.Time) {
	oldest, at := "", now
	for key, e := range l.keys {
		if now.Sub(e.first) >= l.Window {
			delete(l.keys, key)
		} else if !e.first.After(at) {
			oldest, at = key, e.first
		}
	}
	if len(l.keys) >= maxKeys {
		delete(l.keys, oldest)
	}
}
