// Package mode keeps whether the centre stopped this node: state with an
// epoch, obeyed if it is newer than the last, kept across restarts in
// <data-dir>/mode.json.
package mode

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/hauberk/hauberk/fleet"
	"github.com/hauberk/hauberk/internal/durable"
)

const file = "mode.json"

// State is the mode in force.
type State struct {
	Epoch   uint64    `json:"epoch"` // 0: never told
	Stopped bool      `json:"stopped"`
	Author  string    `json:"author,omitempty"`
	Reason  string    `json:"reason,omitempty"`
	Since   time.Time `json:"since,omitzero"`
}

// Keeper holds the state. Safe for concurrent use.
type Keeper struct {
	path  string
	mu    sync.Mutex
	state State
}

// Open reads the state; none is "never told". A spoiled file is an error: a
// stop that someone ordered must not be forgotten silently.
func Open(dir string) (*Keeper, error) {
	k := &Keeper{path: filepath.Join(dir, file)}
	data, err := os.ReadFile(k.path)
	if errors.Is(err, fs.ErrNotExist) {
		return k, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &k.state)
	}
	if err != nil {
		return nil, fmt.Errorf("read mode (remove %s to run again): %w", k.path, err)
	}
	return k, nil
}

// State returns the mode in force.
func (k *Keeper) State() State {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.state
}

// Obey takes over a verified mode if it is newer than the last, and reports
// whether it was. An error with true
// says that it is in force but could not be stored.
func (k *Keeper) Obey(m *fleet.Mode) (bool, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if m.Epoch <= k.state.Epoch {
		return false, nil
	}
	next := State{Epoch: m.Epoch, Stopped: m.Stopped, Author: m.Author, Reason: m.Reason, Since: time.Unix(0, m.Since).UTC()}
	data, err := json.Marshal(next)
	if err != nil {
		return false, err
	}
	// In force even if it cannot be stored: the gateway repeats it.
	k.state = next
	if err := durable.WriteFile(k.path, append(data, '\n'), 0o600); err != nil {
		return true, fmt.Errorf("store mode: %w", err)
	}
	return true, nil
}
