package logfile

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTwoFilesBoundTheDisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.log")
	f, err := Open(path, 100)
	if err != nil {
		t.Fatal(err)
	}
	line := strings.Repeat("a", 39) + "\n"
	for range 11 {
		if _, err := f.Write([]byte(line)); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]int{path: 40, path + ".1": 80} {
		data, err := os.ReadFile(name)
		if err != nil || len(data) != want {
			t.Errorf("%s has %d bytes, want %d (%v)", name, len(data), want, err)
		}
	}
}
