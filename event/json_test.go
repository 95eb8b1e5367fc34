package event

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestJSONOfEveryBody(t *testing.T) {
	var lines, ocsf []byte
	for _, r := range sampleBatch().Records {
		lines = append(AppendJSON(lines, r), '\n')
		ocsf = append(AppendOCSF(ocsf, r), '\n')
	}
	for _, line := range bytes.Split(bytes.TrimSpace(append(append([]byte{}, lines...), ocsf...)), []byte{'\n'}) {
		if err := strictJSON(line); err != nil {
			t.Errorf("%v: %s", err, line)
		}
	}
	golden(t, "bodies.jsonl", lines)
	golden(t, "bodies.ocsf.jsonl", ocsf)
}

func TestAlertJSON(t *testing.T) {
	a := samples()[10].GetAlert()
	line := AppendAlertJSON(nil, a)
	if err := strictJSON(line); err != nil {
		t.Fatalf("%v: %s", err, line)
	}
	golden(t, "alert.json", append(line, '\n'))
}

// strictJSON reports invalid JSON, a duplicate key, or invalid UTF-8.
func strictJSON(line []byte) error {
	if !utf8.Valid(line) {
		return errorString("not UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(line))
	var object func() error
	object = func() error {
		token, err := d.Token()
		if err != nil {
			return err
		}
		open, ok := token.(json.Delim)
		if !ok {
			return nil
		}
		keys := map[string]bool{}
		for d.More() {
			if open == '{' {
				key, err := d.Token()
				if err != nil {
					return err
				}
				if keys[key.(string)] {
					return errorString("duplicate key " + key.(string))
				}
				keys[key.(string)] = true
			}
			if err := object(); err != nil {
				return err
			}
		}
		_, err = d.Token()
		return err
	}
	if err := object(); err != nil {
		return err
	}
	if d.More() {
		return errorString("more than one value")
	}
	return nil
}

type errorString string

func (e errorString) Error() string { return string(e) }

// What JSON cannot hold is repeated in base64, byte for byte.
func TestBytesThatAreNotTextAreKept(t *testing.T) {
	for _, path := range []string{"plain", "caf\u00e9", "\xff\xfe", "a\xc3", "tab\tquote\"back\\nl\n", "nul\x00", "\x7f\x1b[0m", "\xed\xa0\x80", strings.Repeat("\x80", 100)} {
		r := &Record{Event: &Event{Process: &Process{Executable: []byte(path), Args: []byte("a\x00" + path)}}}
		line := AppendJSON(nil, r)
		if err := strictJSON(line); err != nil {
			t.Fatalf("%q: %v: %s", path, err, line)
		}
		var m map[string]any
		if err := json.Unmarshal(line, &m); err != nil {
			t.Fatal(err)
		}
		raw, has := m["hauberk.raw.process.executable"].(string)
		if has != !utf8.ValidString(path) {
			t.Errorf("%q: raw is %v", path, has)
		}
		got := m["process.executable"].(string)
		if has {
			exact, err := base64.StdEncoding.DecodeString(raw)
			if err != nil {
				t.Fatal(err)
			}
			got = string(exact)
		}
		if got != path {
			t.Errorf("got %q, want %q", got, path)
		}
	}
}

// FuzzBatch: no bytes that are read as a batch may break its walk, its
// mappings or a second reading.
func FuzzBatch(f *testing.F) {
	data, err := sampleBatch().MarshalVT()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	for _, e := range samples() {
		node := sampleNode()
		one, err := (&Batch{Node: node[:], FirstSequence: 1, Events: []*Event{e}}).MarshalVT()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(one)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var b, borrowed Batch
		err := b.UnmarshalVT(data)
		if err2 := borrowed.UnmarshalVTUnsafe(bytes.Clone(data)); (err == nil) != (err2 == nil) {
			t.Fatalf("one way to read says %v, the other %v", err, err2)
		}
		if err != nil || b.Check() != nil {
			return
		}
		n := 0
		for i, r := range b.Records {
			n++
			line := AppendJSON(nil, r)
			if err := strictJSON(line); err != nil {
				t.Fatalf("event %d: %v: %s", i, err, line)
			}
			if err := strictJSON(AppendOCSF(nil, r)); err != nil {
				t.Fatalf("event %d as OCSF: %v", i, err)
			}
			if a := r.Event.GetAlert(); a != nil {
				if err := strictJSON(AppendAlertJSON(nil, a)); err != nil {
					t.Fatalf("event %d as alert: %v", i, err)
				}
			}
			if id, err := ParseID(r.ID.String()); err != nil || id != r.ID {
				t.Fatalf("id %s: %v", r.ID, err)
			}
		}
		if n != len(b.Events) {
			t.Fatalf("%d of %d events seen", n, len(b.Events))
		}
	})
}

func BenchmarkAppendJSON(b *testing.B) {
	batch := sampleBatch()
	batch.Events = batch.Events[:1]
	var r Record
	buf := make([]byte, 0, 1<<12)
	b.ReportAllocs()
	for b.Loop() {
		batch.Each(&r, func(_ int, r *Record) bool { buf = AppendJSON(buf[:0], r); return true })
	}
}

func BenchmarkUnmarshal(b *testing.B) {
	batch := sampleBatch()
	events := batch.Events[:1]
	batch.Events = nil
	for range 100 {
		batch.Events = append(batch.Events, events[0])
	}
	data, _ := batch.MarshalVT()
	b.Run("copying", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var v Batch
			_ = v.UnmarshalVT(data)
		}
	})
	b.Run("borrowing", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var v Batch
			_ = v.UnmarshalVTUnsafe(data)
		}
	})
}
