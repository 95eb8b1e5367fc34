package sock

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestListenIsPrivate(t *testing.T) {
	old := unix.Umask(0) // the mode must not come from the umask
	defer unix.Umask(old)
	path := filepath.Join(t.TempDir(), "s")
	l, err := Listen(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, want 0600", info.Mode().Perm())
	}
	if _, err := Listen(t.Context(), path); err == nil || !strings.Contains(err.Error(), "another process serves it") {
		t.Errorf("a served socket was replaced: %v", err)
	}
	l.SetUnlinkOnClose(false) // as after kill -9
	l.Close()
	again, err := Listen(t.Context(), path)
	if err != nil {
		t.Fatalf("replace what a killed process left: %v", err)
	}
	again.Close()
}
