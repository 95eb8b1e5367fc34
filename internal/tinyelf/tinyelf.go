// Package tinyelf makes the smallest static programs Linux runs: for canaries
// and benchmarks that need a process which does nothing and costs nothing.
package tinyelf

import (
	"encoding/binary"
	"fmt"
	"os"
	"runtime"
)

// exitCode is exit_group(0), by architecture.
var exitCode = map[string][]byte{
	// xor edi, edi; mov eax, 231; syscall
	"amd64": {0x31, 0xff, 0xb8, 0xe7, 0, 0, 0, 0x0f, 0x05},
	// mov x0, #0; mov x8, #94; svc #0
	"arm64": {0x00, 0x00, 0x80, 0xd2, 0xc8, 0x0b, 0x80, 0xd2, 0x01, 0x00, 0x00, 0xd4},
}

var machines = map[string]uint16{"amd64": 62, "arm64": 183} // elf(5) e_machine

const (
	headerSize  = 64
	programSize = 56
	base        = 0x400000
)

// Exit returns an ELF file for this architecture that ends with code 0.
func Exit() ([]byte, error) {
	code, ok := exitCode[runtime.GOARCH]
	if !ok {
		return nil, fmt.Errorf("make a tiny program: not known for %s", runtime.GOARCH)
	}
	return Wrap(code, machines[runtime.GOARCH]), nil
}

// Wrap makes an ELF file of position-independent machine code, entered at its
// first byte, with a read-only and executable segment.
func Wrap(code []byte, machine uint16) []byte {
	const start = headerSize + programSize
	le := binary.LittleEndian
	b := append([]byte("\x7fELF\x02\x01\x01"), make([]byte, 9)...)
	b = le.AppendUint16(b, 2) // ET_EXEC
	b = le.AppendUint16(b, machine)
	b = le.AppendUint32(b, 1)
	b = le.AppendUint64(b, base+start)  // e_entry
	b = le.AppendUint64(b, headerSize)  // e_phoff
	b = le.AppendUint64(b, 0)           // e_shoff
	b = le.AppendUint32(b, 0)           // e_flags
	b = le.AppendUint16(b, headerSize)  // e_ehsize
	b = le.AppendUint16(b, programSize) // e_phentsize
	b = le.AppendUint16(b, 1)           // e_phnum
	b = append(b, make([]byte, 6)...)   // no sections
	size := uint64(start + len(code))
	b = le.AppendUint32(b, 1) // PT_LOAD
	b = le.AppendUint32(b, 5) // readable, executable
	b = le.AppendUint64(b, 0)
	b = le.AppendUint64(b, base)
	b = le.AppendUint64(b, base)
	b = le.AppendUint64(b, size)
	b = le.AppendUint64(b, size)
	b = le.AppendUint64(b, 4096)
	return append(b, code...)
}

// WriteExit writes Exit's program to path, executable by everybody.
func WriteExit(path string) error {
	program, err := Exit()
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, program, 0o755); err != nil {
		return fmt.Errorf("write tiny program: %w", err)
	}
	return nil
}
