// Command benchmix makes the sensor's benchmark input: the public Ethernet
// captures in ../shared/data, as many times over as the size asks, each time
// with other addresses, interleaved over 300 seconds. The same data gives the
// same bytes; their SHA-256 is printed.
//
//	go run ./tools/benchmix -size 1000000000 -o /tmp/mix.pcap
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	data := flag.String("data", dataDir(), "folder with pcaps and suricata-verify")
	size := flag.Int64("size", 1e9, "bytes of packets to reach")
	once := flag.Bool("once", false, "replay each capture once, whatever the size")
	out := flag.String("o", "", "file to write")
	flag.Parse()
	if *out == "" || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	if err := run(*data, *size, *once, *out); err != nil {
		fmt.Fprintln(os.Stderr, "benchmix:", err)
		os.Exit(1)
	}
}

func run(data string, size int64, once bool, out string) error {
	m, err := load(filepath.Join(data, "pcaps"), filepath.Join(data, "suricata-verify"))
	if err != nil {
		return err
	}
	if once {
		size = m.bytes()
	}
	sum, err := m.write(out, size)
	if err != nil {
		return fmt.Errorf("write mix: %w", err)
	}
	fmt.Printf("%s: %d captures, %d replays, %d packets, %d bytes\nsha256 %x\n", out, len(m.captures), sum.replays, sum.packets, sum.bytes, sum.sha256)
	return nil
}

func dataDir() string {
	if d := os.Getenv("HAUBERK_DATA"); d != "" {
		return d
	}
	return "../shared/data"
}
