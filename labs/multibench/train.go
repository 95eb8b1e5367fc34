package main

import (
	"encoding/binary"
	"math"
	"os"
	"path/filepath"

	"github.com/hauberk/hauberk/suricata/multi"
)

// train counts four folded bytes in the payloads of captures that the
// benchmark does not measure, and writes suricata/multi/rarity.bin.
func train(data, file string) error {
	packets, err := payloads(filepath.Join(data, "pcaps", "zeek"), filepath.Join(data, "suricata-verify"))
	if err != nil {
		return err
	}
	counts := make([]float64, 1<<16)
	total := 0.0
	for _, p := range packets {
		for i, b := range p {
			if b >= 'A' && b <= 'Z' {
				p[i] = b + 'a' - 'A'
			}
		}
		for i := 0; i+4 <= len(p); i++ {
			if four := binary.LittleEndian.Uint32(p[i:]); four != four<<8|four>>24 {
				counts[multi.RarityCell(four)]++
				total++
			}
		}
	}
	mean := total / float64(len(counts))
	out := make([]byte, len(counts)/2)
	for cell, n := range counts {
		step := int(math.Round(2*math.Log2((n+1)/mean))) + 4
		out[cell>>1] |= byte(min(max(step, 0), 15)) << (4 * (cell & 1))
	}
	return os.WriteFile(file, out, 0o644)
}
