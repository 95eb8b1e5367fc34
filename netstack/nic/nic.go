// Package nic opens network interfaces for a stack with the fastest driver that works on each: AF_XDP in the driver of the
// NIC, AF_XDP in the kernel's generic way, or a packet socket. What belongs to the kernel stays with it.
//
//	open, err := nic.Queues(nic.Config{Interface: "eth0"}, &stack)
//	err = netstack.Run(ctx, stack, open, serve)
package nic

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/hauberk/hauberk/netstack"
	"github.com/hauberk/hauberk/netstack/afpacket"
	"github.com/hauberk/hauberk/netstack/filter"
	"github.com/hauberk/hauberk/netstack/port"
	"github.com/hauberk/hauberk/netstack/xdp"
)

// Driver is a way to open an interface.
type Driver string

// The drivers. Auto tries the others in this order.
const (
	Auto    Driver = "auto"
	Native  Driver = "xdp"
	Generic Driver = "xdp-generic"
	Packet  Driver = "packet"
)

// Config is what an interface is opened with.
type Config struct {
	Interface string
	Driver    Driver
	Queues    int // How many of the receive queues are used, one process each; 0: all.
	// KernelPorts and Leave stay with the kernel, whatever the stack's addresses and traps are.
	KernelPorts []filter.Service
	Leave       []netip.Prefix
	// XDP is the base for AF_XDP: its interface, queue, mode and rules are filled in.
	XDP xdp.Config
	Log *slog.Logger // Told which driver was chosen, and why not a faster one; nil: nobody.
}

// DefaultConfig tries the drivers in order, on all queues.
func DefaultConfig() Config { return Config{Driver: Auto, XDP: xdp.DefaultConfig()} }

// Validate reports every problem.
func (c *Config) Validate() error {
	var bad []error
	switch c.Driver {
	case Auto, Native, Generic, Packet:
	default:
		bad = append(bad, fmt.Errorf("driver %q: want auto, xdp, xdp-generic or packet", c.Driver))
	}
	if c.Queues < 0 || c.Queues > 256 {
		bad = append(bad, fmt.Errorf("queues %d: want 0 to 256", c.Queues))
	}
	if c.Driver == Packet && c.Queues > 1 {
		bad = append(bad, fmt.Errorf("queues %d: a packet socket has one", c.Queues))
	}
	x := c.XDP
	x.Interface = c.Interface
	return errors.Join(append(bad, x.Validate())...)
}

// Rules are what a stack of this configuration takes of the interface: its addresses and traps.
func (c *Config) Rules(stack *netstack.Config) filter.Rules {
	r := filter.Rules{Leave: c.Leave, KernelPorts: c.KernelPorts, Take: append([]netip.Prefix(nil), stack.Engine.Traps...)}
	for _, a := range stack.Engine.Addresses {
		r.Take = append(r.Take, netip.PrefixFrom(a.Addr(), a.Addr().BitLen()))
	}
	return r
}

// Queues says how the interface's queues are opened for netstack.Run with this configuration of the stack.
func Queues(c Config, stack *netstack.Config) (netstack.Queues, error) {
	if err := c.Validate(); err != nil {
		return netstack.Queues{}, err
	}
	count := c.Queues
	if count == 0 && c.Driver != Packet {
		count = ReceiveQueues(c.Interface)
	}
	if c.Driver == Auto && count > 1 {
		// Processes must agree: a packet socket sees all queues' frames, so there is no falling back to it with several.
		if err := try(c, stack); err != nil {
			count = 1
		}
	}
	rules := c.Rules(stack)
	return netstack.Queues{Count: max(1, count), Open: func(queue int) (port.Port, error) { return open(c, rules, queue, count > 1) }}, nil
}

// ReceiveQueues asks the driver how many receive queues there are; one that does not say has one.
func ReceiveQueues(name string) int {
	const getChannels = 0x3c // ETHTOOL_GCHANNELS of include/uapi/linux/ethtool.h, and its struct ethtool_channels.
	channels := struct{ cmd, maxRx, maxTx, maxOther, maxCombined, rx, tx, other, combined uint32 }{cmd: getChannels}
	request := struct {
		name [unix.IFNAMSIZ]byte
		data unsafe.Pointer
		_    [16]byte
	}{data: unsafe.Pointer(&channels)}
	copy(request.name[:unix.IFNAMSIZ-1], name)
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 1
	}
	defer unix.Close(fd)
	if _, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&request))); e != 0 {
		return 1
	}
	return int(max(1, channels.rx+channels.combined))
}

// try opens queue 0 with AF_XDP, and closes it again.
func try(c Config, stack *netstack.Config) error {
	if os.Getenv("HAUBERK_NETSTACK_QUEUE") != "" {
		return nil // The launcher has tried; by now others have the queue.
	}
	p, err := open(c, c.Rules(stack), 0, true)
	if err != nil {
		return err
	}
	return p.Close()
}

// Open opens a queue with the driver of the configuration.
func Open(c Config, r filter.Rules, queue int) (port.Port, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	return open(c, r, queue, false)
}

func open(c Config, r filter.Rules, queue int, xdpOnly bool) (port.Port, error) {
	log := c.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	var errs []error
	for _, d := range []Driver{Native, Generic, Packet} {
		if c.Driver != d && (c.Driver != Auto || d == Packet && xdpOnly) {
			continue
		}
		p, err := openWith(d, c, r, queue)
		if err == nil {
			log.Info("interface opened", "interface", c.Interface, "queue", queue, "driver", string(d))
			return p, nil
		}
		errs = append(errs, fmt.Errorf("driver %s: %w", d, err))
		if c.Driver == Auto && !errors.Is(err, filter.ErrNotOurs) {
			log.Warn("driver does not work here", "interface", c.Interface, "driver", string(d), "error", err)
			continue
		}
		break
	}
	return nil, errors.Join(errs...)
}

func openWith(d Driver, c Config, r filter.Rules, queue int) (port.Port, error) {
	if d == Packet {
		return opened(afpacket.Open(afpacket.Config{Interface: c.Interface, Rules: r}))
	}
	x := c.XDP
	x.Interface, x.Queue, x.Rules, x.Mode = c.Interface, queue, r, filter.Native
	if d == Generic {
		x.Mode = filter.Generic
	}
	return opened(xdp.Open(x))
}

// opened keeps a nil pointer from becoming a port.
func opened[P port.Port](p P, err error) (port.Port, error) {
	if err != nil {
		return nil, err
	}
	return p, nil
}
