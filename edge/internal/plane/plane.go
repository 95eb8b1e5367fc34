package plane

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/rlimit"
	"golang.org/x/sys/unix"
)

const (
	ways        = 8       // slots of a set
	journalRows = 1 << 16 // new sessions a CPU remembers for their reader
	hopRows     = 1 << 14 // neighbours towards clients
	lockRows    = 4096    // LOCKS of bpf/tables.h
)

// Plane is the loaded data plane.
type Plane struct {
	options Options
	maps    map[string]*ebpf.Map
	objects *ebpf.Collection
	links   map[string]link.Link
	native  map[string]bool
	renewed bool // the tables were there already

	controls table[bpfControl]
	clocks   table[bpfClock]
	settings table[bpfSetting]
	services table[bpfService]
	vips     table[bpfVip]
	choices  table[uint64]
	backends table[bpfBackend]
	sessions table[bpfSession]
	tags     table[bpfTagSet]
	affinity table[bpfAffinitySet]
	journal  table[uint64]
	locals   table[bpfLocalState]

	applying sync.Mutex
}

// Open loads the programs, makes the tables or takes over those pinned in
// o.PinDir by an earlier process with the same layout and sizes, and attaches
// to the interfaces. Pinned programs are replaced without a packet passing by.
func Open(o Options) (*Plane, error) {
	if err := o.Validate(); err != nil {
		return nil, fmt.Errorf("open plane: %w", err)
	}
	if err := rlimit.RemoveMemlock(); err != nil {
		return nil, fmt.Errorf("open plane: %w", err)
	}
	p := &Plane{options: o, maps: map[string]*ebpf.Map{}, links: map[string]link.Link{}, native: map[string]bool{}}
	if err := p.open(); err != nil {
		p.Close(true)
		return nil, fmt.Errorf("open plane: %w", err)
	}
	return p, nil
}

func (p *Plane) open() error {
	spec, err := p.spec()
	if err != nil {
		return err
	}
	if err := p.makeTables(spec); err != nil {
		return err
	}
	p.objects, err = ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{MapReplacements: p.maps})
	if err != nil {
		return fmt.Errorf("load programs: %w", err)
	}
	if err := p.mapTables(); err != nil {
		return err
	}
	p.seed()
	if ret, err := p.objects.Programs["start_clock"].Run(&ebpf.RunOptions{}); err != nil || ret != 0 {
		return fmt.Errorf("start the clock: returned %d: %w", int32(ret), errors.Join(err))
	}
	if err := p.maps["steps"].Put(uint32(bpfSlotSLOT_BALANCE), p.objects.Programs["balance"]); err != nil {
		return fmt.Errorf("fill the slot of the balancer: %w", err)
	}
	for _, name := range p.options.Interfaces {
		if err := p.attach(name); err != nil {
			return err
		}
	}
	return nil
}

// spec is the object with the sizes of the options.
func (p *Plane) spec() (*ebpf.CollectionSpec, error) {
	o := p.options
	spec, err := loadBpf()
	if err != nil {
		return nil, err
	}
	cpus, err := ebpf.PossibleCPU()
	if err != nil {
		return nil, err
	}
	services := serviceRows(o.VIPs)
	for name, rows := range map[string]int{
		"services": 2 * services, "vips": 2 * o.VIPs, "choices": 2 * o.Entries, "backends": 2 * o.Backends, "settings": 2,
		"sessions": o.Slots, "tags": o.Slots / ways, "affinities": o.Flows / ways, "locks": lockRows,
		"journal": cpus * journalRows, "locals": cpus, "hops": hopRows, "backend_hops": o.Backends,
		"vip_counters": o.VIPs, "backend_counters": o.Backends, "reasons": int(Reasons),
	} {
		spec.Maps[name].MaxEntries = uint32(rows)
	}
	for name, value := range map[string]any{
		"max_vips": uint32(o.VIPs), "max_backends": uint32(o.Backends), "max_entries": uint32(o.Entries),
		"max_services": uint32(services), "journal_mask": uint32(journalRows - 1), "hop_mask": uint32(hopRows - 1),
		"flow_mask": uint32(o.Flows/ways - 1), "mtu": uint32(o.MTU), "partial_checksums": o.Partial,
	} {
		if err := spec.Variables[name].Set(value); err != nil {
			return nil, fmt.Errorf("set %s: %w", name, err)
		}
	}
	return spec, nil
}

