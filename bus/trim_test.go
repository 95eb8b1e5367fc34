package bus

import (
	"math/rand/v2"
	"testing"
)

// TestPlanProperties: whatever the usage, a plan never passes a commit, never
// takes the newest message, and, when enough is committed, gets to the aim
// within the rounding of one message per partition.
func TestPlanProperties(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	trimmed := 0
	for range 20_000 {
		u, limit, expired := randomUsage(r)
		out := plan(u, limit, expired)
		var left, free int64
		for _, p := range u.Partitions {
			to, ok := out[p.Partition]
			if !ok {
				to = p.Start
			} else {
				trimmed++
			}
			if to < p.Start || to > p.Committed && to != p.Start || to >= p.End && p.End > p.Start {
				t.Fatalf("partition %+v trimmed to %d", p, to)
			}
			if p.End > p.Start {
				left += p.Bytes * (p.End - to) / (p.End - p.Start)
			}
			if at, ok := expired[p.Partition]; ok && to < min(at, p.Committed, p.End-1) {
				t.Fatalf("partition %+v kept expired messages: trimmed to %d of %d", p, to, at)
			}
			free += p.Bytes - p.Held()
		}
		size := u.Bytes()
		if size <= limit.Above {
			continue
		}
		if want := max(limit.To, size-free); left > want+int64(len(u.Partitions))*2*messageSize {
			t.Fatalf("%d bytes left of %d, want %d: %+v -> %v", left, size, want, u, out)
		}
	}
	if trimmed == 0 {
		t.Fatal("nothing was ever trimmed")
	}
}

const messageSize = 100

func randomUsage(r *rand.Rand) (Usage, Limit, map[int32]int64) {
	u := Usage{Budget: 1 << 20}
	expired := map[int32]int64{}
	for i := range int32(1 + r.IntN(8)) {
		start := r.Int64N(1000)
		end := start + r.Int64N(1000)
		p := PartitionUsage{Partition: i, Start: start, End: end, Committed: start, Bytes: (end - start) * messageSize}
		switch {
		case end == start:
		case r.IntN(2) == 0:
			p.Committed = end
		default:
			p.Committed = start + r.Int64N(end-start+1)
		}
		if end > start && r.IntN(4) == 0 {
			expired[i] = start + r.Int64N(end-start+1)
		}
		u.Partitions = append(u.Partitions, p)
	}
	to := r.Int64N(100_000)
	return u, Limit{Above: to + r.Int64N(100_000), To: to}, expired
}

func TestFill(t *testing.T) {
	half := PartitionUsage{Partition: 0, Start: 100, End: 200, Committed: 150, Bytes: 1000}
	none := PartitionUsage{Partition: 1, Start: 0, End: 10, Committed: 10, Bytes: 1000}
	behind := PartitionUsage{Partition: 2, Start: 100, End: 200, Committed: 50, Bytes: 300}
	for name, test := range map[string]struct {
		usage Usage
		want  float64
	}{
		"by topic":     {Usage{Budget: 1000, Partitions: []PartitionUsage{half, none, behind}}, 0.8},
		"by partition": {Usage{Budget: 1000, ByPartition: true, Partitions: []PartitionUsage{half, none, behind}}, 0.5},
		"over":         {Usage{Budget: 100, Partitions: []PartitionUsage{half}}, 1},
		"unlimited":    {Usage{Partitions: []PartitionUsage{half}}, 0},
		"empty":        {Usage{Budget: 100}, 0},
	} {
		if got := test.usage.Fill(); got != test.want {
			t.Errorf("%s: fill %v, want %v", name, got, test.want)
		}
	}
}
