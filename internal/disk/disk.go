// Package disk keeps a reserve of free disk space, so that intake stops
// before an engine meets the end of the disk, and goes on by itself when
// there is room again.
package disk

import (
	"fmt"
	"sync"
	"time"

	"github.com/hauberk/hauberk/internal/conf"
	"golang.org/x/sys/unix"
)

// Config says how much of a file system stays free. The reserve is the larger
// of both; what is 0 does not count.
type Config struct {
	// Bytes that stay free, 0 to 1 TiB.
	Bytes int64 `yaml:"bytes"`
	// Percent of the file system that stays free, 0 to 50; at most
	// MaxPercentBytes, because 5 % of a large disk is more than any engine
	// needs to end well.
	Percent int `yaml:"percent"`
}

const (
	// MaxPercentBytes bounds what Percent asks for.
	MaxPercentBytes = 16 << 30
	// hysteresis: once below the reserve, a quarter more than the reserve must
	// be free before there is room again, so that intake does not flap.
	hysteresisDivisor = 4
	// fresh is how long a measurement is good: at full disk speed (2 GB/s)
	// less than half of the default reserve is written in it.
	fresh = 200 * time.Millisecond
)

// DefaultConfig reserves 1 GiB or 5 %.
func DefaultConfig() Config { return Config{Bytes: 1 << 30, Percent: 5} }

// Half asks for half the room: for those that go on while others stop.
func (c Config) Half() Config { return Config{Bytes: c.Bytes / 2, Percent: (c.Percent + 1) / 2} }

// Check notes problems, with keys below prefix.
func (c *Config) Check(p *conf.Problems, prefix string) {
	p.Between(prefix+".bytes", c.Bytes, 0, 1<<40)
	p.Between(prefix+".percent", int64(c.Percent), 0, 50)
}

// reserve returns the bytes to keep free of a file system of total bytes.
func (c *Config) reserve(total uint64) uint64 {
	share := min(total/100*uint64(c.Percent), MaxPercentBytes)
	return max(uint64(c.Bytes), share)
}

// Space is a measurement of a file system, in bytes.
type Space struct {
	Free    uint64 `json:"free"` // for a user without privilege
	Total   uint64 `json:"total"`
	Reserve uint64 `json:"reserve"`
	Low     bool   `json:"low"` // intake should stop
}

// String says it for people.
func (s Space) String() string {
	return fmt.Sprintf("%d MiB of %d MiB free, reserve %d MiB", s.Free>>20, s.Total>>20, s.Reserve>>20)
}

// Reserve watches the file system of one folder. Safe for concurrent use.
type Reserve struct {
	config  Config
	path    string
	measure func(path string) (free, total uint64, err error)
	now     func() time.Time

	mu   sync.Mutex
	last Space
	at   time.Time
}

// NewReserve watches the file system that holds path, which must exist when
// Space is called.
func NewReserve(path string, c Config) *Reserve {
	return &Reserve{config: c, path: path, measure: statfs, now: time.Now}
}

// Space measures, at most every 200 ms, and says whether intake should stop.
// Low is kept until a quarter more than the reserve is free.
func (r *Reserve) Space() (Space, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	if age := now.Sub(r.at); !r.at.IsZero() && age >= 0 && age < fresh {
		return r.last, nil
	}
	free, total, err := r.measure(r.path)
	if err != nil {
		return r.last, fmt.Errorf("measure free space of %s: %w", r.path, err)
	}
	s := Space{Free: free, Total: total, Reserve: r.config.reserve(total)}
	needed := s.Reserve
	if r.last.Low {
		needed += needed / hysteresisDivisor
	}
	s.Low = free < needed
	r.last, r.at = s, now
	return s, nil
}

func statfs(path string) (free, total uint64, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return 0, 0, err
	}
	return st.Bavail * uint64(st.Bsize), st.Blocks * uint64(st.Bsize), nil
}