// pins is where this layout's tables and links are, "" without a PinDir.
func (p *Plane) pins() string {
	if p.options.PinDir == "" {
		return ""
	}
	return filepath.Join(p.options.PinDir, fmt.Sprintf("v%d", bpfLayoutLAYOUT))
}

// makeTables opens each pinned table, and makes (and pins) those that are missing.
func (p *Plane) makeTables(spec *ebpf.CollectionSpec) error {
	dir := p.pins()
	if dir != "" {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	for name, m := range spec.Maps {
		if name[0] == '.' || m.Type == ebpf.UnspecifiedMap {
			continue // constants are the program's own
		}
		table, err := p.makeTable(dir, name, m)
		if err != nil {
			return fmt.Errorf("table %s: %w", name, err)
		}
		p.maps[name] = table
	}
	return nil
}

func (p *Plane) makeTable(dir, name string, spec *ebpf.MapSpec) (*ebpf.Map, error) {
	if dir == "" {
		return ebpf.NewMap(spec)
	}
	path := filepath.Join(dir, name)
	m, err := ebpf.LoadPinnedMap(path, nil)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		m, err = ebpf.NewMap(spec)
		if err != nil {
			return nil, err
		}
		return m, m.Pin(path)
	case err != nil:
		return nil, err
	}
	p.renewed = true
	if err := spec.Compatible(m); err != nil {
		return nil, errors.Join(fmt.Errorf("pinned at %s with other sizes (stop the edge with its tables to change them): %w", path, err), m.Close())
	}
	return m, nil
}

func (p *Plane) mapTables() error {
	var err error
	try := func(e error) {
		if err == nil {
			err = e
		}
	}
	var e error
	p.controls, e = mapTable[bpfControl](p.maps["controls"])
	try(e)
	p.clocks, e = mapTable[bpfClock](p.maps["clocks"])
	try(e)
	p.settings, e = mapTable[bpfSetting](p.maps["settings"])
	try(e)
	p.services, e = mapTable[bpfService](p.maps["services"])
	try(e)
	p.vips, e = mapTable[bpfVip](p.maps["vips"])
	try(e)
	p.choices, e = mapTable[uint64](p.maps["choices"])
	try(e)
	p.backends, e = mapTable[bpfBackend](p.maps["backends"])
	try(e)
	p.sessions, e = mapTable[bpfSession](p.maps["sessions"])
	try(e)
	p.tags, e = mapTable[bpfTagSet](p.maps["tags"])
	try(e)
	p.affinity, e = mapTable[bpfAffinitySet](p.maps["affinities"])
	try(e)
	p.journal, e = mapTable[uint64](p.maps["journal"])
	try(e)
	p.locals, e = mapTable[bpfLocalState](p.maps["locals"])
	try(e)
	return err
}

func (p *Plane) control() *bpfControl { return &p.controls.rows[0] }

// seed gives new tables their secret and their random starts.
func (p *Plane) seed() {
	c := p.control()
	if c.Key != [2]uint64{} {
		return
	}
	c.Key = p.options.Key
	if c.Key == [2]uint64{} {
		c.Key = [2]uint64{random64(), random64()}
	}
	for i := range p.locals.rows {
		p.locals.rows[i].Turn = uint32(random64())
	}
}

func random64() uint64 {
	var raw [8]byte
	_, _ = rand.Read(raw[:]) // never fails: crypto/rand.Read
	return binary.NativeEndian.Uint64(raw[:])
}

// attach puts the root program on an interface, or updates the one a pinned
// link of ours holds there.
func (p *Plane) attach(name string) error {
	root := p.objects.Programs["root"]
	if found, err := p.takeOver(name, root); found || err != nil {
		return err
	}
	device, err := net.InterfaceByName(name)
	if err != nil {
		return fmt.Errorf("attach to %s: %w", name, err)
	}
	l, native, err := attachTo(device.Index, root, p.options.Generic)
	if errors.Is(err, unix.EBUSY) || errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("attach to %s: another XDP program is there (ip link set %s xdp off removes it): %w", name, name, err)
	}
	if err != nil {
		return fmt.Errorf("attach to %s: %w", name, err)
	}
	p.links[name], p.native[name] = l, native
	if p.pins() == "" {
		return nil
	}
	if err := l.Pin(p.linkPath(name, native)); err != nil {
		return fmt.Errorf("pin the link of %s: %w", name, err)
	}
	return nil
}

