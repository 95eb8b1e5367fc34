package bustest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hauberk/hauberk/bus"
)

// noise returns n bytes that do not compress.
func noise(n int) []byte {
	out := make([]byte, n)
	r := rand.NewChaCha8([32]byte{byte(n)})
	_, _ = r.Read(out) // never fails
	return out
}

func producerKilled(t *testing.T, target Target) {
	client, _ := open(t, target)
	child := Spawn(t, "producer", task{Bus: target.Config, Key: "k"}, nil)
	acknowledged := 0
	for range 500 {
		acknowledged = atoi(t, child.Line(t))
	}
	for _, line := range child.Kill(t) {
		acknowledged = max(acknowledged, atoi(t, line))
	}
	for i, m := range read(t, client, bus.Events, bus.FromStart(), valued(acknowledged)) {
		if number(t, m) != i {
			t.Fatalf("message %d at place %d", number(t, m), i)
		}
	}
}

func atoi(t testing.TB, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func consumerKilled(t *testing.T, target Target) {
	client, _ := open(t, target)
	const n, rounds, each = 2000, 3, 100
	g := group("g")
	g.MaxBatch = 50
	for i := range n / each {
		batch := make([]bus.Message, each)
		for k := range batch {
			batch[k] = numbered("k", i*each+k)
		}
		publish(t, client, batch...)
	}
	seen, next := map[int]bool{}, 0
	saw := func(i int) {
		if i > next {
			t.Fatalf("message %d came before %d", i, next)
		}
		next = max(next, i+1)
		seen[i] = true
	}
	for round := 0; round < rounds && n-next > each; round++ {
		child := Spawn(t, "consumer", task{Bus: target.Config, Group: g}, nil)
		for range each {
			saw(atoi(t, child.Line(t)))
		}
		for _, line := range child.Kill(t) { // lines are shorter than PIPE_BUF: none is cut
			saw(atoi(t, line))
		}
	}
	if next < n {
		for _, m := range take(t, client, g, valued(n-1)) {
			saw(number(t, m))
		}
	}
	if len(seen) != n {
		t.Fatalf("%d of %d messages had an effect", len(seen), n)
	}
}

func brokerKilled(t *testing.T, target Target) {
	client, _ := open(t, target)
	const rounds, each, keys = 3, 400, 4
	var (
		mu    sync.Mutex
		acked = map[string]bool{}
		told  = make(chan struct{}, 1<<20)
	)
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		var pending sync.WaitGroup
		for i := 0; ctx.Err() == nil; i++ {
			m := numbered(fmt.Sprint("key", i%keys), i)
			pending.Add(1)
			client.PublishAsync(t.Context(), m, func(err error) {
				defer pending.Done()
				if err != nil {
					t.Errorf("publish %s: %v", m.Value, err)
					return
				}
				mu.Lock()
				acked[string(m.Value)] = true
				mu.Unlock()
				select {
				case told <- struct{}{}:
				default:
				}
			})
		}
		pending.Wait()
	})
	await := func(n int) {
		for range n {
			<-told
		}
	}
	for range rounds {
		await(each)
		target.Kill(t)
		target.Start(t)
	}
	await(each)
	stop()
	wg.Wait()
	publish(t, client, numbered("key0", -1), numbered("key1", -1), numbered("key2", -1), numbered("key3", -1))
	ends := 0
	next := map[string]int{}
	for _, m := range read(t, client, bus.Events, bus.FromStart(), func(m bus.Message) bool {
		if string(m.Value) == "-1" {
			ends++
		}
		return ends == keys
	}) {
		n := number(t, m)
		if n < 0 {
			continue
		}
		delete(acked, string(m.Value))
		// Doubles are allowed across the crash, gaps are not.
		key := string(m.Key)
		if n/keys > next[key] {
			t.Fatalf("key %s: message %d before %d", key, n/keys, next[key])
		}
		next[key] = max(next[key], n/keys+1)
	}
	if len(acked) > 0 {
		t.Fatalf("%d acknowledged messages are lost", len(acked))
	}
}

