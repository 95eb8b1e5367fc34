package link

import (
	"bytes"
	"errors"
	"testing"

	"github.com/hauberk/hauberk/event"
	"google.golang.org/protobuf/proto"
)

// family is a batch of a parent, its children and grandchildren, and events
// with and without each thing folding looks at.
func family(t testing.TB) *event.Batch {
	t.Helper()
	b := &event.Batch{FirstSequence: 9, BaseTime: 1 << 60, Schema: 1, Class: event.Class_CLASS_BULK}
	var parents []*event.Process
	for i := range 40 {
		p := &event.Process{
			Pid: uint32(100 + i), Start: uint64(1e12) + uint64(i)*1_000_003, Executable: []byte("/bin/sh"), Args: []byte("sh\x00-c"),
			WorkingDirectory: []byte("/"), Uid: uint32(i % 3), Name: []byte("sh"), Sha256: "ab", Session: 7,
		}
		switch {
		case i%7 == 6:
			p.Start = 0
		case i > 2:
			q := parents[i-1-i%3]
			p.Ancestors = append([]*event.Ancestor{{
				Pid: q.Pid, Start: q.Start, Executable: q.Executable, Args: q.Args, Name: q.Name, Uid: q.Uid, WorkingDirectory: q.WorkingDirectory,
			}}, q.Ancestors[:min(len(q.Ancestors), event.MaxAncestors-1)]...)
		case i == 1:
			p.Ancestors = []*event.Ancestor{{}, {Pid: 1}}
		}
		parents = append(parents, p)
		e := &event.Event{ObservedDelta: int64(i/10) * 50_000_000, Lag: int64(i) * 77_777, Process: p, Collector: 1, Body: &event.Event_Exec{Exec: &event.ProcessExec{}}}
		switch i % 5 {
		case 3:
			e.Skip = uint32(i)
			e.Body = &event.Event_Exit{Exit: &event.ProcessExit{ExitCode: -1}}
		case 4:
			e.Process, e.Lag = nil, 0
			e.Body = &event.Event_Status{Status: &event.NodeStatus{Reason: "start"}}
		}
		b.Events = append(b.Events, e)
	}
	return b
}

func TestFoldRoundTrip(t *testing.T) {
	for name, b := range map[string]*event.Batch{
		"family":        family(t),
		"empty event":   {FirstSequence: 1, Events: []*event.Event{{}}},
		"empty process": {FirstSequence: 1, Events: []*event.Event{{Process: &event.Process{}}, {Process: &event.Process{Ancestors: []*event.Ancestor{{}}}}}},
		"negative times": {FirstSequence: 1, Events: []*event.Event{
			{ObservedDelta: -1 << 63, Lag: 1<<63 - 1, Process: &event.Process{Pid: 1<<32 - 1, Start: 1<<64 - 1}}, {ObservedDelta: 1<<63 - 1, Lag: -1 << 63},
		}},
	} {
		raw, err := b.MarshalVT()
		if err != nil {
			t.Fatal(err)
		}
		folded, ok := Fold(raw)
		if !ok {
			t.Errorf("%s: not folded", name)
			continue
		}
		back, err := unfold(folded, len(raw))
		if err != nil || !bytes.Equal(back, raw) {
			var got event.Batch
			t.Errorf("%s: %v, equal as messages: %v", name, err, got.UnmarshalVT(back) == nil && proto.Equal(&got, b))
		}
		if _, err := unfold(folded, len(raw)-1); !errors.Is(err, ErrProtocol) {
			t.Errorf("%s: passed its limit: %v", name, err)
		}
		if name == "family" && len(folded) > len(raw)/2 {
			t.Errorf("family of %d bytes folds to %d", len(raw), len(folded))
		}
	}
}

func TestFoldRefuses(t *testing.T) {
	for name, raw := range map[string][]byte{
		"no protobuf":           {0xff},
		"fields after events":   {0x42, 0, 0x20, 1},
		"event out of order":    {0x42, 4, 0x10, 2, 0x08, 1},
		"field twice":           {0x42, 4, 0x10, 2, 0x10, 2},
		"process out of order":  {0x42, 6, 0x22, 4, 0x10, 1, 0x08, 1},
		"process is no message": {0x42, 2, 0x20, 1},
	} {
		if _, ok := Fold(raw); ok {
			t.Errorf("%s: folded", name)
		}
	}
}

// TestReferencesCannotMultiply is a fold whose every event refers to the
// ancestors of the one before: a few bytes each, 100 KB unfolded.
func TestReferencesCannotMultiply(t *testing.T) {
	b := &event.Batch{FirstSequence: 1}
	big := []*event.Ancestor{{Pid: 1, Start: 1, Args: make([]byte, 100<<10)}}
	for range 1000 {
		b.Events = append(b.Events, &event.Event{Process: &event.Process{Pid: 2, Ancestors: big}})
	}
	raw, err := b.MarshalVT()
	if err != nil {
		t.Fatal(err)
	}
	folded, ok := Fold(raw)
	if !ok || len(folded) > 200<<10 {
		t.Fatalf("folded to %d", len(folded))
	}
	if _, err := unfold(folded, MaxBatch); !errors.Is(err, ErrProtocol) {
		t.Fatalf("unfolded beyond the limit: %v", err)
	}
}

func FuzzFold(f *testing.F) {
	raw, err := family(f).MarshalVT()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add([]byte{0x20, 1, 0x42, 4, 0x22, 2, 0x08, 1})
	f.Fuzz(func(t *testing.T, raw []byte) {
		folded, ok := Fold(raw)
		if !ok {
			return
		}
		back, err := unfold(folded, len(raw))
		if err != nil {
			t.Fatalf("own fold is unreadable: %v", err)
		}
		var before, after event.Batch
		if before.UnmarshalVT(raw) == nil && (after.UnmarshalVT(back) != nil || !proto.Equal(&before, &after)) {
			t.Fatalf("%v became %v", &before, &after)
		}
	})
}

func FuzzUnfold(f *testing.F) {
	raw, err := family(f).MarshalVT()
	if err != nil {
		f.Fatal(err)
	}
	folded, _ := Fold(raw)
	f.Add(folded, len(raw))
	f.Fuzz(func(t *testing.T, folded []byte, limit int) {
		limit = min(max(limit, 0), 1<<16)
		out, err := unfold(folded, limit)
		if err != nil && !errors.Is(err, ErrProtocol) || len(out) > limit {
			t.Fatalf("%d bytes, limit %d, %v", len(out), limit, err)
		}
	})
}

func BenchmarkCompress(b *testing.B) {
	raw, err := family(b).MarshalVT()
	if err != nil {
		b.Fatal(err)
	}
	c, err := NewCompressor(Dictionary)
	if err != nil {
		b.Fatal(err)
	}
	d, err := NewDecompressor()
	if err != nil {
		b.Fatal(err)
	}
	payload, encoding := c.Compress(raw)
	frame := &Batch{Encoding: encoding, Size: uint32(len(raw)), Payload: bytes.Clone(payload)}
	b.Run("compress", func(b *testing.B) {
		b.ReportAllocs()
		for range b.N {
			c.Compress(raw)
		}
	})
	b.Run("decompress", func(b *testing.B) {
		b.ReportAllocs()
		for range b.N {
			d.Decompress(frame)
		}
	})
}
