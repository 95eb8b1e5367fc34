package sigmatest

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/hauberk/hauberk/sigma"
)

// command is a kind of process seen on ordinary hosts. In its parts, # stands
// for a number and @ for a word.
type command struct{ image, line, parent, parentLine, cwd string }

// builds is what a build host runs all day.
var builds = []command{
	{"/usr/bin/gcc", "gcc -O2 -Wall -Wextra -I./include -I/usr/include/@ -DNDEBUG -c -o build/obj/@_#.o src/@/@.c", "/usr/bin/make", "make -j8 -C /home/builder/src/@-# all", "/home/builder/src/@"},
	{"/usr/lib/gcc/x86_64-linux-gnu/12/cc1", "/usr/lib/gcc/x86_64-linux-gnu/12/cc1 -quiet -I ./include -imultiarch x86_64-linux-gnu -D NDEBUG src/@/@.c -quiet -dumpdir build/obj/ -dumpbase @.c -mtune=generic -march=x86-64 -O2 -o /tmp/cc@#.s", "/usr/bin/gcc", "gcc -O2 -c src/@.c", "/home/builder/src/@"},
	{"/usr/bin/x86_64-linux-gnu-as", "as -I ./include --64 -o build/obj/@_#.o /tmp/cc@#.s", "/usr/bin/gcc", "gcc -O2 -c src/@.c", "/home/builder/src/@"},
	{"/usr/bin/x86_64-linux-gnu-ld.bfd", "/usr/bin/ld -plugin /usr/lib/gcc/x86_64-linux-gnu/12/liblto_plugin.so --build-id --eh-frame-hdr -m elf_x86_64 --hash-style=gnu -o build/@ build/obj/@.o -L/usr/lib/x86_64-linux-gnu -lc", "/usr/bin/gcc", "gcc -o build/@", "/home/builder/src/@"},
	{"/bin/sh", "/bin/sh -c echo '  CC    src/@/@.c'; mkdir -p build/obj/@", "/usr/bin/make", "make -j8 all", "/home/builder/src/@"},
	{"/usr/bin/mkdir", "mkdir -p build/obj/@/@", "/bin/sh", "/bin/sh -c mkdir -p build/obj/@", "/home/builder/src/@"},
	{"/usr/bin/git", "git rev-parse --short HEAD", "/bin/sh", "/bin/sh -c git rev-parse --short HEAD", "/home/builder/src/@"},
	{"/usr/bin/sed", "sed -e s/@/@/g -e /^#/d config/@.in", "/usr/bin/bash", "bash ./configure --prefix=/usr --enable-@", "/home/builder/src/@"},
	{"/usr/bin/grep", "grep -E -q ^@=# /home/builder/src/@/config.status", "/usr/bin/bash", "bash ./configure --prefix=/usr", "/home/builder/src/@"},
	{"/usr/local/go/pkg/tool/linux_amd64/compile", "/usr/local/go/pkg/tool/linux_amd64/compile -o /tmp/go-build#/b#/_pkg_.a -trimpath /tmp/go-build#/b#=> -p github.com/@/@ -std -complete -buildid @# -goversion go1.26 -c=4 -nolocalimports -importcfg /tmp/go-build#/b#/importcfg -pack ./@.go ./@.go", "/usr/local/go/bin/go", "go build ./...", "/home/builder/go/src/@"},
	{"/usr/bin/rm", "rm -f build/obj/@_#.o", "/usr/bin/make", "make clean", "/home/builder/src/@"},
	{"/usr/bin/expr", "expr @# : .*@", "/usr/bin/bash", "bash ./configure --prefix=/usr", "/home/builder/src/@"},
}