func brokerRestarts(t *testing.T, target Target) {
	client, _ := open(t, target)
	publish(t, client, numbered("k", 0), numbered("k", 1))
	take(t, client, group("g"), valued(1))
	publish(t, client, numbered("k", 2))
	target.Stop(t)
	target.Start(t)
	publish(t, client, numbered("k", 3))
	got := take(t, client, group("g"), valued(3))
	if len(got) != 2 || number(t, got[0]) != 2 {
		t.Fatalf("got %d messages beginning at %d, want 2 and 3", len(got), number(t, got[0]))
	}
}

// consumerOutlives kills the broker under a consumer and a publisher that go
// on as if nothing had happened.
func consumerOutlives(t *testing.T, target Target) {
	client, _ := open(t, target)
	const rounds, each = 3, 50
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var next atomic.Int64 // the first number that had no effect yet
	reached := make(chan struct{}, 1)
	var wg sync.WaitGroup
	wg.Go(func() {
		err := client.Consume(ctx, group("g"), func(_ context.Context, batch []bus.Message) error {
			for _, m := range batch {
				if n := int64(number(t, m)); n == next.Load() {
					next.Add(1)
				} else if n > next.Load() {
					t.Errorf("message %d came before %d", n, next.Load())
				}
			}
			select {
			case reached <- struct{}{}:
			default:
			}
			return nil
		})
		if err != nil {
			t.Errorf("consume: %v", err)
		}
	})
	await := func(n int64) {
		for next.Load() < n {
			select {
			case <-reached:
			case <-ctx.Done():
				t.Fatalf("consumer stands at %d of %d", next.Load(), n)
			}
		}
	}
	for round := range rounds {
		for i := range each {
			publish(t, client, numbered("k", round*each+i))
		}
		await(int64((round + 1) * each))
		target.Kill(t)
		target.Start(t)
	}
	publish(t, client, numbered("k", rounds*each))
	await(rounds*each + 1)
	cancel()
	wg.Wait()
}

