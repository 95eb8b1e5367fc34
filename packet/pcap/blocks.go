package pcap

import (
	"errors"
	"fmt"

	"github.com/hauberk/hauberk/packet"
)

// maxBlock is the largest block that is read: a packet of MaxPacket and its
// options, or an interface with its options. Larger ones of other types are
// skipped unread.
const maxBlock = bufferSize

// nextBlock reads blocks of a pcapng file up to the next packet.
func (r *Reader) nextBlock(p *Packet) (bool, error) {
	for {
		head, ok := r.source.peek(12)
		if !ok {
			return r.more(12)
		}
		if little.Uint32(head) == blockSection {
			if err := r.section(head); err != nil {
				return false, r.bad(err)
			}
		}
		kind, size := r.order.Uint32(head), r.order.Uint32(head[4:])
		if size < 12 || size%4 != 0 {
			return false, r.bad(fmt.Errorf("block of %d bytes", size))
		}
		switch kind {
		case blockSection, blockInterface, blockOldPacket, blockSimple, blockPacket:
		default: // Names, statistics, secrets, what is to come.
			r.source.take(int64(size))
			continue
		}
		if size > maxBlock {
			return false, r.bad(fmt.Errorf("block of %d bytes", size))
		}
		block, ok := r.source.peek(int(size))
		if !ok {
			return r.more(int(size))
		}
		if again := r.order.Uint32(block[size-4:]); again != size {
			return false, r.bad(fmt.Errorf("block of %d bytes that ends as one of %d", size, again))
		}
		found, err := r.block(kind, block[8:size-4], p)
		if err != nil {
			return false, r.bad(err)
		}
		r.source.take(int64(size))
		if found {
			return true, nil
		}
	}
}

// section sets the byte order of a section from the start of its header.
func (r *Reader) section(head []byte) error {
	switch {
	case little.Uint32(head[8:]) == byteOrderMagic:
		r.order = little
	case big.Uint32(head[8:]) == byteOrderMagic:
		r.order = big
	default:
		return errors.New("section of unknown byte order")
	}
	return nil
}

var errShort = errors.New("block too short for its type")

// block reads one body and says whether it was a packet.
func (r *Reader) block(kind uint32, body []byte, p *Packet) (bool, error) {
	switch kind {
	case blockSection:
		if len(body) < 16 {
			return false, errShort
		}
		if major := r.order.Uint16(body[4:]); major != 1 {
			return false, fmt.Errorf("pcapng of version %d", major)
		}
		r.interfaces = r.interfaces[:0]
		return false, nil
	case blockInterface:
		return false, r.addInterface(body)
	case blockPacket, blockOldPacket:
		if len(body) < 20 {
			return false, errShort
		}
		number := int(r.order.Uint32(body))
		if kind == blockOldPacket {
			number = int(r.order.Uint16(body)) // The rest counts drops.
		}
		stamp := uint64(r.order.Uint32(body[4:]))<<32 | uint64(r.order.Uint32(body[8:]))
		return true, r.found(p, number, stamp, r.order.Uint32(body[12:]), r.order.Uint32(body[16:]), body[20:])
	default: // A simple packet: interface 0, no time.
		if len(body) < 4 {
			return false, errShort
		}
		length := r.order.Uint32(body)
		captured := min(length, uint32(len(body)-4))
		if len(r.interfaces) > 0 && r.interfaces[0].SnapLen > 0 {
			captured = min(captured, uint32(r.interfaces[0].SnapLen))
		}
		return true, r.found(p, 0, 0, captured, length, body[4:])
	}
}

// found fills p from the fields of a packet block.
func (r *Reader) found(p *Packet, number int, stamp uint64, captured, length uint32, data []byte) error {
	if number >= len(r.interfaces) {
		return fmt.Errorf("packet of interface %d, which is not declared", number)
	}
	if captured > MaxPacket || int(captured) > len(data) {
		return fmt.Errorf("packet of %d bytes", captured)
	}
	from := &r.interfaces[number]
	nanos, err := from.units.nanos(stamp)
	if err == nil {
		nanos, err = addSeconds(nanos, from.offset)
	}
	if err != nil {
		return err
	}
	*p = Packet{Time: nanos, Data: data[:captured:captured], Length: clampLength(length), Interface: number, Link: from.Link}
	return nil
}

// addInterface reads an interface block.
func (r *Reader) addInterface(body []byte) error {
	if len(body) < 8 {
		return errShort
	}
	if len(r.interfaces) == maxInterfaces {
		return fmt.Errorf("more than %d interfaces", maxInterfaces)
	}
	i := Interface{Link: packet.LinkType(r.order.Uint16(body)), SnapLen: clampLength(r.order.Uint32(body[4:])), units: microseconds}
	for options := body[8:]; len(options) >= 4; {
		code, size := r.order.Uint16(options), int(r.order.Uint16(options[2:]))
		if code == optEnd {
			break
		}
		padded := 4 + (size+3)&^3
		if padded > len(options) {
			return errors.New("option longer than its block")
		}
		value := options[4 : 4+size]
		switch {
		case code == optName:
			i.Name = string(value)
		case code == optTSResol && size == 1:
			i.units = resolution(value[0])
		case code == optTSOffset && size == 8:
			i.offset = int64(r.order.Uint64(value))
		}
		options = options[padded:]
	}
	r.interfaces = append(r.interfaces, i)
	return nil
}