// linkPath is where the link of an interface is pinned; its name keeps the mode.
func (p *Plane) linkPath(name string, native bool) string {
	mode := map[bool]string{true: "native", false: "generic"}[native]
	return filepath.Join(p.pins(), "link_"+mode+"_"+name)
}

// takeOver gives a pinned link the new program. A link whose interface is
// gone, or was replaced by one of its name, is removed.
func (p *Plane) takeOver(name string, root *ebpf.Program) (bool, error) {
	if p.pins() == "" {
		return false, nil
	}
	for _, native := range []bool{true, false} {
		path := p.linkPath(name, native)
		l, err := link.LoadPinnedLink(path, nil)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return false, fmt.Errorf("open the link of %s: %w", name, err)
		}
		if !holds(l, name) {
			if err := errors.Join(l.Unpin(), l.Close()); err != nil {
				return false, fmt.Errorf("remove the stale link of %s: %w", name, err)
			}
			continue
		}
		if err := l.Update(root); err != nil {
			return false, errors.Join(fmt.Errorf("update the program of %s: %w", name, err), l.Close())
		}
		p.links[name], p.native[name] = l, native
		return true, nil
	}
	return false, nil
}

// holds reports whether the link is on the interface that has this name now.
func holds(l link.Link, name string) bool {
	device, err := net.InterfaceByName(name)
	if err != nil {
		return false
	}
	info, err := l.Info()
	return err == nil && info.XDP() != nil && int(info.XDP().Ifindex) == device.Index
}

func attachTo(index int, root *ebpf.Program, generic bool) (link.Link, bool, error) {
	if !generic {
		l, err := link.AttachXDP(link.XDPOptions{Program: root, Interface: index, Flags: link.XDPDriverMode})
		if err == nil || errors.Is(err, unix.EBUSY) || errors.Is(err, unix.EEXIST) {
			return l, true, err
		}
	}
	l, err := link.AttachXDP(link.XDPOptions{Program: root, Interface: index, Flags: link.XDPGenericMode})
	return l, false, err
}

// Balancer is the program in the balancer's slot, for a harness to call.
func (p *Plane) Balancer() *ebpf.Program { return p.objects.Programs["balance"] }

// Renewed reports whether Open took over tables an earlier process had left.
func (p *Plane) Renewed() bool { return p.renewed }

// Native reports whether the driver of an interface runs the program itself.
func (p *Plane) Native(name string) bool { return p.native[name] }

// grace waits until every packet that was being handled is done: the kernel
// does so after a map in a map was replaced (maybe_wait_bpf_programs, since 4.20).
func (p *Plane) grace() error {
	inner := ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: 1}
	in, err := ebpf.NewMap(&inner)
	if err != nil {
		return fmt.Errorf("wait for packets on their way: %w", err)
	}
	defer in.Close()
	out, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.ArrayOfMaps, KeySize: 4, ValueSize: 4, MaxEntries: 1, InnerMap: &inner})
	if err != nil {
		return fmt.Errorf("wait for packets on their way: %w", err)
	}
	defer out.Close()
	if err := out.Put(uint32(0), in); err != nil {
		return fmt.Errorf("wait for packets on their way: %w", err)
	}
	return nil
}

// Close lets go of the programs and tables. With keep, what is pinned goes on
// forwarding; without, the interfaces are as they were.
func (p *Plane) Close(keep bool) {
	dir := p.pins()
	for _, l := range p.links {
		if !keep && dir != "" {
			_ = l.Unpin() // gone already is as good
		}
		_ = l.Close()
	}
	for name, m := range p.maps {
		if !keep && dir != "" {
			_ = os.Remove(filepath.Join(dir, name))
		}
		_ = m.Close()
	}
	if p.objects != nil {
		p.objects.Close()
	}
	p.controls.unmap()
	p.clocks.unmap()
	p.settings.unmap()
	p.services.unmap()
	p.vips.unmap()
	p.choices.unmap()
	p.backends.unmap()
	p.sessions.unmap()
	p.tags.unmap()
	p.affinity.unmap()
	p.journal.unmap()
	p.locals.unmap()
}