// transformerOutlives kills the broker under a transformer, which may end
// with an error and is called again, as a part does. Doubles are allowed.
func transformerOutlives(t *testing.T, target Target) {
	client, _ := open(t, target)
	const n = 200
	for i := range n {
		publish(t, client, numbered("k", i))
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	g := group("copy")
	g.MaxBatch = 5
	called := make(chan struct{}, n)
	var wg sync.WaitGroup
	wg.Go(func() {
		for ctx.Err() == nil {
			err := client.Transform(ctx, g, func(_ context.Context, batch []bus.Message) ([]bus.Message, error) {
				select {
				case called <- struct{}{}:
				default:
				}
				return toAlerts(batch), nil
			})
			if err != nil && ctx.Err() == nil {
				t.Logf("transform ended, goes on: %v", err)
			}
		}
	})
	for range 5 {
		<-called
	}
	target.Kill(t)
	target.Start(t)
	left := map[int]bool{}
	for i := range n {
		left[i] = true
	}
	read(t, client, bus.Alerts, bus.FromStart(), func(m bus.Message) bool {
		delete(left, number(t, m))
		return len(left) == 0
	})
	cancel()
	wg.Wait()
}

func brokerGone(t *testing.T, target Target) {
	target.Config.PublishTimeout = time.Second
	client, registry := open(t, target)
	publish(t, client, numbered("k", 0))
	target.Stop(t)
	if err := client.Publish(t.Context(), numbered("k", 1)); !errors.Is(err, bus.ErrUnavailable) || !bus.Retryable(err) {
		t.Fatalf("error %v, want ErrUnavailable", err)
	}
	if counter(registry, "hauberk_bus_publish_failures_total") != 1 {
		t.Fatal("the failure was not counted")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := client.Publish(ctx, numbered("k", 2)); err == nil {
		t.Fatal("published without a broker")
	}
	if _, err := bus.Open(ctx, target.Config, nil, nil); !errors.Is(err, bus.ErrUnavailable) {
		t.Fatalf("open: %v", err)
	}
	target.Start(t)
	publish(t, client, numbered("k", 3))
	got := read(t, client, bus.Events, bus.FromStart(), valued(3))
	if number(t, got[0]) != 0 {
		t.Fatalf("the first message is %d", number(t, got[0]))
	}
}

func exactlyOnce(t *testing.T, target Target) {
	client, _ := open(t, target)
	const n = 200
	for i := range n {
		publish(t, client, numbered("k", i))
	}
	g := group("copy")
	g.MaxBatch = 20
	failure := errors.New("operator broke")
	calls, copied := 0, 0
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	copyAll := func(_ context.Context, batch []bus.Message) ([]bus.Message, error) {
		calls++
		if calls%4 == 3 {
			return toAlerts(batch), failure
		}
		copied += len(batch)
		if copied == n {
			cancel() // the transaction is still committed
		}
		return toAlerts(batch), nil
	}
	for copied < n {
		if err := client.Transform(ctx, g, copyAll); err != nil && !errors.Is(err, failure) {
			t.Fatal(err)
		}
	}
	onceEach(t, client, n)
}

// onceEach checks that the alerts are 0 to n-1, each once, in order.
func onceEach(t *testing.T, client *bus.Client, n int) {
	t.Helper()
	publish(t, client, bus.Message{Topic: bus.Alerts, Key: []byte("k"), Value: []byte("-1")})
	got := read(t, client, bus.Alerts, bus.FromStart(), valued(-1))
	for i, m := range got[:len(got)-1] {
		if number(t, m) != i {
			t.Fatalf("alert %d at place %d", number(t, m), i)
		}
	}
	if len(got)-1 != n {
		t.Fatalf("%d alerts, want %d", len(got)-1, n)
	}
}

func transformerKilled(t *testing.T, target Target) {
	client, _ := open(t, target)
	const n = 100
	for i := range n {
		publish(t, client, numbered("k", i))
	}
	g := group("copy")
	g.MaxBatch = 10
	child := Spawn(t, "transformer", task{Bus: target.Config, Group: g, Hang: true}, nil)
	for child.Line(t) != "hang" {
	}
	child.Kill(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	err := client.Transform(ctx, g, func(_ context.Context, batch []bus.Message) ([]bus.Message, error) {
		if number(t, batch[len(batch)-1]) == n-1 {
			cancel()
		}
		return toAlerts(batch), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	onceEach(t, client, n)
}

func tornTail(t *testing.T, target Target) {
	if target.Tear == nil {
		t.Log("this broker's log cannot be torn from here")
		return
	}
	client, _ := open(t, target)
	const n = 20
	for i := range n {
		publish(t, client, numbered("k", i))
	}
	take(t, client, group("g"), valued(n-1)) // its commit is beyond what remains
	client.Close()
	target.Kill(t)
	target.Tear(t)
	target.Start(t)
	client, _ = open(t, target)
	for i := range n {
		publish(t, client, numbered("k", n+i))
	}
	got := read(t, client, bus.Events, bus.FromStart(), valued(2*n-1))
	before := 0
	for before < len(got) && number(t, got[before]) == before {
		before++
	}
	if before == 0 || before == len(got) || len(got) != before+n {
		t.Fatalf("%d messages, %d of them from before the tear", len(got), before)
	}
	// The group skips nothing that came after the tear.
	got = take(t, client, group("g"), valued(2*n-1))
	if len(got) != n || number(t, got[0]) != n {
		t.Fatalf("the group got %d messages beginning at %d, want the %d new ones", len(got), number(t, got[0]), n)
	}
}

// retention fills the broker while a group has consumed nothing.
func retention(t *testing.T, target Target) {
	if !target.Bounded {
		t.Log("this broker's retention does not look at groups")
		return
	}
	client, registry := open(t, target)
	slow := group("slow")
	publish(t, client, bus.Message{Topic: bus.Events, Key: []byte("k"), Value: []byte("0 ")})
	if err := client.Consume(t.Context(), slow, func(context.Context, []bus.Message) error { return errDone }); !errors.Is(err, errDone) {
		t.Fatal(err)
	}
	body := noise(64 << 10)
	at := func(i int) bus.Message {
		return bus.Message{Topic: bus.Events, Key: []byte("k"), Value: append(fmt.Appendf(nil, "%d ", i), body...)}
	}
	number := func(m bus.Message) (n int) {
		if _, err := fmt.Sscan(string(m.Value[:min(8, len(m.Value))]), &n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	n, withdrawn := 1, false
	for ; ; n++ {
		if n > 1000 {
			t.Fatal("never full")
		}
		err := client.Publish(t.Context(), at(n))
		if errors.Is(err, bus.ErrFull) && bus.Retryable(err) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if fill := fill(t, client); !withdrawn && fill >= bus.WithdrawFill {
			withdrawn = true
		} else if withdrawn && fill < bus.WithdrawFill {
			t.Fatalf("fill went down to %v without a commit", fill)
		}
	}
	if !withdrawn {
		t.Fatal("full before the gateway was told to withdraw credit")
	}
	if counter(registry, "hauberk_bus_publish_failures_total") == 0 {
		t.Fatal("the refusal was not counted")
	}
	// Other topics still have room: alerts pass while bulk is full.
	publish(t, client, bus.Message{Topic: bus.Alerts, Key: []byte("k"), Value: []byte("a")})
	// The slow group finds everything, from the first message on.
	for i, m := range take(t, client, slow, func(m bus.Message) bool { return number(m) == n-1 }) {
		if number(m) != i {
			t.Fatalf("message %d at place %d", number(m), i)
		}
	}
	// Its commit frees the bus.
	if fill := fill(t, client); fill > 0.1 {
		t.Fatalf("fill %v after all is committed", fill)
	}
	for i := range 240 {
		for {
			err := client.Publish(t.Context(), at(n+i))
			if err == nil {
				break
			}
			if !errors.Is(err, bus.ErrFull) {
				t.Fatal(err)
			}
		}
		if i%80 == 79 {
			take(t, client, slow, func(m bus.Message) bool { return number(m) == n+i })
		}
	}
	// And the oldest messages are gone: the log was bounded.
	if first := read(t, client, bus.Events, bus.FromStart(), after(1))[0]; number(first) == 0 {
		t.Fatal("nothing was trimmed")
	}
}

func fill(t testing.TB, client *bus.Client) float64 {
	t.Helper()
	f, err := client.Fill(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// FullDisk tests a broker whose disk can be filled to the last byte with fill
// and emptied again with free: nothing acknowledged is lost, and publishing
// goes on by itself.
func FullDisk(t *testing.T, target Target, fillDisk, freeDisk func(t testing.TB)) {
	client, _ := open(t, target)
	body := noise(16 << 10)
	acked := map[int]bool{}
	publishNext := func(n int) error {
		err := client.Publish(t.Context(), bus.Message{Topic: bus.Events, Key: []byte("k"), Value: append(fmt.Appendf(nil, "%8d ", n), body...)})
		if err == nil {
			acked[n] = true
		}
		return err
	}
	n := 0
	for ; n < 20; n++ {
		if err := publishNext(n); err != nil {
			t.Fatal(err)
		}
	}
	fillDisk(t)
	failed := 0
	for ; failed < 20; n++ {
		err := publishNext(n)
		if err != nil && !bus.Retryable(err) {
			t.Fatalf("not retryable: %v", err)
		}
		if err != nil {
			failed++
		}
	}
	freeDisk(t)
	for recovered := 0; recovered < 20; n++ {
		if err := publishNext(n); err == nil {
			recovered++
		} else if !bus.Retryable(err) {
			t.Fatal(err)
		}
	}
	check := func() {
		left := map[int]bool{}
		for i := range acked {
			left[i] = true
		}
		read(t, client, bus.Events, bus.FromStart(), func(m bus.Message) bool {
			delete(left, atoi(t, trimmed(m.Value[:8])))
			return len(left) == 0
		})
	}
	check()
	target.Kill(t)
	target.Start(t)
	check()
}

func trimmed(b []byte) string {
	for len(b) > 0 && b[0] == ' ' {
		b = b[1:]
	}
	return string(b)
}
