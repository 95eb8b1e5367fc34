// Package port is how the stack meets a network: batches of frames in, batches of frames out. AF_XDP, AF_PACKET, TUN and
// pcap drivers and an in-memory link implement Port, and each passes the suite in porttest.
//
// A frame has one owner at a time. Receive gives frames to the caller, which gives each back with Release or Transmit;
// Buffer gives an empty frame, which goes back the same ways. So a driver whose frames live in shared memory copies
// nothing, and a reply may be built in the frame that asked.
package port

import (
	"errors"
	"net"
	"time"
)

// ErrClosed is what a port answers after Close, or when its interface has vanished.
var ErrClosed = errors.New("port closed")

// Frame is one packet and the memory it lies in.
type Frame struct {
	Data   []byte // The packet: from Buffer empty, with cap for Info.MTU and its link header.
	Handle uint64 // The driver's name for the memory; the caller carries it along and never changes it.
	// Verified says that the driver or NIC has checked the transport checksum, on received frames only.
	Verified bool
}

// Info is what a port is. It does not change while the port is open.
type Info struct {
	Name string           // The interface, or what stands for it, for people.
	MAC  net.HardwareAddr // Our address on the link; nil on a port of layer 3.
	MTU  int              // Largest IP packet in bytes, 576 to 65,535.
	L3   bool             // Frames begin with the IP header (TUN); else with an Ethernet header.
	// TxChecksum says that Transmit fills in TCP and UDP checksums, so that the stack need not.
	TxChecksum bool
}

// Stats counts since the port was opened. A drop has its reason in the name.
type Stats struct {
	RxFrames, RxBytes uint64
	TxFrames, TxBytes uint64
	RxNoBuffer        uint64 // Dropped on receive: the port had no free frame or its queue was full.
	RxTooLong         uint64 // Dropped on receive: longer than a frame.
	TxFull            uint64 // Dropped on transmit: the link's queue was full.
	TxError           uint64 // Dropped on transmit: the kernel refused.
}

// Port moves frames. One goroutine at a time uses it, except that Wake, Stats and Close may be called from any.
type Port interface {
	Info() Info
	// Receive fills rx from its start with frames that are there, without waiting, and says how many.
	Receive(rx []Frame) (int, error)
	// Release gives frames back unused.
	Release(frames ...Frame)
	// Buffer gives an empty frame to build a packet in, or false when all are in use.
	Buffer() (Frame, bool)
	// Transmit queues a frame that came from Receive or Buffer of this port; the port owns it from now on.
	Transmit(Frame)
	// Flush hands what Transmit queued to the link. Callers flush once per batch.
	Flush() error
	// Wait returns when Receive may have frames, after Wake, or after the timeout (negative: none), whichever is first.
	Wait(timeout time.Duration) error
	// Wake makes a Wait that runs now, or the next one, return.
	Wake()
	Stats() Stats
	Close() error
}
