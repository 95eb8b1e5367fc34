// Package pcap reads and writes captures: pcap in microseconds and nanoseconds
// and both byte orders, and pcapng with any number of sections and interfaces.
// The reader also takes them compressed by gzip or zstd. Both stream: a
// capture is never held whole.
//
// A capture is outside data. The reader allocates its buffer once, believes no
// length it has not checked, and gives errors with the byte they were met at
// (of the uncompressed capture). What it read before an error is good.
//
//	r, err := pcap.NewReader(file)
//	for {
//		p, err := r.Next()
//		if err == io.EOF {
//			break
//		}
//		...
//	}
//
// Formats: draft-ietf-opsawg-pcap, draft-ietf-opsawg-pcapng.
package pcap

import (
	"encoding/binary"
	"fmt"

	"github.com/hauberk/hauberk/packet"
)

// MaxPacket is the most bytes of one packet a reader takes, libpcap's
// MAXIMUM_SNAPLEN. A longer one is an error: it is a broken file or an attack.
const MaxPacket = 256 << 10

// Packet is one captured packet.
type Packet struct {
	// Time is when it was seen, in nanoseconds since 1970.
	Time int64
	// Data is what was captured of it. A reader lends it until its next call.
	Data []byte
	// Length is how long it was on the wire, in bytes; at least len(Data)
	// unless the capture says otherwise.
	Length int
	// Interface is the number of the interface within its section.
	Interface int
	Link      packet.LinkType
}

// Interface is where packets were captured. A pcap file has one.
type Interface struct {
	Name    string // Empty if the capture does not say.
	Link    packet.LinkType
	SnapLen int // Bytes; 0 is no limit.

	units  resolution
	offset int64 // Seconds to add to every time stamp.
}

// Error says where in a capture something was wrong.
type Error struct {
	Offset int64 // Of the record or block, in bytes from the start.
	Err    error
}

// Error implements error.
func (e *Error) Error() string { return fmt.Sprintf("read capture at byte %d: %v", e.Offset, e.Err) }

// Unwrap gives the reason; io.ErrUnexpectedEOF for a capture cut short.
func (e *Error) Unwrap() error { return e.Err }

// Magic numbers of pcap, as the writing machine's 32-bit number.
const (
	magicMicro    = 0xa1b2c3d4
	magicNano     = 0xa1b23c4d
	magicModified = 0xa1b2cd34 // Kuznetzov's patch: 8 more bytes a record
)

// Types of blocks in pcapng.
const (
	blockSection   = 0x0a0d0d0a
	blockInterface = 1
	blockOldPacket = 2 // obsolete
	blockSimple    = 3
	blockPacket    = 6
)

// byteOrderMagic is how pcapng tells the byte order of a section.
const byteOrderMagic = 0x1a2b3c4d

// Options of an interface block.
const (
	optEnd      = 0
	optName     = 2
	optTSResol  = 9
	optTSOffset = 14
)

var (
	little = binary.LittleEndian
	big    = binary.BigEndian
)
