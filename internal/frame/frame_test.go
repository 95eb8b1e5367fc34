package frame

import (
	"bytes"
	"errors"
	"io"
	"testing"
)

func TestRoundTrip(t *testing.T) {
	var stream bytes.Buffer
	bodies := [][]byte{nil, []byte("a"), bytes.Repeat([]byte("xyz"), 100_000)}
	for _, body := range bodies {
		if err := Write(&stream, body); err != nil {
			t.Fatal(err)
		}
	}
	var buf []byte
	for _, want := range bodies {
		got, err := Read(&stream, buf, 1<<20)
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("got %d bytes, %v; want %d", len(got), err, len(want))
		}
		buf = got
	}
	if _, err := Read(&stream, buf, 1<<20); err != io.EOF {
		t.Fatalf("end of stream: %v", err)
	}
}

func TestLimitsAndTruncation(t *testing.T) {
	if _, err := Read(bytes.NewReader([]byte{0xff, 0xff, 0xff, 0xff}), nil, 1<<20); !errors.Is(err, ErrTooLarge) {
		t.Fatalf("oversized: %v", err)
	}
	got, err := Read(bytes.NewReader([]byte{0, 0xf, 0, 0, 1, 2}), nil, 1<<20)
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatalf("truncated: %v", err)
	}
	if cap(got) > 256<<10 {
		t.Fatalf("a hostile length cost %d bytes", cap(got))
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte{0, 0, 0, 1, 7})
	f.Fuzz(func(t *testing.T, stream []byte) {
		r := bytes.NewReader(stream)
		var buf []byte
		var err error
		for err == nil {
			buf, err = Read(r, buf, 1<<16)
			if len(buf) > 1<<16 {
				t.Fatal("over the limit")
			}
		}
	})
}
