package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"

	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/hauberk/hauberk/packet"
)

// client is the far end of a veth pair, with the program that asks.
type client struct {
	objects  clientObjects
	links    []link.Link
	fd       int
	question []byte
}

// name is what is asked for: www.decoy.test.
const name = "\x03www\x05decoy\x04test\x00"

// newClient makes a veth pair: near, for the server at 10.9.0.2, and far, for the client as 10.9.0.1. With a server of the
// kernel, near has the address and a program that passes all on, without which veth would not wake it; with one of ours the
// kernel at far answers ARP.
func newClient(dns, kernel bool) (c *client, err error) {
	_ = ip("link del near") // Of the round before.
	commands := []string{
		"link set lo up", "link add near numrxqueues 1 numtxqueues 1 address 02:00:00:00:09:02 type veth peer name far numrxqueues 1 numtxqueues 1 address 02:00:00:00:09:01",
		"link set near up", "link set far up",
	}
	if kernel {
		commands = append(commands, "addr add 10.9.0.2/24 dev near", "neigh replace 10.9.0.1 lladdr 02:00:00:00:09:01 dev near")
	} else {
		commands = append(commands, "addr add 10.9.0.1/24 dev far")
	}
	for _, command := range commands {
		if err := ip(command); err != nil {
			return nil, err
		}
	}
	c = &client{fd: -1, question: make([]byte, 18)}
	if dns {
		c.question = append([]byte{0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0}, name+"\x00\x01\x00\x01"...)
	}
	if err := c.open(dns, kernel); err != nil {
		return nil, errors.Join(err, c.close())
	}
	return c, nil
}

func (c *client) open(dns, kernel bool) error {
	spec, err := loadClient()
	if err != nil {
		return err
	}
	if err := errors.Join(spec.Variables["wanted"].Set(uint32(len(c.question))), spec.Variables["dns"].Set(dns)); err != nil {
		return err
	}
	if err := spec.LoadAndAssign(&c.objects, nil); err != nil {
		return fmt.Errorf("load client: %w", err)
	}
	far, err := net.InterfaceByName("far")
	if err != nil {
		return err
	}
	near, err := net.InterfaceByName("near")
	if err != nil {
		return err
	}
	attach := []link.XDPOptions{{Program: c.objects.Loop, Interface: far.Index, Flags: link.XDPDriverMode}}
	if kernel {
		attach = append(attach, link.XDPOptions{Program: c.objects.Pass, Interface: near.Index, Flags: link.XDPDriverMode})
	}
	for _, o := range attach {
		l, err := link.AttachXDP(o)
		if err != nil {
			return err
		}
		c.links = append(c.links, l)
	}
	if c.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
		return err
	}
	return unix.Bind(c.fd, &unix.SockaddrLinklayer{Ifindex: far.Index})
}

// ask sends n questions; they come back by themselves.
func (c *client) ask(n int) error {
	for i := range n {
		b := []byte{2, 0, 0, 0, 9, 2, 2, 0, 0, 0, 9, 1, 8, 0, 0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 17, 0, 0, 10, 9, 0, 1, 10, 9, 0, 2}
		b = binary.BigEndian.AppendUint16(b, uint16(20000+i))
		b = binary.BigEndian.AppendUint16(b, 53)
		b = binary.BigEndian.AppendUint16(b, uint16(8+len(c.question)))
		b = append(b, 0, 0)
		b = append(b, c.question...)
		binary.BigEndian.PutUint16(b[16:], uint16(len(b)-14))
		binary.BigEndian.PutUint16(b[24:], packet.Checksum(b[14:34]))
		if _, err := unix.Write(c.fd, b); err != nil {
			return fmt.Errorf("send question: %w", err)
		}
	}
	return nil
}

// count is how many answers came.
func (c *client) count() (uint64, error) {
	var each []uint64
	if err := c.objects.Answers.Lookup(uint32(0), &each); err != nil {
		return 0, err
	}
	sum := uint64(0)
	for _, n := range each {
		sum += n
	}
	return sum, nil
}

func (c *client) close() error {
	var errs []error
	for _, l := range c.links {
		errs = append(errs, l.Close())
	}
	if c.fd >= 0 {
		errs = append(errs, unix.Close(c.fd))
	}
	return errors.Join(append(errs, c.objects.Close())...)
}
