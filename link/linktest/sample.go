package linktest

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/hauberk/hauberk/event"
)

// Host makes exec events as a busy Linux server makes them: builds, cron
// jobs, package scripts, a web server's helpers, administrators' shells. Each
// seed is another host, with its own names of projects, users and files and
// its own builds of the executables; the same seed makes the same events.
type Host struct {
	rng      *rand.Rand
	seed     uint64
	boot     uint64 // ns since boot
	pid      uint32
	sequence uint64
	hashes   map[string]string
	roots    []*event.Process
	projects []string
	modules  []string
	users    []user
}

type user struct {
	name     string
	uid, gid uint32
}

// NewHost returns the host of that seed.
func NewHost(seed uint64) *Host {
	h := &Host{
		rng: rand.New(rand.NewPCG(seed, 0x48617562)), seed: seed,
		boot: 3_600_000_000_000, pid: 1200, hashes: map[string]string{},
	}
	for range 6 {
		h.projects = append(h.projects, h.word()+h.pick("", "-core", "-api", "d", "lib"))
	}
	for range 120 {
		h.modules = append(h.modules, h.word()+"_"+h.word())
	}
	h.users = []user{{"root", 0, 0}, {"www-data", 33, 33}, {"postgres", 112, 120}, {h.word(), 1000, 1000}, {h.word(), 1001, 1001}}
	container := h.hex(64)
	init := h.process(nil, "/sbin/init", "/sbin/init", "/", h.users[0])
	for _, s := range []struct{ exe, args, cwd string }{
		{"/usr/sbin/cron", "/usr/sbin/cron -f", "/"},
		{"/usr/sbin/sshd", "sshd: /usr/sbin/sshd -D [listener] 0 of 10-100 startups", "/"},
		{"/usr/sbin/nginx", "nginx: master process /usr/sbin/nginx -g daemon on; master_process on;", "/"},
		{"/usr/bin/containerd-shim-runc-v2", "/usr/bin/containerd-shim-runc-v2 -namespace moby -id " + container + " -address /run/containerd/containerd.sock", "/"},
	} {
		h.roots = append(h.roots, h.process(init, s.exe, s.args, s.cwd, h.users[0]))
	}
	h.roots[3].ContainerId = container
	return h
}

func (h *Host) pick(of ...string) string { return of[h.rng.IntN(len(of))] }

func (h *Host) hex(n int) string {
	const digits = "0123456789abcdef"
	b := make([]byte, n)
	for i := range b {
		b[i] = digits[h.rng.IntN(16)]
	}
	return string(b)
}

func (h *Host) word() string {
	var b strings.Builder
	for range 2 + h.rng.IntN(2) {
		b.WriteString(h.pick("ba", "co", "da", "fle", "ga", "he", "ki", "lo", "mar", "ne", "or", "pa", "qui", "ro", "sta", "ti", "ul", "ver", "wi", "zo"))
	}
	return b.String()
}

// process makes a process, child of parent, that has just run exe.
func (h *Host) process(parent *event.Process, exe, args, cwd string, u user) *event.Process {
	h.pid += 1 + uint32(h.rng.IntN(3))
	if h.pid > 4_000_000 {
		h.pid = 300
	}
	h.boot += 150_000 + uint64(h.rng.ExpFloat64()*2_000_000)
	name := exe[strings.LastIndexByte(exe, '/')+1:]
	p := &event.Process{
		Pid: h.pid, Start: h.boot, Executable: []byte(exe), Name: []byte(name[:min(15, len(name))]),
		Args: []byte(strings.ReplaceAll(args, " ", "\x00")), WorkingDirectory: []byte(cwd),
		Uid: u.uid, Gid: u.gid, EffectiveUid: u.uid, User: u.name, Cgroup: 4000 + h.seed%1000, Sha256: h.hash(exe),
	}
	if u.uid >= 1000 {
		p.LoginUid, p.Tty, p.Session = u.uid+1, []byte("pts/0"), 900+u.uid
	}
	if parent != nil {
		p.Ancestors = append(p.Ancestors, &event.Ancestor{
			Pid: parent.Pid, Start: parent.Start, Executable: parent.Executable, Args: parent.Args,
			Name: parent.Name, Uid: parent.Uid, WorkingDirectory: parent.WorkingDirectory,
		})
		p.Ancestors = append(p.Ancestors, parent.Ancestors[:min(len(parent.Ancestors), event.MaxAncestors-1)]...)
		p.ContainerId, p.Cgroup = parent.ContainerId, parent.Cgroup
	}
	return p
}

