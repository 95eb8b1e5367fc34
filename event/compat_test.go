package event

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

var update = flag.Bool("update", false, "write the golden files")

// golden compares with testdata/golden/<name>, or writes it with -update.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", "golden", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs; see it with -update and git diff\ngot  %q\nwant %q", path, got, want)
	}
}

// The bytes of every body as version 1 wrote them. A change of a number or a
// type makes them unreadable; they are never rewritten, only added to.
func TestGoldenBytesOfEveryBodyAreRead(t *testing.T) {
	for _, e := range samples() {
		name := e.BodyKind().Dataset() + ".v1.bin"
		deterministic, err := proto.MarshalOptions{Deterministic: true}.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		golden(t, name, deterministic)
		old, err := os.ReadFile(filepath.Join("testdata", "golden", name))
		if err != nil {
			t.Fatal(err)
		}
		var got Event
		if err := got.UnmarshalVT(old); err != nil {
			t.Errorf("%s: %v", name, err)
		} else if !proto.Equal(&got, e) {
			t.Errorf("%s is read as %v, want %v", name, &got, e)
		}
	}
}

// A newer writer: a body this reader does not know, and a field it does not
// know in a message it knows.
func TestOldReaderSkipsWhatItDoesNotKnow(t *testing.T) {
	event, err := samples()[0].MarshalVT()
	if err != nil {
		t.Fatal(err)
	}
	event = protowire.AppendTag(event, 1000, protowire.BytesType)
	event = protowire.AppendBytes(event, []byte("from the future"))
	unknownBody := protowire.AppendTag(nil, 99, protowire.BytesType)
	unknownBody = protowire.AppendBytes(unknownBody, []byte{8, 1})

	node := sampleNode()
	batch, err := (&Batch{Node: node[:], FirstSequence: 1}).MarshalVT()
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range [][]byte{unknownBody, event} {
		batch = protowire.AppendTag(batch, 8, protowire.BytesType)
		batch = protowire.AppendBytes(batch, e)
	}
	for name, read := range map[string]func(*Batch, []byte) error{
		"copying": (*Batch).UnmarshalVT, "borrowing": (*Batch).UnmarshalVTUnsafe,
	} {
		var b Batch
		if err := read(&b, batch); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if b.Check() != nil || len(b.Events) != 2 {
			t.Fatalf("%s: %d events, want 2", name, len(b.Events))
		}
		if k := b.Events[0].BodyKind(); k != BodyNone {
			t.Errorf("%s: an unknown body is %v", name, k)
		}
		for i, r := range b.Records {
			line := AppendJSON(nil, r)
			if i == 0 && !bytes.Contains(line, []byte(`"event.dataset":"unknown"`)) {
				t.Errorf("%s: unknown body shown as %s", name, line)
			}
			if i == 1 && !bytes.Contains(line, []byte(`"process.pid":4242`)) {
				t.Errorf("%s: known fields lost: %s", name, line)
			}
		}
		again, err := b.MarshalVT()
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range [][]byte{unknownBody, []byte("from the future")} {
			if !bytes.Contains(again, part) {
				t.Errorf("%s: writing again loses what is unknown", name)
			}
		}
	}
}

// The names are a promise too: saved searches and rules use them.
func TestFieldTableOnlyGrows(t *testing.T) {
	var b strings.Builder
	for _, f := range Fields {
		b.WriteString(f.ECS + " " + f.Kind.String() + "\n")
	}
	if *update {
		golden(t, "fields.txt", []byte(b.String()))
	}
	old, err := os.ReadFile(filepath.Join("testdata", "golden", "fields.txt"))
	if err != nil {
		t.Fatal(err)
	}
	now := strings.Split(b.String(), "\n")
	for line := range strings.Lines(string(old)) {
		if !slices.Contains(now, strings.TrimSuffix(line, "\n")) {
			t.Errorf("field %q is gone or has another kind", strings.TrimSuffix(line, "\n"))
		}
	}
}
