package collect

import (
	"path/filepath"
	"strings"
	"time"

	"github.com/hauberk/hauberk/internal/conf"
)

// Config says what the collector watches. The master sends it; changes take a
// restart of the collector.
type Config struct {
	// Dir is a directory of this agent alone, for the time it runs: the loader
	// mounts a bpffs at Dir/bpf, canaries live in Dir/canary.
	Dir string `yaml:"dir"`

	Process ProcessConfig `yaml:"process"`
	Network NetworkConfig `yaml:"network"`
	Denied  DeniedConfig  `yaml:"denied"`
	File    FileConfig    `yaml:"file"`
	Login   LoginConfig   `yaml:"login"`

	// Interval is the longest time an event waits in the kernel or in a batch.
	Interval time.Duration `yaml:"interval"`
	// WakeBytes of waiting records wake the reader before Interval.
	WakeBytes int `yaml:"wake_bytes"`
	// BulkRing and PriorityRing are sizes in bytes, powers of two.
	BulkRing     int `yaml:"bulk_ring"`
	PriorityRing int `yaml:"priority_ring"`
	// StatusInterval is how often sensors and counters are reported.
	StatusInterval time.Duration `yaml:"status_interval"`
}

// ProcessConfig is about exec, exit and the process table.
type ProcessConfig struct {
	// Method is auto (eBPF, else the process connector), ebpf, cn_proc or off.
	Method string `yaml:"method"`
	// Directory adds the working directory to exec events.
	Directory bool `yaml:"directory"`
	// TableEntries bounds the process table.
	TableEntries int `yaml:"table_entries"`
	// HashMaxBytes is the size of the largest executable that is hashed; 0
	// turns hashing off.
	HashMaxBytes int64 `yaml:"hash_max_bytes"`
	// HashBytesPerSecond bounds the work of hashing.
	HashBytesPerSecond int64 `yaml:"hash_bytes_per_second"`
}

// NetworkConfig is about TCP connect, accept and listen (eBPF only).
type NetworkConfig struct {
	Enabled bool `yaml:"enabled"`
}

// DeniedConfig is about refused opens of sensitive paths (eBPF only).
type DeniedConfig struct {
	Enabled bool `yaml:"enabled"`
	// Paths are absolute; each means itself and everything below it.
	Paths []string `yaml:"paths"`
	// PerSecond bounds the denials each CPU reports, of any path.
	PerSecond int `yaml:"per_second"`
}

// FileConfig is about changes of watched paths (fanotify).
type FileConfig struct {
	Enabled bool `yaml:"enabled"`
	// Paths are absolute, with * and ? within a component. A path that is a
	// directory stands for everything below it. What does not exist yet is
	// seen when it appears, if its parent exists.
	Paths []string `yaml:"paths"`
}

// LoginConfig is about log-ins and sudo.
type LoginConfig struct {
	// Method is auto (auth.log where it is, else journald), auth.log,
	// journald or off.
	Method string `yaml:"method"`
	// Files are tried in order for auth.log.
	Files []string `yaml:"files"`
}

