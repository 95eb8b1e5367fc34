package pcap

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/hauberk/hauberk/packet"
)

// Writer writes a pcap file in nanoseconds or microseconds. Each packet is one
// Write to the writer below: put a buffer in between.
type Writer struct {
	w     io.Writer
	order binary.AppendByteOrder
	unit  int64 // Nanoseconds a unit.
	buf   []byte
}

// Format is how a [Writer] writes. The zero value is what every tool reads:
// microseconds, little endian.
type Format struct {
	Nanoseconds bool
	BigEndian   bool
}

// NewWriter writes the header of a pcap file for packets of up to snapLen
// bytes.
func NewWriter(w io.Writer, link packet.LinkType, snapLen int, f Format) (*Writer, error) {
	out := &Writer{w: w, order: little, unit: 1000}
	if f.BigEndian {
		out.order = big
	}
	magic := uint32(magicMicro)
	if f.Nanoseconds {
		magic, out.unit = magicNano, 1
	}
	b := out.order.AppendUint32(nil, magic)
	b = out.order.AppendUint16(b, 2)
	b = out.order.AppendUint16(b, 4)
	b = append(b, 0, 0, 0, 0, 0, 0, 0, 0)
	b = out.order.AppendUint32(b, uint32(snapLen))
	b = out.order.AppendUint32(b, uint32(link))
	_, err := w.Write(b)
	return out, err
}

// Write writes a packet. Its time must be in 1970 to 2106, its link that of
// the file.
func (w *Writer) Write(p *Packet) error {
	if err := writable(p); err != nil {
		return err
	}
	if p.Time < 0 || p.Time >= 1<<32*1e9 {
		return fmt.Errorf("write packet: %w", errTime)
	}
	b := w.order.AppendUint32(w.buf[:0], uint32(p.Time/1e9))
	b = w.order.AppendUint32(b, uint32(p.Time%1e9/w.unit))
	b = w.order.AppendUint32(b, uint32(len(p.Data)))
	b = w.order.AppendUint32(b, uint32(p.Length))
	w.buf = append(b, p.Data...)
	_, err := w.w.Write(w.buf)
	return err
}

func writable(p *Packet) error {
	if len(p.Data) > MaxPacket {
		return fmt.Errorf("write packet: %d bytes", len(p.Data))
	}
	return nil
}

// NGWriter writes a pcapng file of one section, in nanoseconds, little endian.
// Each block is one Write to the writer below.
type NGWriter struct {
	w          io.Writer
	interfaces int
	buf        []byte
}

// NewNGWriter writes the section header.
func NewNGWriter(w io.Writer) (*NGWriter, error) {
	out := &NGWriter{w: w}
	out.begin(blockSection)
	out.buf = little.AppendUint32(out.buf, byteOrderMagic)
	out.buf = little.AppendUint16(out.buf, 1)
	out.buf = little.AppendUint16(out.buf, 0)
	out.buf = little.AppendUint64(out.buf, 1<<64-1) // Length unknown.
	return out, out.end()
}

// AddInterface declares the next interface, numbered from 0.
func (w *NGWriter) AddInterface(i Interface) error {
	if len(i.Name) > 1<<10 {
		return errors.New("write interface: name too long")
	}
	w.begin(blockInterface)
	w.buf = little.AppendUint16(w.buf, uint16(i.Link))
	w.buf = little.AppendUint16(w.buf, 0)
	w.buf = little.AppendUint32(w.buf, uint32(i.SnapLen))
	if i.Name != "" {
		w.option(optName, []byte(i.Name))
	}
	w.option(optTSResol, []byte{byte(nanoseconds)})
	w.option(optEnd, nil)
	w.interfaces++
	return w.end()
}

// Write writes a packet of an interface already declared. Its time must not
// be before 1970.
func (w *NGWriter) Write(p *Packet) error {
	if err := writable(p); err != nil {
		return err
	}
	if p.Time < 0 {
		return fmt.Errorf("write packet: %w", errTime)
	}
	if p.Interface < 0 || p.Interface >= w.interfaces {
		return fmt.Errorf("write packet: interface %d is not declared", p.Interface)
	}
	w.begin(blockPacket)
	w.buf = little.AppendUint32(w.buf, uint32(p.Interface))
	w.buf = little.AppendUint32(w.buf, uint32(p.Time>>32))
	w.buf = little.AppendUint32(w.buf, uint32(p.Time))
	w.buf = little.AppendUint32(w.buf, uint32(len(p.Data)))
	w.buf = little.AppendUint32(w.buf, uint32(p.Length))
	w.buf = append(w.buf, p.Data...)
	return w.end()
}

func (w *NGWriter) begin(kind uint32) {
	w.buf = little.AppendUint32(w.buf[:0], kind)
	w.buf = append(w.buf, 0, 0, 0, 0)
}

func (w *NGWriter) option(code uint16, value []byte) {
	w.buf = little.AppendUint16(w.buf, code)
	w.buf = little.AppendUint16(w.buf, uint16(len(value)))
	w.buf = append(w.buf, value...)
	w.pad()
}

func (w *NGWriter) pad() {
	for len(w.buf)%4 != 0 {
		w.buf = append(w.buf, 0)
	}
}

// end writes the block with its length at both ends.
func (w *NGWriter) end() error {
	w.pad()
	size := uint32(len(w.buf) + 4)
	little.PutUint32(w.buf[4:], size)
	w.buf = little.AppendUint32(w.buf, size)
	_, err := w.w.Write(w.buf)
	return err
}
