package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/hauberk/hauberk/bus"
	"github.com/hauberk/hauberk/internal/frame"
	"github.com/hauberk/hauberk/internal/perf"
	"golang.org/x/sys/unix"
)

const (
	messageSize = 300
	keys        = 64
	// distinct bodies, a prime: each key meets all of them, so that no
	// compressor's window finds one twice.
	distinct = 8191
	// floorBatch is after how many records the floor syncs, when it does:
	// about what one produce request carries.
	floorBatch = 1000
)

// cpu returns the CPU time of this process, user and system.
func cpu() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		panic(err) // cannot fail with these arguments
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// bodies are messages that compress by about half, as event batches do.
func bodies() [][]byte {
	r := rand.New(rand.NewPCG(1, 1))
	out := make([][]byte, distinct)
	for i := range out {
		b := make([]byte, messageSize)
		for k := 0; k < messageSize; k += 8 {
			if k%16 == 0 {
				binary.LittleEndian.PutUint64(b[k:], r.Uint64())
			}
		}
		out[i] = b
	}
	return out
}

// samples collects, per round, microseconds of CPU per message.
type samples struct{ publish, write, consume, read []float64 }

func throughput(ctx context.Context, report *perf.Report, dir string, sync bool, messages, rounds int) error {
	name, policy := "page cache", "no fsync, as the embedded broker's default"
	if sync {
		name, policy = "fsync", "fsync before every acknowledgement"
		messages /= 4
	}
	var s samples
	data := bodies()
	for i := range rounds {
		place := filepath.Join(dir, fmt.Sprintf("%v-%d", sync, i))
		if err := os.Mkdir(place, 0o700); err != nil {
			return err
		}
		if err := s.round(ctx, place, data, sync, messages); err != nil {
			return err
		}
		if err := os.RemoveAll(place); err != nil {
			return err
		}
	}
	// A tenth and a twentieth of the pipeline's 25 us per event; twice that
	// for publishing with fsync.
	targets := map[bool][2]float64{false: {2.5, 1.25}, true: {5, 1.25}}[sync]
	add := func(what string, value, peer []float64, target float64) {
		v := perf.Median(value)
		report.Add(perf.Figure{
			Name: fmt.Sprintf("%s a 300-byte message, %s", what, name), Value: v, Unit: "us CPU",
			Peer: "length-prefixed records of a file, 64 KiB buffer", PeerValue: perf.Median(peer),
			Target: fmt.Sprintf("at most %g us", target), Reached: v <= target,
			Note: "client and broker together; " + policy,
		})
	}
	add("publish", s.publish, s.write, targets[0])
	add("consume", s.consume, s.read, targets[1])
	return nil
}

func (s *samples) round(ctx context.Context, dir string, data [][]byte, sync bool, n int) error {
	path := filepath.Join(dir, "floor")
	for _, step := range []struct {
		into *[]float64
		work func() error
	}{
		{&s.write, func() error { return writeFloor(path, data, sync, n) }},
		{&s.read, func() error { return readFloor(path, n) }},
	} {
		before := cpu()
		if err := step.work(); err != nil {
			return err
		}
		*step.into = append(*step.into, float64(cpu()-before)/1e3/float64(n))
	}
	client, stop, err := embedded(ctx, dir, sync)
	if err != nil {
		return err
	}
	defer stop()
	before := cpu()
	if err := publish(ctx, client, data, n); err != nil {
		return err
	}
	s.publish = append(s.publish, float64(cpu()-before)/1e3/float64(n))
	before = cpu()
	if err := consume(ctx, client, n); err != nil {
		return err
	}
	s.consume = append(s.consume, float64(cpu()-before)/1e3/float64(n))
	return nil
}

func writeFloor(path string, data [][]byte, sync bool, n int) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	w := bufio.NewWriterSize(f, 64<<10)
	for i := range n {
		if err := frame.Write(w, data[i%len(data)]); err != nil {
			return err
		}
		if sync && i%floorBatch == floorBatch-1 {
			if err := errors.Join(w.Flush(), f.Sync()); err != nil {
				return err
			}
		}
	}
	return w.Flush()
}

func readFloor(path string, n int) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	r := bufio.NewReaderSize(f, 64<<10)
	buf := make([]byte, 0, messageSize)
	for i := 0; ; i++ {
		if buf, err = frame.Read(r, buf, messageSize); errors.Is(err, io.EOF) {
			if i != n {
				return fmt.Errorf("read %d records of %d", i, n)
			}
			return nil
		} else if err != nil {
			return err
		}
	}
}

func publish(ctx context.Context, client *bus.Client, data [][]byte, n int) error {
	var (
		pending sync.WaitGroup
		mu      sync.Mutex
		first   error
		names   [keys][]byte
	)
	for i := range names {
		names[i] = fmt.Appendf(nil, "node-%012d", i)
	}
	done := func(err error) {
		if err != nil {
			mu.Lock()
			first = errors.Join(first, err)
			mu.Unlock()
		}
		pending.Done()
	}
	pending.Add(n)
	for i := range n {
		client.PublishAsync(ctx, bus.Message{Topic: bus.Events, Key: names[i%keys], Value: data[i%len(data)]}, done)
	}
	pending.Wait()
	return first
}

func consume(ctx context.Context, client *bus.Client, n int) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	got := 0
	group := bus.Group{Name: bus.GroupStore, Topics: []string{bus.Events}, Mode: bus.AtLeastOnce, Instance: "bench", MaxBatch: 10_000}
	err := client.Consume(ctx, group, func(_ context.Context, batch []bus.Message) error {
		if got += len(batch); got >= n {
			cancel()
		}
		return nil
	})
	if err == nil && got != n {
		err = fmt.Errorf("consumed %d messages of %d", got, n)
	}
	return err
}
