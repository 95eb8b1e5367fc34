package plane

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"structs"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// table is a BPF array mapped into this process: rows are read and written
// without a system call.
type table[T any] struct {
	rows []T
	raw  []byte
}

// mapTable maps m, whose values must be a multiple of 8 bytes.
func mapTable[T any](m *ebpf.Map) (table[T], error) {
	var t table[T]
	var row T
	if size := int(unsafe.Sizeof(row)); size != int(m.ValueSize()) || size%8 != 0 {
		return t, fmt.Errorf("map table %s: its rows are %d bytes, not %d", m, m.ValueSize(), size)
	}
	page := unix.Getpagesize()
	length := (int(m.MaxEntries())*int(m.ValueSize()) + page - 1) &^ (page - 1)
	raw, err := unix.Mmap(m.FD(), 0, length, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return t, fmt.Errorf("map table %s: %w", m, err)
	}
	return table[T]{rows: unsafe.Slice((*T)(unsafe.Pointer(&raw[0])), m.MaxEntries()), raw: raw}, nil
}

func (t *table[T]) unmap() {
	if t.raw != nil {
		_ = unix.Munmap(t.raw) // only a bad address fails
		t.rows, t.raw = nil, nil
	}
}

// address is bpf/layout.h's: 16 bytes in network order as two words.
type address = struct {
	_  structs.HostLayout
	Hi uint64
	Lo uint64
}

func toAddress(a netip.Addr) address {
	var raw [16]byte
	switch {
	case a.Is4():
		v4 := a.As4()
		copy(raw[12:], v4[:])
	case a.Is6():
		raw = a.As16()
	}
	return address{Hi: binary.NativeEndian.Uint64(raw[:8]), Lo: binary.NativeEndian.Uint64(raw[8:])}
}

func fromAddress(a address, family uint8) netip.Addr {
	var raw [16]byte
	binary.NativeEndian.PutUint64(raw[:8], a.Hi)
	binary.NativeEndian.PutUint64(raw[8:], a.Lo)
	if family == 4 {
		return netip.AddrFrom4([4]byte(raw[12:]))
	}
	return netip.AddrFrom16(raw)
}

// toMask is the mask of a prefix in the same form; all bits before an IPv4
// address are compared too, as they are zero.
func toMask(p netip.Prefix) address {
	var raw [16]byte
	bits := p.Bits()
	if p.Addr().Is4() {
		bits += 96
	}
	for i := range bits {
		raw[i/8] |= 0x80 >> (i % 8)
	}
	return address{Hi: binary.NativeEndian.Uint64(raw[:8]), Lo: binary.NativeEndian.Uint64(raw[8:])}
}

func familyOf(a netip.Addr) uint8 {
	if a.Is4() {
		return 4
	}
	return 6
}

// netPort swaps a port between the host's order and the network's.
func netPort(p uint16) uint16 {
	var raw [2]byte
	binary.BigEndian.PutUint16(raw[:], p)
	return binary.NativeEndian.Uint16(raw[:])
}

// mix is bpf/tables.h's.
func mix(h, word uint64) uint64 {
	h = (h ^ word) * 0x9fb21c651e98df25
	return h ^ h>>32
}

// hashService is bpf/tables.h's; port in host order.
func hashService(a address, port uint16, proto uint8) uint64 {
	return mix(mix(mix(0, a.Hi), a.Lo), uint64(port)<<8|uint64(proto))
}
