package sensor

import (
	"os"
	"path/filepath"
	"testing"
)

// TestLogAfterFull writes to a disk that was full for a while: what was lost is
// counted, and what follows begins a line.
func TestLogAfterFull(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	l, err := openLog(path, true)
	if err != nil {
		t.Fatal(err)
	}
	good := l.file
	if l.file, err = os.OpenFile("/dev/full", os.O_WRONLY, 0); err != nil {
		t.Fatal(err)
	}
	if err := l.write([]byte("lost\n")); err != nil {
		t.Fatal(err)
	}
	if err := l.flush(); err == nil || l.lost != 5 {
		t.Errorf("full: %v, %d bytes lost", err, l.lost)
	}
	l.file.Close()
	l.file, l.torn = good, true // As if half a line had been written.
	if _, err := good.WriteString("hal"); err != nil {
		t.Fatal(err)
	}
	if err := l.write([]byte("whole\n")); err != nil {
		t.Fatal(err)
	}
	if err := l.close(); err != nil {
		t.Fatal(err)
	}
	if b, _ := os.ReadFile(path); string(b) != "hal\nwhole\n" || l.lost != 5 {
		t.Errorf("%q, %d bytes lost", b, l.lost)
	}
}
