// Command train makes the shared zstd dictionary of the link from the events of
// generated hosts. The result is committed; run it again only to make a new
// dictionary, under a new id:
//
//	go run ./link/dictionary/train -id 0x48420001 -out link/dictionary/48420001.zdict
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"

	"github.com/hauberk/hauberk/link"
	"github.com/hauberk/hauberk/link/linktest"
	"github.com/klauspost/compress/dict"
	"github.com/klauspost/compress/zstd"
)

// Training hosts have seeds from 1; tests and benchmarks measure on others.
const (
	hosts          = 40
	batchesPerHost = 12
)

func main() {
	id := flag.Uint64("id", 0x48420001, "id of the dictionary, 32 bits")
	size := flag.Int("size", 32<<10, "bytes of history")
	out := flag.String("out", "", "file to write")
	flag.Parse()
	if err := train(uint32(*id), *size, *out); err != nil {
		fmt.Fprintln(os.Stderr, "train:", err)
		os.Exit(1)
	}
}

func train(id uint32, size int, out string) error {
	var samples [][]byte
	for seed := range uint64(hosts) {
		h := linktest.NewHost(1 + seed)
		for i := range batchesPerHost {
			sample, err := h.Batch(10 + 20*i).MarshalVT()
			if err != nil {
				return err
			}
			folded, ok := link.Fold(sample)
			if !ok {
				return errors.New("a batch cannot be folded")
			}
			samples = append(samples, folded)
		}
	}
	data, err := dict.BuildZstdDict(samples, dict.Options{
		MaxDictSize: size, HashBytes: 6, ZstdDictID: id, ZstdLevel: zstd.SpeedDefault,
	})
	if err != nil {
		return err
	}
	return os.WriteFile(out, data, 0o644)
}