// DefaultConfig returns what an agent watches without being told.
func DefaultConfig() Config {
	return Config{
		Dir: "/run/hauberk-agent",
		Process: ProcessConfig{
			Method: "auto", Directory: true, TableEntries: 8192,
			HashMaxBytes: 64 << 20, HashBytesPerSecond: 32 << 20,
		},
		Network: NetworkConfig{Enabled: true},
		Denied: DeniedConfig{Enabled: true, PerSecond: 500, Paths: []string{
			"/etc/shadow", "/etc/shadow-", "/etc/gshadow", "/etc/gshadow-",
			"/etc/sudoers", "/etc/sudoers.d", "/etc/security/opasswd",
			"/etc/ssh", "/etc/ssl/private", "/etc/krb5.keytab",
			"/root", "/var/lib/hauberk", "/proc/kcore", "/dev/mem",
			"/var/spool/cron", "/etc/crontab",
		}},
		File: FileConfig{Enabled: true, Paths: []string{
			"/etc/passwd", "/etc/shadow", "/etc/group", "/etc/gshadow",
			"/etc/sudoers", "/etc/sudoers.d",
			"/etc/ld.so.preload", "/etc/ld.so.conf", "/etc/ld.so.conf.d",
			"/etc/crontab", "/etc/anacrontab", "/etc/cron.d", "/etc/cron.hourly", "/etc/cron.daily",
			"/etc/cron.weekly", "/etc/cron.monthly", "/var/spool/cron",
			"/etc/systemd/system", "/usr/lib/systemd/system", "/usr/local/lib/systemd/system", "/run/systemd/system",
			"/etc/init.d", "/etc/rc.local", "/etc/inittab",
			"/etc/ssh", "/root/.ssh", "/home/*/.ssh",
			"/root/.bashrc", "/root/.profile", "/root/.bash_profile", "/home/*/.bashrc", "/home/*/.profile", "/home/*/.bash_profile",
			"/etc/profile", "/etc/profile.d", "/etc/bash.bashrc", "/etc/environment",
			"/etc/pam.d", "/etc/pam.conf", "/etc/nsswitch.conf", "/etc/hosts", "/etc/resolv.conf",
			"/etc/modules", "/etc/modules-load.d", "/etc/modprobe.d", "/etc/udev/rules.d",
			"/etc/apt/sources.list", "/etc/apt/sources.list.d", "/etc/apt/apt.conf.d",
			"/boot",
		}},
		Login: LoginConfig{Method: "auto", Files: []string{"/var/log/auth.log", "/var/log/secure"}},

		Interval: 50 * time.Millisecond, WakeBytes: 256 << 10,
		BulkRing: 1 << 20, PriorityRing: 64 << 10,
		StatusInterval: 10 * time.Second,
	}
}

// Bounds of the configuration.
const (
	maxRing         = 64 << 20
	maxTableEntries = 1 << 20
	maxWatchedPaths = 4096
)

// Validate reports all problems.
func (c *Config) Validate() error {
	var p conf.Problems
	if !filepath.IsAbs(c.Dir) {
		p.Addf("dir: want an absolute path, have %q", c.Dir)
	}
	switch c.Process.Method {
	case "auto", "ebpf", "cn_proc", "off":
	default:
		p.Addf("process.method: want auto, ebpf, cn_proc or off, have %q", c.Process.Method)
	}
	if n := c.Process.TableEntries; n < 64 || n > maxTableEntries {
		p.Addf("process.table_entries: want 64 to %d, have %d", maxTableEntries, n)
	}
	if c.Process.HashMaxBytes < 0 || c.Process.HashBytesPerSecond < 0 {
		p.Addf("process: hash_max_bytes and hash_bytes_per_second may not be negative")
	}
	for key, size := range map[string]int{"bulk_ring": c.BulkRing, "priority_ring": c.PriorityRing} {
		if size < 4096 || size > maxRing || size&(size-1) != 0 {
			p.Addf("%s: want a power of two from 4096 to %d, have %d", key, maxRing, size)
		}
	}
	if c.WakeBytes < 1 || c.WakeBytes > c.BulkRing/2 {
		p.Addf("wake_bytes: want 1 to half of bulk_ring, have %d", c.WakeBytes)
	}
	if c.Interval < time.Millisecond || c.Interval > time.Second {
		p.Addf("interval: want 1ms to 1s, have %s", c.Interval)
	}
	if c.StatusInterval < 100*time.Millisecond {
		p.Addf("status_interval: want at least 100ms, have %s", c.StatusInterval)
	}
	if c.Denied.PerSecond < 1 {
		p.Addf("denied.per_second: want at least 1, have %d", c.Denied.PerSecond)
	}
	checkPaths(&p, "denied.paths", c.Denied.Paths)
	checkPaths(&p, "file.paths", c.File.Paths)
	switch c.Login.Method {
	case "auto", "auth.log", "journald", "off":
	default:
		p.Addf("login.method: want auto, auth.log, journald or off, have %q", c.Login.Method)
	}
	checkPaths(&p, "login.files", c.Login.Files)
	return p.Err()
}

func checkPaths(p *conf.Problems, key string, paths []string) {
	if len(paths) > maxWatchedPaths {
		p.Addf("%s: at most %d, have %d", key, maxWatchedPaths, len(paths))
	}
	for _, path := range paths {
		if !strings.HasPrefix(path, "/") || filepath.Clean(path) != path {
			p.Addf("%s: want clean absolute paths, have %q", key, path)
		}
	}
}

// pins is where the loader mounts its bpffs.
func (c *Config) pins() string { return filepath.Join(c.Dir, "bpf") }

// canaries is where the canaries live.
func (c *Config) canaries() string { return filepath.Join(c.Dir, "canary") }
