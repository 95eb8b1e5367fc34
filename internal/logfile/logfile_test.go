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

// TestFailedRotation writes again when what kept the file from being renamed
// has gone.
func TestFailedRotation(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.log")
	f, err := Open(path, 10)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(path+".1", 0o700); err != nil {
		t.Fatal(err)
	}
	write := func(s string, want bool) {
		t.Helper()
		if _, err := f.Write([]byte(s)); (err == nil) != want {
			t.Errorf("write %q: %v", s, err)
		}
	}
	write("12345678", true)
	write("12345678", false)
	write("1", false)
	if err := os.Remove(path + ".1"); err != nil {
		t.Fatal(err)
	}
	write("2", true)
	if data, err := os.ReadFile(path); err != nil || string(data) != "2" {
		t.Errorf("file has %q (%v)", data, err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}
