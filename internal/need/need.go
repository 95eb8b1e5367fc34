// Package need says what a test needs from the machine, so that the
// unprivileged `go test ./...` passes anywhere and the privileged lane
// (NEED=all) lets nothing be skipped: there a missing need is a failure.
//
// Absent outside data (../shared/data) is the one permitted skip.
package need

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
)

// all reports whether this is the privileged lane.
func all() bool { return os.Getenv("NEED") == "all" }

// missing skips the test, or fails it in the privileged lane.
func missing(t testing.TB, what string) {
	t.Helper()
	if all() {
		t.Fatalf("need: %s (NEED=all allows no skip)", what)
	}
	t.Skipf("need: %s", what)
}

// Root needs effective uid 0 and the privileged lane's consent: a test that
// changes the machine (BPF, namespaces, cgroups) runs only with NEED set, to
// "all" or "root".
func Root(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		missing(t, "root")
	}
	if os.Getenv("NEED") == "" {
		t.Skip("need: root tests run with NEED=root or NEED=all")
	}
}

// BPF needs root and a kernel with BTF.
func BPF(t testing.TB) {
	t.Helper()
	Root(t)
	if _, err := os.Stat("/sys/kernel/btf/vmlinux"); err != nil {
		missing(t, "a kernel with BTF (/sys/kernel/btf/vmlinux)")
	}
}

// Program needs an executable on PATH and returns where it is.
func Program(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		missing(t, "the program "+name)
	}
	return path
}

// Data needs a folder of the public test data and returns its path: below
// $HAUBERK_DATA, else below ../shared/data beside the checkout.
func Data(t testing.TB, folder string) string {
	t.Helper()
	root := os.Getenv("HAUBERK_DATA")
	if root == "" {
		root = filepath.Join(moduleRoot(), "..", "shared", "data")
	}
	path := filepath.Join(root, folder)
	if _, err := os.Stat(path); err != nil {
		t.Skipf("need: outside data %s (set HAUBERK_DATA)", path)
	}
	return path
}

// moduleRoot is the folder of go.mod, two above this file.
func moduleRoot() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Dir(filepath.Dir(filepath.Dir(file)))
}

// Library needs a shared library by its soname, in the folders where the
// loader of Debian, Fedora or Alpine looks.
func Library(t testing.TB, soname string) {
	t.Helper()
	for _, pattern := range []string{"/lib/*/", "/usr/lib/*/", "/usr/lib64/", "/usr/lib/", "/lib/"} {
		if found, _ := filepath.Glob(pattern + soname); len(found) > 0 {
			return
		}
	}
	missing(t, "the library "+soname)
}