// hash returns the hash of the host's build of an executable.
func (h *Host) hash(exe string) string {
	if h.hashes[exe] == "" {
		sum := sha256.Sum256(fmt.Appendf(nil, "%d %s", h.seed, exe))
		h.hashes[exe] = hex.EncodeToString(sum[:])
	}
	return h.hashes[exe]
}

// drain is the time between two reads of the ring, in ns.
const drain = 50_000_000

// Batch makes a batch of at least n exec events, without node, tenant and
// host, as a node sends it.
func (h *Host) Batch(n int) *event.Batch {
	b := &event.Batch{FirstSequence: h.sequence + 1, BaseTime: 1_790_000_000_000_000_000 + int64(h.boot), Schema: event.Schema, Class: event.Class_CLASS_BULK}
	base := int64(h.boot)
	add := func(p *event.Process) {
		// It ran 20 to 300 us after the fork; the node sees it when it next
		// reads its ring.
		happened := int64(p.Start) - base + 20_000 + int64(h.rng.IntN(280_000))
		observed := (happened/drain + 1) * drain
		b.Events = append(b.Events, &event.Event{
			ObservedDelta: observed, Lag: observed - happened,
			Process: p, Collector: event.Collector_COLLECTOR_EBPF, Body: &event.Event_Exec{Exec: &event.ProcessExec{}},
		})
	}
	for len(b.Events) < n {
		scene := []func(func(*event.Process)){h.build, h.build, h.build, h.cron, h.login, h.web, h.container}
		scene[h.rng.IntN(len(scene))](add)
	}
	h.sequence += uint64(len(b.Events))
	return b
}

func (h *Host) build(add func(*event.Process)) {
	u := h.users[3+h.rng.IntN(2)]
	project := h.pick(h.projects...)
	cwd := "/home/" + u.name + "/src/" + project
	shell := h.process(h.roots[1], "/usr/bin/bash", "-bash", "/home/"+u.name, u)
	add(shell)
	top := h.process(shell, "/usr/bin/make", fmt.Sprintf("make -j%d", 2<<h.rng.IntN(4)), cwd, u)
	add(top)
	for range 2 + h.rng.IntN(10) {
		m := h.pick(h.modules...)
		sh := h.process(top, "/usr/bin/dash", fmt.Sprintf("/bin/sh -c gcc -O2 -g -Wall -Wextra -Iinclude -DNDEBUG -c -o build/%s.o src/%s.c", m, m), cwd, u)
		add(sh)
		gcc := h.process(sh, "/usr/bin/x86_64-linux-gnu-gcc-12", fmt.Sprintf("gcc -O2 -g -Wall -Wextra -Iinclude -DNDEBUG -c -o build/%s.o src/%s.c", m, m), cwd, u)
		add(gcc)
		tmp := "/tmp/cc" + h.pick("aB", "Qz", "x9", "Lm") + h.hex(4)
		add(h.process(gcc, "/usr/lib/gcc/x86_64-linux-gnu/12/cc1", fmt.Sprintf("/usr/lib/gcc/x86_64-linux-gnu/12/cc1 -quiet -I include -imultiarch x86_64-linux-gnu -D NDEBUG src/%s.c -quiet -dumpdir build/ -dumpbase %s.c -dumpbase-ext .c -mtune=generic -march=x86-64 -g -O2 -Wall -Wextra -fasynchronous-unwind-tables -o %s.s", m, m, tmp), cwd, u))
		add(h.process(gcc, "/usr/bin/x86_64-linux-gnu-as", fmt.Sprintf("as --gdwarf-5 -I include --64 -o build/%s.o %s.s", m, tmp), cwd, u))
	}
}

