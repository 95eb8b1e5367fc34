package coding

import (
	"bytes"
	"compress/gzip"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/andybalholm/brotli"
	"github.com/ulikunitz/xz/lzma"
)

func pack(t testing.TB, kind string, data []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	var w io.WriteCloser
	switch kind {
	case "gzip":
		w = gzip.NewWriter(&out)
	case "br":
		w = brotli.NewWriter(&out)
	case "lzma":
		l, err := lzma.WriterConfig{DictCap: 1 << 16}.NewWriter(&out)
		if err != nil {
			t.Fatal(err)
		}
		w = l
	}
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func undo(d *Decoder, data []byte, piece int) (plain []byte) {
	for p := range slices.Chunk(data, piece) {
		plain = append(plain, d.Add(p)...)
	}
	return append(plain, d.End()...)
}

func TestCodings(t *testing.T) {
	var text []byte
	for i := range 30000 {
		text = append(text, byte(i*i>>8), byte(i))
	}
	for _, list := range []string{"gzip", "br", "lzma", "gzip, br", "x-gzip,\tbr, gzip"} {
		data := text
		for _, kind := range strings.FieldsFunc(list, func(c rune) bool { return c == ',' || c == ' ' || c == '\t' }) {
			data = pack(t, strings.TrimPrefix(kind, "x-"), data)
		}
		for _, piece := range []int{1000, 1 << 20} {
			budget := Budget(1 << 24)
			d := New([]byte(list), 3, &budget)
			if got := undo(d, data, piece); !bytes.Equal(got, text) || d.Cut() {
				t.Errorf("%s in pieces of %d: %d bytes of %d", list, piece, len(got), len(text))
			}
		}
	}
	budget := Budget(1 << 20)
	if d := New([]byte("gzip"), 0, &budget); d != nil {
		t.Error("layers are undone beyond the limit")
	}
	if got := undo(nil, text, 1000); !bytes.Equal(got, text) {
		t.Error("a body without codings was changed")
	}
	plain := bytes.Repeat([]byte("<plain>"), 1000)
	if got := undo(New([]byte("gzip"), 2, &budget), plain, 1000); !bytes.Equal(got, plain) {
		t.Error("a body that is not what it says was changed")
	}
	budget = 0
	if d := New([]byte("gzip"), 2, &budget); len(undo(d, pack(t, "gzip", text), 1000)) > 0 || !d.Cut() {
		t.Error("a flow got more than its budget")
	}
}

// TestBomb says of a body that becomes too much that it is cut.
func TestBomb(t *testing.T) {
	for _, kind := range []string{"gzip", "br", "lzma"} {
		budget := Budget(1 << 24)
		d := New([]byte(kind), 2, &budget)
		if n := len(undo(d, pack(t, kind, make([]byte, 2<<20)), 1000)); n > maxPlain || !d.Cut() {
			t.Errorf("%s: %d bytes", kind, n)
		}
	}
}

func FuzzAdd(f *testing.F) {
	f.Add("gzip, br", pack(f, "br", pack(f, "gzip", []byte("hello"))), uint8(3))
	f.Add("lzma", pack(f, "lzma", []byte("hello")), uint8(50))
	f.Add("deflate", []byte("\x78\x9c\xcb\x48\xcd\xc9\xc9\x07\x00"), uint8(1))
	f.Fuzz(func(t *testing.T, list string, data []byte, piece uint8) {
		budget := Budget(1 << 20)
		undo(New([]byte(list), 2, &budget), data, int(piece)+1)
	})
}
