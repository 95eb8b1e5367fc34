package cgroup

import (
	"strings"
	"testing"
)

const id = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

func TestContainerID(t *testing.T) {
	for path, want := range map[string]string{
		"/": "", "": "", "/user.slice/user-0.slice/session-1.scope": "",
		"/docker/" + id:                         id,
		"/system.slice/docker-" + id + ".scope": id,
		"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1.slice/cri-containerd-" + id + ".scope": id,
		"/machine.slice/libpod-" + id + ".scope/container":                                                       id,
		"/docker/" + id[:63]:  "",
		"/docker/" + id + "0": "",
		"/docker/" + strings.Repeat("f", 64) + "/docker/" + id: id,
		"/lxc.payload.web/init.scope":                          "web",
	} {
		if got := ContainerID([]byte(path)); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
}

func FuzzContainerID(f *testing.F) {
	f.Add([]byte("/docker/" + id))
	f.Add([]byte("//lxc.payload."))
	f.Fuzz(func(t *testing.T, path []byte) {
		if got := ContainerID(path); got != "" && !strings.Contains(string(path), got) {
			t.Fatalf("%q is not in %q", got, path)
		}
	})
}

func TestDetect(t *testing.T) {
	const hybrid = `25 21 0:22 / /sys/fs/cgroup rw - tmpfs tmpfs rw
26 25 0:23 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
27 25 0:24 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids
28 25 0:25 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
`
	const pure = "30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
	const list = "#subsys_name\thierarchy\tnum_cgroups\tenabled\nmemory\t4\t15\t1\npids\t8\t1\t1\n"
	h, err := detect(strings.NewReader(hybrid), strings.NewReader(list))
	if err != nil || h != (Hierarchy{"pids", 8, "/sys/fs/cgroup/pids"}) {
		t.Fatalf("hybrid: %+v, %v", h, err)
	}
	h, err = detect(strings.NewReader(pure), strings.NewReader("#\nmemory\t0\t1\t1\npids\t0\t1\t1\n"))
	if err != nil || h != (Hierarchy{"", 0, "/sys/fs/cgroup"}) {
		t.Fatalf("v2: %+v, %v", h, err)
	}
	if _, err = detect(strings.NewReader(""), strings.NewReader("")); err == nil {
		t.Fatal("no hierarchy is no error")
	}
}

func TestNamesAreBounded(t *testing.T) {
	var n Names
	for i := range uint64(maxContainers + 10) {
		n.Add(i, []byte("/docker/"+id))
	}
	if len(n.ids) != maxContainers || n.Overflow != 10 {
		t.Fatalf("%d names, overflow %d", len(n.ids), n.Overflow)
	}
	last := uint64(maxContainers + 9)
	if n.Container(last) != id {
		t.Fatal("the newest cgroup is not known")
	}
	n.Add(last, []byte("/user.slice")) // the id was used again
	if n.Container(last) != "" {
		t.Fatal("a cgroup outside containers kept an old container's id")
	}
}
