package transfer

import (
	"crypto/sha256"
	"testing"

	"github.com/hauberk/hauberk/sensor/internal/app/file"
)

func begin() *Transfer {
	return &Transfer{File: file.New(file.Config{SHA256: true}, 1, []byte("f"))}
}

func TestOrder(t *testing.T) {
	x := begin()
	x.Begin(3, 3, []byte("de"))
	if n := x.Add([]byte("frest")); n != 1 || x.Next != 0 {
		t.Fatalf("took %d, at %d", n, x.Next)
	}
	x.Begin(6, 2, []byte("gh"))
	x.Begin(0, 3, []byte("abc"))
	x.Close(file.Closed)
	if want := sha256.Sum256([]byte("abcdefgh")); string(x.File.Sums()[2]) != string(want[:]) || x.File.Size != 8 || string(x.Data) != "abcdefgh" {
		t.Errorf("size %d, %q", x.File.Size, x.Data)
	}
}

func TestHoles(t *testing.T) {
	x := begin()
	x.Begin(0, 10, []byte("ab"))
	if n := x.Gap(20); n != 8 || !x.File.Gaps || x.File.Size != 10 || x.Next != 10 {
		t.Errorf("took %d, size %d", n, x.File.Size)
	}
	x.Begin(10, 5, []byte("x"))
	x.Begin(15, 5, []byte("y"))
	if x.File.State != file.Truncated {
		t.Error("a chunk that never ended is well")
	}
	x = begin()
	x.Begin(1, MaxHeld+1, make([]byte, MaxHeld+1))
	if x.File.State != file.Truncated || x.held != 0 {
		t.Errorf("%d bytes wait", x.held)
	}
}
