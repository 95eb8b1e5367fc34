package event

import (
	"math"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"
)

func TestIDText(t *testing.T) {
	id := ID{sampleNode(), 0x1f, 0xabcdef}
	const want = "000102030405060708090a0b0c0d0e0f-0000001f-0000000000abcdef"
	if got := id.String(); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, err := ParseID(want); err != nil || got != id {
		t.Errorf("ParseID: %v, %v", got, err)
	}
	later := ID{id.Node, id.Incarnation + 1, 1}
	if !(id.String() < later.String()) {
		t.Error("the order of texts is not the order of events")
	}
	for _, bad := range []string{"", want[1:], want + "0", "g" + want[1:], want[:32] + "x" + want[33:], want[:33] + "+000001f" + want[41:], want[:42] + "+000000000abcdef"} {
		if got, err := ParseID(bad); err == nil {
			t.Errorf("ParseID(%q) = %v, want an error", bad, got)
		}
	}
	if a, b := NewNodeID(), NewNodeID(); a == b || a.IsZero() {
		t.Error("node ids repeat")
	}
}

func TestCheck(t *testing.T) {
	node := sampleNode()
	for _, test := range []struct {
		name  string
		batch *Batch
		ok    bool
	}{
		{"good", &Batch{Node: node[:], FirstSequence: 1, Events: []*Event{{}}}, true},
		{"empty", &Batch{Node: node[:], FirstSequence: 1}, true},
		{"short node", &Batch{Node: node[:15], FirstSequence: 1}, false},
		{"no sequence", &Batch{Node: node[:]}, false},
		{"overflow", &Batch{Node: node[:], FirstSequence: math.MaxUint64, Events: []*Event{{}, {}}}, false},
		{"overflow by skips", &Batch{Node: node[:], FirstSequence: math.MaxUint64 - 5, Events: []*Event{{}, {Skip: 10}}}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			if err := test.batch.Check(); (err == nil) != test.ok {
				t.Errorf("Check: %v", err)
			}
		})
	}
}

func TestBuilderAndRecordsAgree(t *testing.T) {
	b := NewBuilder(sampleNode(), 3, Class_CLASS_BULK)
	type seen struct {
		sequence       uint64
		observed, time int64
	}
	want := []seen{{10, 1000, 990}, {11, 1500, 1500}, {20, 1400, 1600}}
	for _, w := range want {
		happened := w.time
		if w.time == w.observed {
			happened = 0
		}
		if err := b.Add(w.sequence, w.observed, happened, &Event{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Add(20, 1, 0, &Event{}); err == nil {
		t.Error("a sequence was accepted twice")
	}
	if err := b.Add(21+1<<33, 1, 0, &Event{}); err == nil {
		t.Error("a gap wider than a skip was accepted")
	}
	if b.Len() != 3 {
		t.Errorf("Len is %d", b.Len())
	}
	batch := b.Take()
	if err := batch.Check(); err != nil || batch.LastSequence() != 20 {
		t.Fatalf("Check: %v, last %d", err, batch.LastSequence())
	}
	var got []seen
	for _, r := range batch.Records {
		if r.ID.Node != sampleNode() || r.ID.Incarnation != 3 {
			t.Errorf("identity %v", r.ID)
		}
		got = append(got, seen{r.ID.Sequence, r.Observed, r.Time})
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if b.Take() != nil || b.Len() != 0 {
		t.Error("Take twice gives events twice")
	}
	if err := b.Add(1<<40, 5, 0, &Event{}); err != nil {
		t.Errorf("a gap between batches is of no matter: %v", err)
	}
}

func TestBorrowingReadIsTheSame(t *testing.T) {
	data, err := sampleBatch().MarshalVT()
	if err != nil {
		t.Fatal(err)
	}
	var a, b Batch
	if err := a.UnmarshalVT(data); err != nil {
		t.Fatal(err)
	}
	if err := b.UnmarshalVTUnsafe(data); err != nil {
		t.Fatal(err)
	}
	if !proto.Equal(&a, &b) || !proto.Equal(&a, sampleBatch()) {
		t.Error("the two ways to read differ")
	}
}

// TestAttach: fields that were marshalled before read back as if they had been
// set.
func TestAttach(t *testing.T) {
	above := []*Ancestor{{Pid: 7, Start: 9, Executable: []byte("/bin/sh"), Args: []byte("sh\x00-c\x00")}, {Pid: 1}}
	set := &Process{Pid: 8, Name: []byte("id"), Ancestors: above, Session: 3}
	attached := &Process{Pid: 8, Name: []byte("id"), Session: 3}
	attached.Attach(AppendAncestors(nil, above))
	wire, err := (&Event{Process: attached}).MarshalVT()
	if err != nil {
		t.Fatal(err)
	}
	got := &Event{}
	if err := got.UnmarshalVT(wire); err != nil || !proto.Equal(got.Process, set) {
		t.Fatalf("read back %v, %v; want %v", got.Process, err, set)
	}
}
