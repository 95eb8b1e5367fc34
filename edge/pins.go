package edge

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// mountPins sees to it that dir can be on a BPF filesystem: where there is none
// it mounts one, on /sys/fs/bpf if dir is below that (as systemd does), else on
// dir itself. It stays mounted, as what is pinned in it shall.
func mountPins(dir string) error {
	parent := filepath.Dir(dir)
	for _, at := range []string{dir, parent} {
		is, err := isBPF(at)
		if err != nil {
			return fmt.Errorf("look at %s: %w", at, err)
		}
		if is {
			return nil
		}
	}
	at := dir
	if parent == "/sys/fs/bpf" {
		at = parent
	} else if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make %s: %w", dir, err)
	}
	if err := unix.Mount("bpf", at, "bpf", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "mode=0700"); err != nil {
		return fmt.Errorf("mount a BPF filesystem on %s: %w", at, err)
	}
	return nil
}

func isBPF(path string) (bool, error) {
	var s unix.Statfs_t
	err := unix.Statfs(path, &s)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && s.Type == unix.BPF_FS_MAGIC, err
}
