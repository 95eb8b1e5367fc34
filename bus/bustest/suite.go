// Package bustest is the conformance suite of a broker behind package bus:
// what Hauberk relies on, tested through the Kafka protocol alone, with real
// processes and kill -9. The embedded broker passes it in `go test ./bus/...`;
// a real Kafka passes it with a Target of its own.
package bustest

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hauberk/hauberk/bus"
	"github.com/hauberk/hauberk/internal/obs"
)

// Target is a running broker with the declared topics, empty, for one test.
type Target struct {
	// Config reaches it, also after Restart.
	Config bus.Config
	// Stop ends it in order, Kill with SIGKILL; Start starts it again on
	// what it has stored and returns when it serves.
	Start, Stop, Kill func(t testing.TB)
	// Tear damages the end of every topic's log, as a power failure does,
	// while the broker is down. nil: not tested.
	Tear func(t testing.TB)
	// Bounded says that retention stops at the slowest group and publishing
	// is then refused, with a whole retention of at most 16 MiB.
	Bounded bool
}

// Run runs the suite; each test gets a Target from fresh.
func Run(t *testing.T, fresh func(t *testing.T) Target) {
	for _, c := range []struct {
		name string
		test func(*testing.T, Target)
	}{
		{"order per key", orderPerKey},
		{"handler failure redelivers", handlerFailure},
		{"consumer dies before commit", consumerDies},
		{"commit waits for settling", settling},
		{"at most once never redelivers", atMostOnce},
		{"members share partitions", membersShare},
		{"producer is killed", producerKilled},
		{"consumer is killed", consumerKilled},
		{"broker is killed", brokerKilled},
		{"broker restarts", brokerRestarts},
		{"consumer outlives the broker", consumerOutlives},
		{"transformer outlives the broker", transformerOutlives},
		{"broker is gone", brokerGone},
		{"replay", replay},
		{"exactly once", exactlyOnce},
		{"transformer is killed", transformerKilled},
		{"too large", tooLarge},
		{"torn tail", tornTail},
		{"retention waits for the slowest group", retention},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.test(t, fresh(t))
		})
	}
}

func numbered(key string, i int) bus.Message {
	return bus.Message{Topic: bus.Events, Key: []byte(key), Value: strconv.AppendInt(nil, int64(i), 10)}
}

func number(t testing.TB, m bus.Message) int {
	t.Helper()
	n, err := strconv.Atoi(string(m.Value))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func toAlerts(batch []bus.Message) []bus.Message {
	out := make([]bus.Message, len(batch))
	for i, m := range batch {
		out[i] = bus.Message{Topic: bus.Alerts, Key: m.Key, Value: m.Value}
	}
	return out
}

func open(t testing.TB, target Target) (*bus.Client, *obs.Registry) {
	t.Helper()
	var registry obs.Registry
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	client, err := bus.Open(ctx, target.Config, nil, &registry)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client, &registry
}

// counter returns the value of a counter, summed over its labels.
func counter(r *obs.Registry, name string) (sum uint64) {
	for _, reading := range r.Readings() {
		if reading.Name == name {
			sum += reading.Value
		}
	}
	return sum
}

func publish(t testing.TB, client *bus.Client, messages ...bus.Message) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := client.Publish(ctx, messages...); err != nil {
		t.Fatal(err)
	}
}

func group(name string) bus.Group {
	return bus.Group{Name: name, Topics: []string{bus.Events}, Mode: bus.AtLeastOnce, Instance: "one"}
}

// errDone ends consuming from within a handler whose batch need not be
// committed.
var errDone = errors.New("done")

// take consumes as the group until enough says so; the last batch is
// committed.
func take(t testing.TB, client *bus.Client, g bus.Group, enough func(bus.Message) bool) []bus.Message {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var (
		got  []bus.Message
		done bool
	)
	err := client.Consume(ctx, g, func(_ context.Context, batch []bus.Message) error {
		for _, m := range batch {
			got = append(got, m)
			done = enough(m) || done
		}
		if done {
			cancel()
		}
		return nil
	})
	if err != nil || !done {
		t.Fatalf("consumed %d messages, enough: %v, error: %v", len(got), done, err)
	}
	return got
}

// read tails a topic without a group until enough says so.
func read(t testing.TB, client *bus.Client, topic string, from bus.From, enough func(bus.Message) bool) []bus.Message {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var got []bus.Message
	err := client.Tail(ctx, []string{topic}, from, func(_ context.Context, batch []bus.Message) error {
		for _, m := range batch {
			got = append(got, m)
			if enough(m) {
				return errDone
			}
		}
		return nil
	})
	if !errors.Is(err, errDone) {
		t.Fatalf("read %d messages of %s, not enough: %v", len(got), topic, err)
	}
	return got
}

// after returns an enough that waits for n messages.
func after(n int) func(bus.Message) bool {
	return func(bus.Message) bool { n--; return n <= 0 }
}

// valued returns an enough that waits for the message with number n.
func valued(n int) func(bus.Message) bool {
	want := strconv.Itoa(n)
	return func(m bus.Message) bool { return string(m.Value) == want }
}

