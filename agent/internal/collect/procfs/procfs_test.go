package procfs

import (
	"os"
	"strings"
	"testing"
)

func TestReadSelf(t *testing.T) {
	var r Reader
	p, err := r.Read(uint32(os.Getpid()))
	if err != nil {
		t.Fatal(err)
	}
	exe, _ := os.Executable()
	if string(p.Executable) != exe || p.Parent.PID != uint32(os.Getppid()) || p.UID != uint32(os.Getuid()) || p.Start == 0 {
		t.Fatalf("read %+v", p)
	}
	if want := strings.Join(os.Args, "\x00") + "\x00"; string(p.Args) != want || int(p.ArgsLength) != len(want) {
		t.Fatalf("args %q, want %q", p.Args, want)
	}
	pids, err := r.Pids()
	if err != nil || len(pids) == 0 {
		t.Fatalf("pids %v, %v", pids, err)
	}
	if _, err := r.Read(1 << 30); err == nil {
		t.Fatal("a process that is not there was read")
	}
}

func TestParse(t *testing.T) {
	var p Process
	err := parseStat([]byte("42 (a) b) S 7 42 41 34817 42 4194304 1 2 3 4 5 6 7 8 20 0 1 0 1234 5 6"), &p)
	if err != nil || p.Parent.PID != 7 || p.Session != 41 || p.Start != 1234*tick || string(p.Name[:4]) != "a) b" || string(p.Terminal[:4]) != "pts1" {
		t.Fatalf("%+v, %v", p, err)
	}
	text := []byte("8:pids:/docker/x\n4:cpu,cpuacct:/y\n0::/z\n")
	for controller, want := range map[string]string{"": "/z", "pids": "/docker/x", "cpuacct": "/y", "none": ""} {
		if got := string(cgroupPath(text, controller)); got != want {
			t.Errorf("%q: %q, want %q", controller, got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("42 (a) S 7 42 41 34817 42 4194304 1 2 3 4 5 6 7 8 20 0 1 0 1234 5 6"))
	f.Add([]byte("Uid:\t0\t1\nGid:\n0::/"))
	f.Add([]byte(")("))
	f.Fuzz(func(t *testing.T, text []byte) {
		var p Process
		parseStat(text, &p)
		parseStatus(text, &p)
		cgroupPath(text, "pids")
		cgroupPath(text, "")
	})
}