// servers is what servers run.
var servers = []command{
	{"/usr/sbin/nginx", "nginx: worker process", "/usr/sbin/nginx", "nginx: master process /usr/sbin/nginx -g daemon on; master_process on;", "/"},
	{"/usr/bin/curl", "curl -fsS -m 5 http://127.0.0.1:#/healthz", "/bin/sh", "/bin/sh -c curl -fsS -m 5 http://127.0.0.1:#/healthz", "/"},
	{"/usr/sbin/cron", "/usr/sbin/CRON -f", "/usr/sbin/cron", "/usr/sbin/cron -f", "/"},
	{"/bin/sh", "/bin/sh -c test -x /usr/sbin/@ && /usr/sbin/@ --report /etc/cron.daily", "/usr/sbin/cron", "/usr/sbin/CRON -f", "/root"},
	{"/usr/bin/systemctl", "systemctl is-active --quiet @.service", "/usr/bin/bash", "bash /opt/@/bin/watch.sh", "/opt/@"},
	{"/usr/sbin/sshd", "sshd: @ [priv]", "/usr/sbin/sshd", "sshd: /usr/sbin/sshd -D [listener] 0 of 10-100 startups", "/"},
	{"/usr/bin/bash", "-bash", "/usr/sbin/sshd", "sshd: @@pts/#", "/home/@"},
	{"/usr/bin/ls", "ls --color=auto -la /var/lib/@", "/usr/bin/bash", "-bash", "/home/@"},
	{"/usr/bin/ps", "ps -eo pid,ppid,pcpu,rss,comm --sort=-rss", "/usr/bin/python3.11", "python3 /opt/@/agent.py", "/opt/@"},
	{"/usr/bin/python3.11", "python3 /opt/@/manage.py runworker --queue @ --concurrency #", "/usr/lib/systemd/systemd", "/sbin/init", "/opt/@"},
	{"/usr/bin/docker", "docker inspect --format {{.State.Running}} @-#", "/usr/bin/python3.11", "python3 /opt/@/agent.py", "/opt/@"},
	{"/usr/bin/runc", "runc --root /var/run/docker/runtime-runc/moby --log /run/containerd/io.containerd.runtime.v2.task/moby/@#/log.json --log-format json exec --process /tmp/runc-process# --detach @#", "/usr/bin/containerd-shim-runc-v2", "/usr/bin/containerd-shim-runc-v2 -namespace moby -id @#", "/run/containerd"},
	{"/usr/lib/postgresql/15/bin/postgres", "postgres: 15/main: autovacuum worker @", "/usr/lib/postgresql/15/bin/postgres", "/usr/lib/postgresql/15/bin/postgres -D /var/lib/postgresql/15/main", "/var/lib/postgresql/15/main"},
	{"/usr/bin/tar", "tar -czf /var/backups/@-#.tar.gz --exclude=cache -C /srv @", "/usr/bin/bash", "bash /usr/local/sbin/backup.sh", "/root"},
	{"/usr/bin/find", "find /var/cache/@ -type f -mtime +# -delete", "/bin/sh", "/bin/sh -c find /var/cache/@", "/"},
	{"/usr/bin/apt-get", "apt-get -qq -y update", "/bin/sh", "/bin/sh /usr/lib/apt/apt.systemd.daily update", "/"},
}

var typicalWords = strings.Fields("alpha server worker cache index parser buffer socket engine module widget report storage loader runtime common driver client queue render daemon billing orders search media gateway frontend backend metrics")

// Event is a compact sigma.Event: a few values, found by a table that all
// events share.
type Event struct {
	place  []int8 // by FieldID: index into values, -1 for absent
	values []sigma.Value
}

// Value implements sigma.Event.
func (e *Event) Value(id sigma.FieldID, v *sigma.Value) bool {
	i := e.place[id]
	if i < 0 {
		return false
	}
	*v = e.values[i]
	return true
}

// Typical makes n process events of ordinary hosts: half of a build host, half
// of servers. schema needs process.executable, process.command_line,
// process.args, process.parent.executable, process.parent.command_line,
// process.working_directory, user.name and process.pid.
func Typical(seed uint64, schema *sigma.Schema, n int) []Event {
	rng := rand.New(rand.NewPCG(seed, 1))
	fill := func(s string) string {
		var b strings.Builder
		for _, c := range s {
			switch c {
			case '#':
				fmt.Fprintf(&b, "%d", rng.IntN(40_000))
			case '@':
				b.WriteString(typicalWords[rng.IntN(len(typicalWords))])
			default:
				b.WriteRune(c)
			}
		}
		return b.String()
	}
	names := []string{
		"process.executable", "process.command_line", "process.args", "process.parent.executable", "process.parent.command_line",
		"process.working_directory", "process.name", "user.name", "process.pid",
	}
	place := make([]int8, len(schema.Fields()))
	for i := range place {
		place[i] = -1
	}
	for i, name := range names {
		if id, _, ok := schema.Lookup(name); ok {
			place[id] = int8(i)
		}
	}
	out := make([]Event, n)
	for i := range out {
		kind, user := builds, "builder"
		if i%2 == 1 {
			kind, user = servers, "root"
		}
		c := kind[rng.IntN(len(kind))]
		line := fill(c.line)
		out[i] = Event{place, []sigma.Value{
			sigma.Text(c.image), sigma.Text(line), sigma.List(strings.Fields(line)...), sigma.Text(c.parent), sigma.Text(fill(c.parentLine)),
			sigma.Text(fill(c.cwd)), sigma.Text(c.image[strings.LastIndexByte(c.image, '/')+1:]), sigma.Text(user), sigma.Int(int64(1000 + rng.IntN(30_000))),
		}}
	}
	return out
}