func orderPerKey(t *testing.T, target Target) {
	client, registry := open(t, target)
	const keys, each = 16, 200
	var wg sync.WaitGroup
	var failed atomic.Int64
	for i := range each {
		for k := range keys {
			wg.Add(1)
			client.PublishAsync(t.Context(), numbered(fmt.Sprint("key", k), i), func(err error) {
				if err != nil {
					failed.Add(1)
				}
				wg.Done()
			})
		}
	}
	wg.Wait()
	if failed.Load() > 0 {
		t.Fatalf("%d messages failed", failed.Load())
	}
	next, partition := map[string]int{}, map[string]int32{}
	for _, m := range take(t, client, group("order"), after(keys*each)) {
		key := string(m.Key)
		if number(t, m) != next[key] {
			t.Fatalf("key %s: message %d where %d was due", key, number(t, m), next[key])
		}
		if at, seen := partition[key]; seen && at != m.Partition {
			t.Fatalf("key %s is in partitions %d and %d", key, at, m.Partition)
		}
		partition[key] = m.Partition
		next[key]++
	}
	if lag, err := client.Lag(t.Context(), "order"); err != nil || lag != 0 {
		t.Fatalf("lag %d, error %v", lag, err)
	}
	for name, want := range map[string]uint64{
		"hauberk_bus_published_messages_total":   keys * each,
		"hauberk_bus_consumed_messages_total":    keys * each,
		"hauberk_bus_redelivered_messages_total": 0,
		"hauberk_bus_lag_messages":               0,
	} {
		if got := counter(registry, name); got != want {
			t.Errorf("%s is %d, want %d", name, got, want)
		}
	}
}

func handlerFailure(t *testing.T, target Target) {
	client, registry := open(t, target)
	publish(t, client, numbered("k", 0), numbered("k", 1))
	failure := errors.New("sink broke")
	seen := 0
	err := client.Consume(t.Context(), group("g"), func(_ context.Context, batch []bus.Message) error {
		seen += len(batch)
		return failure
	})
	if !errors.Is(err, failure) || seen == 0 {
		t.Fatalf("consumed %d, error %v", seen, err)
	}
	if got := take(t, client, group("g"), valued(1)); number(t, got[0]) != 0 {
		t.Fatalf("began at %d after a failure", number(t, got[0]))
	}
	if n := counter(registry, "hauberk_bus_redelivered_messages_total"); n != uint64(seen) {
		t.Fatalf("counted %d redelivered, %d were", n, seen)
	}
	// A panic is a failure too.
	publish(t, client, numbered("k", 2))
	if err := client.Consume(t.Context(), group("g"), func(context.Context, []bus.Message) error { panic("bug") }); err == nil {
		t.Fatal("a panic was swallowed")
	}
	if got := take(t, client, group("g"), valued(2)); len(got) != 1 {
		t.Fatalf("%d messages after the panic, want the one", len(got))
	}
}

// settling takes messages while Settle says no, also when nothing arrives, and
// commits them all once it says yes.
func settling(t *testing.T, target Target) {
	client, _ := open(t, target)
	publish(t, client, numbered("k", 0))
	g := group("g")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	asked, taken := 0, 0
	g.Settle = func(context.Context) (bool, error) {
		if asked++; asked == 3 { // twice without a message
			publish(t, client, numbered("k", 1))
		}
		if asked > 3 && taken == 2 {
			cancel()
		}
		return false, nil
	}
	handle := func(_ context.Context, batch []bus.Message) error {
		taken += len(batch)
		return nil
	}
	if err := client.Consume(ctx, g, handle); err != nil || taken != 2 {
		t.Fatalf("took %d, error %v", taken, err)
	}

	// Nothing was committed: both come again, and now settle.
	again, cancelAgain := context.WithTimeout(t.Context(), patience)
	defer cancelAgain()
	taken = 0
	g.Settle = func(context.Context) (bool, error) {
		if taken == 2 {
			cancelAgain() // the commit goes on: its effect has happened
		}
		return taken == 2, nil
	}
	if err := client.Consume(again, g, handle); err != nil || taken != 2 {
		t.Fatalf("took %d again, error %v", taken, err)
	}
	publish(t, client, numbered("k", 2))
	if got := take(t, client, group("g"), valued(2)); len(got) != 1 {
		t.Fatalf("%d messages after they had settled, want the one", len(got))
	}

	g.Settle = func(context.Context) (bool, error) { return false, errors.New("sink broke") }
	publish(t, client, numbered("k", 3))
	if err := client.Consume(t.Context(), g, handle); err == nil || !strings.Contains(err.Error(), "sink broke") {
		t.Fatalf("a failure to settle ends with %v", err)
	}
}

func consumerDies(t *testing.T, target Target) {
	client, _ := open(t, target)
	const n = 10
	for i := range n {
		publish(t, client, numbered("k", i))
	}
	first := Spawn(t, "consumer", task{Bus: target.Config, Group: group("g"), Hang: true}, nil)
	if line := first.Line(t); line != "0" {
		t.Fatalf("first consumer began at %s", line)
	}
	first.Kill(t)
	got := take(t, client, group("g"), valued(n-1))
	if len(got) != n || number(t, got[0]) != 0 {
		t.Fatalf("second consumer got %d messages beginning at %d, want all", len(got), number(t, got[0]))
	}
}

