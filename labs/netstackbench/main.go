// Command netstackbench measures the stack by itself, without a driver: compute of one whole short connection through the
// callback API, memory of idle connections beside the kernel's, millions of them at once with random pushes at 1 % loss,
// and net/http unchanged on an in-memory link beside the kernel's loopback.
//
//	go run ./labs/netstackbench
//
// The other end of the engine is a peer without state that answers each segment from what it says, so that only one end's
// memory and compute are measured. What the driver costs is measured elsewhere, with a NIC's queue or a veth pair below.
package main

import (
	"flag"
	"fmt"
	"os"

	"github.com/hauberk/hauberk/internal/perf"
)

func main() {
	million := flag.Int("millions", 10, "connections of the engine at once, in millions; each takes 400 bytes")
	dir := flag.String("out", "docs/perf", "where the figures go")
	flag.Parse()
	if err := bench(*million, *dir); err != nil {
		fmt.Fprintln(os.Stderr, "netstackbench:", err)
		os.Exit(1)
	}
}

func bench(millions int, dir string) error {
	report := &perf.Report{Area: "netstack", Command: "go run ./labs/netstackbench"}
	for _, step := range []func(*perf.Report) error{
		short, func(r *perf.Report) error { return many(r, millions*1_000_000) }, conns, web,
	} {
		if err := step(report); err != nil {
			return err
		}
	}
	return report.Write(os.Stdout, dir)
}
