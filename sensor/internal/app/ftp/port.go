package ftp

import (
	"bytes"
	"net/netip"
	"strconv"
	"strings"
)

// hostPort reads six numbers with commas between them (RFC 959 section 4.1.2).
func hostPort(b []byte) (netip.Addr, uint16, bool) {
	parts := strings.Split(string(b), ",")
	if len(parts) < 6 {
		return netip.Addr{}, 0, false
	}
	var n [6]byte
	for i := range n {
		v, err := strconv.ParseUint(strings.TrimSpace(parts[i]), 10, 8)
		if err != nil {
			return netip.Addr{}, 0, false
		}
		n[i] = byte(v)
	}
	return netip.AddrFrom4([4]byte(n[:4])), uint16(n[4])<<8 | uint16(n[5]), true
}

// passivePort reads the reply to PASV: 227 text (h,h,h,h,p,p).
func passivePort(line []byte) uint16 {
	_, inside, _ := bytes.Cut(line, []byte{'('})
	inside, _, _ = bytes.Cut(inside, []byte{')'})
	_, port, _ := hostPort(inside)
	return port
}

// extendedPassivePort reads the reply to EPSV: 229 text (|||port|) (RFC 2428).
func extendedPassivePort(line []byte) uint16 {
	_, rest, _ := bytes.Cut(line, []byte("|||"))
	return decimal(rest)
}

// extendedPort reads the argument of EPRT: |family|host|port| (RFC 2428).
func extendedPort(b []byte) (uint16, bool) {
	parts := bytes.SplitN(b, []byte{'|'}, 4)
	if len(parts) < 4 {
		return 0, false
	}
	port := decimal(parts[3])
	return port, port != 0
}

// decimal reads the number before a bar, 0 if there is none.
func decimal(b []byte) uint16 {
	text, _, ok := bytes.Cut(b, []byte{'|'})
	n, err := strconv.ParseUint(string(bytes.TrimSpace(text)), 10, 16)
	if !ok || err != nil {
		return 0
	}
	return uint16(n)
}