func atMostOnce(t *testing.T, target Target) {
	client, _ := open(t, target)
	const n = 10
	for i := range n {
		publish(t, client, numbered("k", i))
	}
	g := group("g")
	g.Mode, g.MaxBatch = bus.AtMostOnce, 3
	first := Spawn(t, "consumer", task{Bus: target.Config, Group: g, Hang: true}, nil)
	seen := map[string]bool{first.Line(t): true}
	for _, line := range first.Kill(t) {
		seen[line] = true
	}
	got := take(t, client, g, valued(n-1))
	for _, m := range got {
		if seen[string(m.Value)] {
			t.Fatalf("message %s came twice", m.Value)
		}
	}
	if number(t, got[0]) > g.MaxBatch {
		t.Fatalf("began at %d: more than one batch was lost", number(t, got[0]))
	}
}

func membersShare(t *testing.T, target Target) {
	client, _ := open(t, target)
	const keys = 64
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		count = map[string]int{}
		by    = map[string]map[int32]bool{"a": {}, "b": {}}
	)
	for _, instance := range []string{"a", "b"} {
		g := group("g")
		g.Instance = instance
		wg.Go(func() {
			err := client.Consume(ctx, g, func(_ context.Context, batch []bus.Message) error {
				mu.Lock()
				defer mu.Unlock()
				for _, m := range batch {
					count[string(m.Key)]++
					by[instance][m.Partition] = true
				}
				if len(by["a"]) > 0 && len(by["b"]) > 0 {
					cancel()
				}
				return nil
			})
			if err != nil {
				t.Errorf("member %s: %v", instance, err)
			}
		})
	}
	for i := 0; ctx.Err() == nil; i++ {
		if err := client.Publish(ctx, numbered(fmt.Sprint("key", i%keys), i)); err != nil && ctx.Err() == nil {
			t.Fatal(err)
		}
	}
	wg.Wait()
	if len(by["a"]) == 0 || len(by["b"]) == 0 {
		t.Fatalf("partitions of a: %v, of b: %v", by["a"], by["b"])
	}
}

func tooLarge(t *testing.T, target Target) {
	client, registry := open(t, target)
	err := client.Publish(t.Context(), bus.Message{Topic: bus.Events, Value: make([]byte, bus.MaxMessageBytes)})
	if !errors.Is(err, bus.ErrTooLarge) || bus.Retryable(err) {
		t.Fatalf("error %v", err)
	}
	if counter(registry, "hauberk_bus_published_messages_total") != 0 {
		t.Fatal("counted as published")
	}
	err = client.Publish(t.Context(), bus.Message{Topic: "hauberk.nowhere", Value: []byte("x")})
	if !errors.Is(err, bus.ErrUnknownTopic) {
		t.Fatalf("error %v", err)
	}
	// The largest message passes, incompressible.
	largest := bus.Message{Topic: bus.Events, Key: []byte("k"), Value: noise(bus.MaxMessageBytes - 2<<10)}
	publish(t, client, largest)
	if got := read(t, client, bus.Events, bus.FromStart(), after(1)); len(got[0].Value) != len(largest.Value) {
		t.Fatalf("%d bytes came back", len(got[0].Value))
	}
}

func replay(t *testing.T, target Target) {
	client, _ := open(t, target)
	const n = 10
	start := time.UnixMilli(time.Now().UnixMilli()).Add(-n * time.Second)
	for i := range n {
		m := numbered("k", i)
		m.Time = start.Add(time.Duration(i) * time.Second)
		publish(t, client, m)
	}
	got := read(t, client, bus.Events, bus.FromTime(start.Add(4*time.Second)), valued(n-1))
	if number(t, got[0]) != 4 || !got[0].Time.Equal(start.Add(4*time.Second)) {
		t.Fatalf("replay by time began at %d (%s)", number(t, got[0]), got[0].Time)
	}
	// From an offset, one partition.
	at := got[2]
	var first bus.Message
	err := client.Replay(t.Context(), bus.Events, at.Partition, at.Offset, func(_ context.Context, batch []bus.Message) error {
		first = batch[0]
		return errDone
	})
	if !errors.Is(err, errDone) || first.Offset != at.Offset || string(first.Value) != string(at.Value) {
		t.Fatalf("replay by offset %d began at %d: %v", at.Offset, first.Offset, err)
	}
	// From the end: what is published until the tail sees something.
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := n; ctx.Err() == nil; i++ {
			if err := client.Publish(ctx, numbered("k", i)); err != nil && ctx.Err() == nil {
				t.Errorf("publish: %v", err)
			}
		}
	})
	got = read(t, client, bus.Events, bus.FromEnd(), after(1))
	cancel()
	wg.Wait()
	if number(t, got[0]) < n {
		t.Fatalf("tail from the end began at %d", number(t, got[0]))
	}
}
