package main

import (
	"encoding/binary"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// maxPacket skips what is no packet in a broken capture.
const maxPacket = 1 << 18

// payloads returns the TCP and UDP payloads of all captures below folders.
func payloads(folders ...string) ([][]byte, error) {
	var out [][]byte
	for _, folder := range folders {
		err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".pcap") && !strings.HasSuffix(path, ".pcapng") {
				return err
			}
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			eachFrame(data, func(link uint32, frame []byte) {
				if p := payload(link, frame); len(p) > 0 {
					out = append(out, p)
				}
			})
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// eachFrame walks a pcap or pcapng file up to the first damage.
func eachFrame(data []byte, frame func(link uint32, frame []byte)) {
	if len(data) < 24 {
		return
	}
	var order binary.ByteOrder = binary.LittleEndian
	switch binary.LittleEndian.Uint32(data) {
	case 0xa1b2c3d4, 0xa1b23c4d:
	case 0xd4c3b2a1, 0x4d3cb2a1:
		order = binary.BigEndian
	case 0x0a0d0d0a:
		if binary.LittleEndian.Uint32(data[8:]) != 0x1a2b3c4d {
			order = binary.BigEndian
		}
		eachBlock(data, order, frame)
		return
	default:
		return
	}
	link := order.Uint32(data[20:])
	for data = data[24:]; len(data) >= 16; {
		n := order.Uint32(data[8:])
		if n > maxPacket || int(n) > len(data)-16 {
			return
		}
		frame(link, data[16:16+n])
		data = data[16+n:]
	}
}

// eachBlock walks the blocks of a pcapng file.
func eachBlock(data []byte, order binary.ByteOrder, frame func(link uint32, frame []byte)) {
	var links []uint32
	for len(data) >= 12 {
		kind, n := order.Uint32(data), order.Uint32(data[4:])
		if n < 12 || int64(n) > int64(len(data)) {
			return
		}
		body := data[8 : n-4]
		switch {
		case kind == 1 && len(body) >= 8: // interface description
			links = append(links, uint32(order.Uint16(body)))
		case kind == 6 && len(body) >= 20: // enhanced packet
			i, size := order.Uint32(body), order.Uint32(body[12:])
			if int(i) < len(links) && int64(size) <= int64(len(body)-20) {
				frame(links[i], body[20:20+size])
			}
		}
		data = data[n:]
	}
}

// payload strips the headers of a frame.
func payload(link uint32, b []byte) []byte {
	kind, header := uint16(0), 0
	switch link {
	case 1: // Ethernet
		header = 14
	case 113: // Linux cooked
		header = 16
	case 12, 101: // raw
	default:
		return nil
	}
	if len(b) < header+20 {
		return nil
	}
	if header > 0 {
		kind = binary.BigEndian.Uint16(b[header-2:])
	}
	for kind == 0x8100 && len(b) >= header+24 {
		kind = binary.BigEndian.Uint16(b[header+2:])
		header += 4
	}
	b = b[header:]
	protocol, at := byte(0), 0
	switch b[0] >> 4 {
	case 4:
		protocol, at = b[9], int(b[0]&15)*4
		if total := int(binary.BigEndian.Uint16(b[2:])); total >= at && total < len(b) {
			b = b[:total]
		}
		if binary.BigEndian.Uint16(b[6:])&0x1fff != 0 {
			return nil
		}
	case 6:
		protocol, at = b[6], 40
	}
	switch {
	case protocol == 6 && len(b) >= at+20:
		at += int(b[at+12]>>4) * 4
	case protocol == 17 && len(b) >= at+8:
		at += 8
	default:
		return nil
	}
	if at >= len(b) {
		return nil
	}
	return b[at:]
}
