package ebpf

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/rlimit"
	"golang.org/x/sys/unix"

	"github.com/hauberk/hauberk/agent/internal/collect/cgroup"
)

// LoadConfig says what the loader puts into the kernel.
type LoadConfig struct {
	Pins            string // directory on which a bpffs is mounted
	BulkRing        int
	PriorityRing    int
	WakeBytes       int
	Directory       bool // working directory in exec records
	Network         bool
	Denied          bool
	DeniedPerSecond int
}

// bpffsMagic is BPF_FS_MAGIC of linux/magic.h.
const bpffsMagic = 0xcafe4a11

// probe is one program, where it attaches, and whether the feature it belongs
// to can do without it.
type probe struct {
	program  string
	syscall  string // of tracepoint/syscalls/sys_exit_<syscall>; empty: tp_btf
	optional bool
}

// features are loaded and attached each as a whole. The first is the core,
// without which there is no eBPF source.
var features = []struct {
	name   string
	probes []probe
}{
	{featureProcess, []probe{{program: programProgOnFork}, {program: programProgOnExec}, {program: programProgOnExit},
		{program: programProgOnCgroup}, {program: programProgSnapshot}}},
	{featureNetwork, []probe{{program: programProgOnState}, {program: programProgOnAccept, syscall: "accept"}, {program: programProgOnAccept4, syscall: "accept4"}}},
	{featureDenied, []probe{{program: programProgOnOpenat, syscall: "openat"}, {program: programProgOnOpenat2, syscall: "openat2", optional: true},
		{program: programProgOnOpen, syscall: "open", optional: true}}},
}

const (
	featureProcess = "process"
	featureNetwork = "network"
	featureDenied  = "denied"
)

var pinnedMaps = []string{programMapBulk, programMapPriority, programMapAccounts, programMapControls}

// Load mounts a bpffs at Pins, loads the programs, pins maps and links and
// returns. What an earlier loader of the same build and configuration left is
// kept, so that a collector that comes back misses nothing. The error of a
// feature that this kernel refuses is written to Pins' neighbour <feature>.txt
// and Load goes on without it, unless it is the core.
func Load(config LoadConfig) error {
	dir := filepath.Join(config.Pins, config.fingerprint())
	if _, err := os.Stat(filepath.Join(dir, doneMark)); err == nil {
		return nil
	}
	if _, err := unmountPins(config.Pins); err != nil {
		return err
	}
	if err := mountPins(config.Pins); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return fmt.Errorf("make pin directory: %w", err)
	}
	// The thread may get a mount namespace of its own, so it is not given
	// back to the runtime.
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		done <- load(config, dir)
	}()
	if err := <-done; err != nil {
		return errors.Join(err, Unpin(config.Pins))
	}
	if err := os.Mkdir(filepath.Join(dir, doneMark), 0o700); err != nil {
		return fmt.Errorf("mark pins as complete: %w", err)
	}
	return nil
}

// doneMark is a directory, because a bpffs holds no ordinary files.
const doneMark = "done"

// fingerprint names the pins of this object and configuration.
func (c LoadConfig) fingerprint() string {
	sum := sha256.New()
	sum.Write(_ProgramBytes)
	c.Pins = ""
	fmt.Fprintf(sum, "%+v", c)
	return hex.EncodeToString(sum.Sum(nil)[:8])
}

func mountPins(pins string) error {
	if err := os.MkdirAll(pins, 0o700); err != nil {
		return fmt.Errorf("make mount point: %w", err)
	}
	if err := unix.Mount("hauberk", pins, "bpf", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "mode=0700"); err != nil {
		return fmt.Errorf("mount bpffs at %s: %w", pins, err)
	}
	return nil
}

// unmountPins unmounts what is mounted at pins, and with it goes everything
// that is pinned there. It reports whether pins exists.
func unmountPins(pins string) (bool, error) {
	for {
		var stat unix.Statfs_t
		err := unix.Statfs(pins, &stat)
		if errors.Is(err, fs.ErrNotExist) {
			return false, nil
		}
		if err != nil {
			return false, fmt.Errorf("look at %s: %w", pins, err)
		}
		if uint32(stat.Type) != bpffsMagic {
			return true, nil
		}
		if err := unix.Unmount(pins, unix.MNT_DETACH); err != nil {
			return true, fmt.Errorf("unmount %s: %w", pins, err)
		}
	}
}

// Unpin removes everything Load left in the kernel: the programs detach with
// their last pin. It is no error if there is nothing.
func Unpin(pins string) error {
	if exists, err := unmountPins(pins); err != nil || !exists {
		return err
	}
	for _, feature := range features {
		os.Remove(reasonFile(pins, feature.name))
	}
	if err := os.Remove(pins); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove mount point: %w", err)
	}
	return nil
}

// reasonFile is where the loader says why a feature is not there.
func reasonFile(pins, feature string) string {
	return filepath.Join(filepath.Dir(pins), feature+".txt")
}

// load does the work of Load in a thread of its own.
func load(config LoadConfig, dir string) error {
	if err := rlimit.RemoveMemlock(); err != nil {
		return fmt.Errorf("raise the limit of locked memory: %w", err)
	}
	spec, err := loadProgram()
	if err != nil {
		return err
	}
	if err := config.apply(spec); err != nil {
		return err
	}
	maps := map[string]*ebpf.Map{}
	cache := btf.NewCache()
	for i, feature := range features {
		os.Remove(reasonFile(config.Pins, feature.name))
		if feature.name == featureNetwork && !config.Network || feature.name == featureDenied && !config.Denied {
			continue
		}
		err := loadFeature(spec, feature.probes, maps, cache, dir)
		if err == nil {
			continue
		}
		if i == 0 {
			return fmt.Errorf("load eBPF: %w", err)
		}
		reason := strings.ReplaceAll(err.Error(), "\n", " ")
		if err := os.WriteFile(reasonFile(config.Pins, feature.name), []byte(reason), 0o600); err != nil {
			return fmt.Errorf("say why there is no %s: %w", feature.name, err)
		}
	}
	for _, name := range pinnedMaps {
		if err := maps[name].Pin(filepath.Join(dir, name)); err != nil {
			return fmt.Errorf("pin map %s: %w", name, err)
		}
	}
	return maps[programMapControls].Put(uint32(0), &programControl{WakeBytes: uint32(config.WakeBytes)})
}

