package node

import (
	"os"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// Host are the facts of this machine a gateway is told.
type Host struct{ Name, OS, Kernel, Arch string }

// ThisHost reads them; what cannot be read is empty.
func ThisHost() Host {
	h := Host{Arch: runtime.GOARCH}
	h.Name, _ = os.Hostname()
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		h.Kernel = unix.ByteSliceToString(u.Release[:])
	}
	data, err := os.ReadFile("/etc/os-release")
	if err == nil {
		h.OS = prettyName(string(data))
	}
	return h
}

// prettyName returns PRETTY_NAME of an os-release file (os-release(5)).
func prettyName(data string) string {
	for line := range strings.Lines(data) {
		if v, ok := strings.CutPrefix(line, "PRETTY_NAME="); ok {
			return strings.Trim(strings.TrimSpace(v), `"'`)
		}
	}
	return ""
}
