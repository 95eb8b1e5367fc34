// Package sock makes the Unix sockets by which the processes of one machine
// talk: open to their own user only, from the first moment.
package sock

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// dialTime bounds the look whether somebody serves a socket already.
const dialTime = time.Second

// Listen listens on a stream socket at path, mode 0600. It takes the place of
// one that a killed process left, and refuses to replace one that is served.
//
// There is no moment in which others could connect: Linux takes the mode that
// bind(2) gives the name from the inode of the unbound socket.
func Listen(ctx context.Context, path string) (*net.UnixListener, error) {
	if conn, err := net.DialTimeout("unix", path, dialTime); err == nil {
		conn.Close()
		return nil, fmt.Errorf("listen on %s: another process serves it", path)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("replace old socket: %w", err)
	}
	private := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		var failed error
		if err := raw.Control(func(fd uintptr) { failed = unix.Fchmod(int(fd), 0o600) }); err != nil {
			return err
		}
		return failed
	}}
	l, err := private.Listen(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("listen on private socket: %w", err)
	}
	return l.(*net.UnixListener), nil
}
