// Package hash knows the SHA-256 of executables. Whoever asks never waits: an
// answer is there, or is worked out by one goroutine within a budget of bytes
// per second. Answers are cached by device, inode, size and time of change,
// so a file that changes is hashed again.
package hash

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/hauberk/hauberk/internal/obs"
	"github.com/hauberk/hauberk/internal/run"
)

// Key is what an answer is cached by.
type Key struct {
	Device   uint32
	Inode    uint64
	Size     uint64
	Modified int64 // s
	Nsec     uint32
}

const (
	maxCached = 4096 // executables in use on a host: some hundreds
	maxQueued = 64
	// burst is what may be read at once after a pause: a large program whole.
	burstSeconds = 2
)

// Cache answers. Make one with New; its goroutine is Run.
type Cache struct {
	maxBytes  int64
	perSecond int64
	jobs      chan job

	mu     sync.Mutex
	sums   map[Key]string // empty: in the queue, or failed
	order  []Key          // for forgetting the oldest
	oldest int
	done   func()

	hashed  *obs.Counter
	failed  *obs.Counter
	tooBig  *obs.Counter
	noRoom  *obs.Counter
	changed *obs.Counter
}

type job struct {
	key  Key
	pid  uint32
	path string
}

// New returns a cache for files of at most maxBytes; 0 means never hash.
func New(maxBytes, perSecond int64, counters *obs.Registry) *Cache {
	const name, help = "hauberk_collect_hashes_total", "executables whose SHA-256 was asked for the first time"
	return &Cache{
		maxBytes: maxBytes, perSecond: perSecond, jobs: make(chan job, maxQueued), sums: map[Key]string{}, done: func() {},
		hashed: counters.Counter(name, "result=hashed", help), failed: counters.Counter(name, "result=unreadable", help),
		tooBig: counters.Counter(name, "result=too_big", help), noRoom: counters.Counter(name, "result=queue_full", help),
		changed: counters.Counter(name, "result=changed", help),
	}
}

// OnDone sets what is called after each answer; before Run.
func (c *Cache) OnDone(done func()) { c.done = done }

// Lookup returns the hexadecimal SHA-256 of a file, and else whether it is
// being worked out. pid runs the file, path is its name; both are only ways
// to open it, what is opened is compared with key.
func (c *Cache) Lookup(key Key, pid uint32, path []byte) (sum string, pending bool) {
	if c.maxBytes == 0 {
		return "", false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	sum, known := c.sums[key]
	if known {
		return sum, false
	}
	if key.Size > uint64(c.maxBytes) {
		c.put(key, "")
		c.tooBig.Inc()
		return "", false
	}
	select {
	case c.jobs <- job{key, pid, string(path)}:
		c.put(key, "")
		return "", true
	default:
		c.noRoom.Inc() // it is asked for again at the next exec
		return "", false
	}
}

func (c *Cache) put(key Key, sum string) {
	if _, known := c.sums[key]; !known {
		if len(c.order) < maxCached {
			c.order = append(c.order, key)
		} else {
			delete(c.sums, c.order[c.oldest])
			c.order[c.oldest] = key
			c.oldest = (c.oldest + 1) % maxCached
		}
	}
	c.sums[key] = sum
}

// Run works until ctx ends.
func (c *Cache) Run(ctx context.Context) error {
	var budget budget
	buf := make([]byte, 32<<10)
	for {
		var j job
		select {
		case <-ctx.Done():
			return nil
		case j = <-c.jobs:
		}
		if err := run.Sleep(ctx, budget.take(time.Now(), int64(j.key.Size), c.perSecond)); err != nil {
			return nil
		}
		sum, err := c.hash(j, buf)
		if err != nil {
			c.failed.Inc()
		} else {
			c.hashed.Inc()
		}
		c.mu.Lock()
		c.put(j.key, sum)
		done := c.done
		c.mu.Unlock()
		done()
	}
}

// budget is a bucket of bytes that may run into debt by one file.
type budget struct {
	left int64
	last time.Time
}

// take spends n and returns how long to wait first.
func (b *budget) take(now time.Time, n, perSecond int64) time.Duration {
	if perSecond <= 0 {
		return 0
	}
	full := burstSeconds * perSecond
	if b.last.IsZero() || now.Sub(b.last) > burstSeconds*time.Second {
		b.left = full
	} else {
		b.left = min(full, b.left+int64(now.Sub(b.last).Seconds()*float64(perSecond)))
	}
	b.last = now
	b.left -= n
	if b.left >= 0 {
		return 0
	}
	return time.Duration(float64(-b.left) / float64(perSecond) * float64(time.Second))
}

var errChanged = errors.New("is another file by now")

func (c *Cache) hash(j job, buf []byte) (string, error) {
	f, err := os.Open("/proc/" + strconv.FormatUint(uint64(j.pid), 10) + "/exe")
	if err != nil || !same(f, j.key) {
		if err == nil {
			f.Close()
		}
		if f, err = os.Open(j.path); err != nil {
			return "", fmt.Errorf("open executable: %w", err)
		}
	}
	defer f.Close()
	if !same(f, j.key) {
		c.changed.Inc()
		return "", errChanged
	}
	sum := sha256.New()
	if _, err := io.CopyBuffer(sum, io.LimitReader(f, c.maxBytes), buf); err != nil {
		return "", fmt.Errorf("read executable: %w", err)
	}
	if !same(f, j.key) {
		c.changed.Inc()
		return "", errChanged
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// same compares an open file with a key. The device is left out: some file
// systems (overlayfs, btrfs) show users another one than the kernel has.
func same(f *os.File, key Key) bool {
	info, err := f.Stat()
	if err != nil {
		return false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && stat.Ino == key.Inode && uint64(stat.Size) == key.Size &&
		stat.Mtim.Sec == key.Modified && uint32(stat.Mtim.Nsec) == key.Nsec
}