func (h *Host) cron(add func(*event.Process)) {
	cron := h.process(h.roots[0], "/usr/sbin/cron", "/usr/sbin/CRON -f", "/", h.users[0])
	job := h.pick("/usr/lib/sysstat/debian-sa1 1 1", "cd / && run-parts --report /etc/cron.hourly", "/usr/local/bin/backup-"+h.pick(h.projects...)+" --incremental", "[ -x /usr/lib/php/sessionclean ] && if [ ! -d /run/systemd/system ]; then /usr/lib/php/sessionclean; fi")
	sh := h.process(cron, "/usr/bin/dash", "/bin/sh -c "+job, "/root", h.users[0])
	add(sh)
	for _, tool := range []struct{ exe, args string }{
		{"/usr/bin/date", "date +%d"}, {"/usr/bin/grep", "grep -q " + h.word() + " /etc/" + h.word() + ".conf"},
		{"/usr/bin/find", "find /var/lib/" + h.word() + " -type f -mtime +7 -delete"}, {"/usr/bin/stat", "stat -c %Y /var/cache/" + h.word()},
	} {
		if h.rng.IntN(3) > 0 {
			add(h.process(sh, tool.exe, tool.args, "/root", h.users[0]))
		}
	}
}

func (h *Host) login(add func(*event.Process)) {
	u := h.users[3+h.rng.IntN(2)]
	session := h.process(h.roots[1], "/usr/sbin/sshd", "sshd: "+u.name+" [priv]", "/", h.users[0])
	shell := h.process(session, "/usr/bin/bash", "-bash", "/home/"+u.name, u)
	add(shell)
	for range 1 + h.rng.IntN(5) {
		m := h.pick(h.modules...)
		switch h.rng.IntN(5) {
		case 0:
			add(h.process(shell, "/usr/bin/ls", "ls --color=auto -la "+m, "/home/"+u.name, u))
		case 1:
			add(h.process(shell, "/usr/bin/git", "git status --short --branch", "/home/"+u.name+"/src/"+h.pick(h.projects...), u))
		case 2:
			add(h.process(shell, "/usr/bin/sudo", "sudo systemctl restart "+h.pick(h.projects...)+".service", "/home/"+u.name, u))
		case 3:
			add(h.process(shell, "/usr/bin/vim.basic", "vim src/"+m+".c", "/home/"+u.name+"/src/"+h.pick(h.projects...), u))
		case 4:
			add(h.process(shell, "/usr/bin/python3.11", "python3 tools/"+m+".py --verbose --out /tmp/"+h.hex(8), "/home/"+u.name, u))
		}
	}
}

func (h *Host) web(add func(*event.Process)) {
	u := h.users[1]
	worker := h.process(h.roots[2], "/usr/sbin/php-fpm8.2", "php-fpm: pool www", "/var/www/"+h.pick(h.projects...), u)
	for range 1 + h.rng.IntN(3) {
		sh := h.process(worker, "/usr/bin/dash", fmt.Sprintf("sh -c convert '/var/www/uploads/%s.png' -resize 320x320 '/var/www/thumbs/%s.jpg'", h.hex(12), h.hex(12)), "/var/www", u)
		add(sh)
		add(h.process(sh, "/usr/bin/convert-im6.q16", strings.TrimPrefix(string(sh.Args), "sh\x00-c\x00"), "/var/www", u))
	}
}

func (h *Host) container(add func(*event.Process)) {
	sh := h.process(h.roots[3], "/bin/sh", "/bin/sh -c curl -fsS http://127.0.0.1:8080/healthz || exit 1", "/app", h.users[0])
	add(sh)
	add(h.process(sh, "/usr/bin/curl", "curl -fsS http://127.0.0.1:8080/healthz", "/app", h.users[0]))
}
