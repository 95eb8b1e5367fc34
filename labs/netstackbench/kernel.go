package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"strings"
)

// kernelConns is how many connections of the kernel are measured: as many as fit below the usual limit of descriptors.
const kernelConns = 8000

// kernelMemory is what an idle connection costs the kernel at one end, from the growth of its slab caches.
func kernelMemory() (float64, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	before, err := slab()
	if err != nil {
		return 0, err
	}
	held := make([]net.Conn, 0, 2*kernelConns)
	defer func() {
		for _, c := range held {
			c.Close()
		}
	}()
	for range kernelConns {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			return 0, err
		}
		held = append(held, c)
		d, err := l.Accept()
		if err != nil {
			return 0, err
		}
		held = append(held, d)
	}
	after, err := slab()
	return (after - before) / float64(len(held)), err
}

// slab is the size of the kernel's caches, in bytes.
func slab() (float64, error) {
	f, err := os.Open("/proc/meminfo")
	if err != nil {
		return 0, err
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		var kb float64
		if rest, ok := strings.CutPrefix(s.Text(), "Slab:"); ok {
			_, err := fmt.Sscan(rest, &kb)
			return kb * 1024, err
		}
	}
	return 0, fmt.Errorf("read /proc/meminfo: no Slab")
}