// apply writes the configuration into the specification.
func (c LoadConfig) apply(spec *ebpf.CollectionSpec) error {
	spec.Maps[programMapBulk].MaxEntries = uint32(c.BulkRing)
	spec.Maps[programMapPriority].MaxEntries = uint32(c.PriorityRing)
	cpus, err := ebpf.PossibleCPU()
	if err != nil {
		return fmt.Errorf("count CPUs: %w", err)
	}
	spec.Maps[programMapScratches].MaxEntries = uint32(cpus)
	variables := map[string]any{programVarWithDirectory: c.Directory, programVarDeniedPerSecond: uint32(c.DeniedPerSecond)}
	if hierarchy, err := cgroup.Detect(); err == nil && hierarchy.Controller != "" {
		index, err := controllerIndex(hierarchy.Controller)
		if err != nil {
			return err
		}
		variables[programVarCgroupSubsystem] = index
		variables[programVarCgroupHierarchy] = hierarchy.ID
	}
	for name, value := range variables {
		if err := spec.Variables[name].Set(value); err != nil {
			return fmt.Errorf("set %s: %w", name, err)
		}
	}
	return nil
}

// controllerIndex finds a v1 controller's place in css_set.subsys.
func controllerIndex(controller string) (uint32, error) {
	kernel, err := btf.LoadKernelSpec()
	if err != nil {
		return 0, fmt.Errorf("read the kernel's BTF: %w", err)
	}
	var ids *btf.Enum
	if err := kernel.TypeByName("cgroup_subsys_id", &ids); err != nil {
		return 0, fmt.Errorf("find the cgroup controllers in BTF: %w", err)
	}
	for _, value := range ids.Values {
		if value.Name == controller+"_cgrp_id" {
			return uint32(value.Value), nil
		}
	}
	return 0, fmt.Errorf("the kernel has no cgroup controller %s", controller)
}

// loadFeature loads the programs of one feature over the maps of the features
// before it, attaches them and pins the links.
func loadFeature(spec *ebpf.CollectionSpec, probes []probe, maps map[string]*ebpf.Map, cache *btf.Cache, dir string) (err error) {
	own := spec.Copy()
	for name := range own.Programs {
		if !hasProbe(probes, name) {
			delete(own.Programs, name)
		}
	}
	for name := range own.Maps {
		if _, shared := maps[name]; !shared && len(maps) > 0 && !strings.HasPrefix(name, ".") {
			delete(own.Maps, name)
		}
	}
	collection, err := ebpf.NewCollectionWithOptions(own, ebpf.CollectionOptions{MapReplacements: sharedMaps(own, maps), Cache: cache})
	if err != nil {
		return err
	}
	var pinned []string
	defer func() {
		if err != nil {
			for _, path := range pinned {
				os.Remove(path)
			}
		}
	}()
	for _, probe := range probes {
		l, err := attach(probe, collection.Programs[probe.program])
		if err != nil && probe.optional {
			continue
		}
		if err != nil {
			return fmt.Errorf("attach %s: %w", probe.program, err)
		}
		path := filepath.Join(dir, probe.program)
		if err := l.Pin(path); err != nil {
			return fmt.Errorf("pin %s: %w", probe.program, err)
		}
		pinned = append(pinned, path)
	}
	for name, m := range collection.Maps {
		if _, known := maps[name]; !known && !strings.HasPrefix(name, ".") {
			maps[name] = m
		}
	}
	return nil
}

func hasProbe(probes []probe, program string) bool {
	for _, probe := range probes {
		if probe.program == program {
			return true
		}
	}
	return false
}

func sharedMaps(spec *ebpf.CollectionSpec, maps map[string]*ebpf.Map) map[string]*ebpf.Map {
	shared := map[string]*ebpf.Map{}
	for name := range spec.Maps {
		if m := maps[name]; m != nil {
			shared[name] = m
		}
	}
	return shared
}

func attach(probe probe, program *ebpf.Program) (link.Link, error) {
	switch {
	case probe.program == programProgSnapshot:
		return link.AttachIter(link.IterOptions{Program: program})
	case probe.syscall == "":
		return link.AttachTracing(link.TracingOptions{Program: program})
	}
	if err := needTracefs(); err != nil {
		return nil, err
	}
	return link.Tracepoint("syscalls", "sys_exit_"+probe.syscall, program, nil)
}

// needTracefs mounts tracefs for this thread alone where the host has none.
func needTracefs() error {
	const events = "/events/syscalls"
	for _, at := range []string{"/sys/kernel/tracing", "/sys/kernel/debug/tracing"} {
		if _, err := os.Stat(at + events); err == nil {
			return nil
		}
	}
	if err := unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_FS); err != nil {
		return fmt.Errorf("make a mount namespace for tracefs: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return fmt.Errorf("keep tracefs private: %w", err)
	}
	if err := unix.Mount("tracefs", "/sys/kernel/tracing", "tracefs", 0, ""); err != nil {
		return fmt.Errorf("mount tracefs: %w", err)
	}
	return nil
}
