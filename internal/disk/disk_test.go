package disk

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/hauberk/hauberk/internal/conf"
)

func TestReserveStopsAndGoesOn(t *testing.T) {
	const total = 10 << 30
	now := time.Unix(1, 0)
	var free uint64
	r := NewReserve("/x", Config{Bytes: 1 << 30})
	r.now = func() time.Time { return now }
	r.measure = func(path string) (uint64, uint64, error) { return free, total, nil }
	for i, step := range []struct {
		free uint64
		low  bool
	}{
		{2 << 30, false},
		{1 << 30, false},
		{1<<30 - 1, true},
		{1 << 30, true},           // not yet: a quarter more is asked for
		{1<<30 + 1<<28 - 1, true}, // still not
		{1<<30 + 1<<28, false},
		{1 << 30, false}, // and the reserve itself counts again
	} {
		free = step.free
		now = now.Add(time.Second)
		s, err := r.Space()
		if err != nil || s.Low != step.low {
			t.Errorf("step %d: free %d: low %v (%v), want %v", i, step.free, s.Low, err, step.low)
		}
	}
}

func TestReserveTakesTheLarger(t *testing.T) {
	for _, c := range []struct {
		config Config
		total  uint64
		want   uint64
	}{
		{Config{Bytes: 1 << 30, Percent: 5}, 10 << 30, 1 << 30},
		{Config{Bytes: 1 << 30, Percent: 5}, 100 << 30, (100 << 30) / 100 * 5},
		{Config{Bytes: 1 << 30, Percent: 5}, 100 << 40, MaxPercentBytes},
		{Config{}, 1 << 40, 0},
	} {
		if got := c.config.reserve(c.total); got != c.want {
			t.Errorf("%+v of %d: %d, want %d", c.config, c.total, got, c.want)
		}
	}
}

func TestReserveMeasuresSeldomAndReportsFailure(t *testing.T) {
	now := time.Unix(1, 0)
	calls := 0
	r := NewReserve("/x", DefaultConfig())
	r.now = func() time.Time { return now }
	r.measure = func(string) (uint64, uint64, error) { calls++; return 1 << 40, 1 << 41, nil }
	for range 10 {
		if _, err := r.Space(); err != nil {
			t.Fatal(err)
		}
	}
	if calls != 1 {
		t.Errorf("%d measurements for one moment", calls)
	}
	now = now.Add(-time.Hour) // a clock that jumps back must not freeze the measurement
	if _, err := r.Space(); err != nil || calls != 2 {
		t.Errorf("after a jump back: %d measurements, %v", calls, err)
	}
	now = now.Add(time.Hour)
	r.measure = func(string) (uint64, uint64, error) { return 0, 0, errors.New("gone") }
	if _, err := r.Space(); err == nil || !strings.Contains(err.Error(), "/x") {
		t.Errorf("error %v", err)
	}
}

func TestRealFileSystem(t *testing.T) {
	s, err := NewReserve(t.TempDir(), Config{Bytes: 1}).Space()
	if err != nil || s.Total == 0 || s.Free > s.Total {
		t.Errorf("%+v, %v", s, err)
	}
	if _, err := NewReserve("/does/not/exist", Config{}).Space(); err == nil {
		t.Error("no error for a folder that is not there")
	}
}

func TestCheck(t *testing.T) {
	var p conf.Problems
	c := Config{Bytes: -1, Percent: 51}
	c.Check(&p, "reserve")
	if err := p.Err(); err == nil || !strings.Contains(err.Error(), "reserve.bytes") || !strings.Contains(err.Error(), "reserve.percent") {
		t.Errorf("%v", err)
	}
}
