package plane

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/cilium/ebpf/ringbuf"
	"golang.org/x/sys/unix"
)

// Filter says which packets are sampled.
type Filter struct {
	All bool   // those the kernel got as well; otherwise only what was dropped
	VIP uint32 // id; 0: whatever they were for
}

// Packets calls f for every sampled packet until ctx is done. One reader at a
// time; while nobody reads, nothing is sampled. A reader that is too slow
// misses packets, and the plane does not wait for it.
func (p *Plane) Packets(ctx context.Context, want Filter, f func(Sample)) error {
	reader, err := ringbuf.NewReader(p.maps["samples"])
	if err != nil {
		return fmt.Errorf("read samples: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = reader.Close() })
	defer stop()
	c := p.control()
	atomic.StoreUint32(&c.SampleVip, want.VIP)
	if want.All {
		atomic.StoreUint32(&c.SampleAll, 1)
	}
	atomic.StoreUint32(&c.SampleDrops, 1)
	defer func() {
		atomic.StoreUint32(&c.SampleDrops, 0)
		atomic.StoreUint32(&c.SampleAll, 0)
	}()
	boot := bootTime()
	for {
		record, err := reader.Read()
		if errors.Is(err, os.ErrClosed) || ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return errors.Join(fmt.Errorf("read samples: %w", err), reader.Close())
		}
		if len(record.RawSample) < int(unsafe.Sizeof(bpfSample{})) {
			continue
		}
		s := (*bpfSample)(unsafe.Pointer(&record.RawSample[0]))
		f(Sample{
			Time: boot.Add(time.Duration(s.Time)), Reason: Reason(s.Reason), VIP: uint32(s.Vip),
			Interface: int(s.Ifindex), Length: int(s.Length), Data: s.Data[:min(s.Held, SampleBytes)],
		})
	}
}

// bootTime is when the clock the plane stamps samples with was zero.
func bootTime() time.Time {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts) // there since Linux 2.6.39
	return time.Now().Add(-time.Duration(ts.Nano()))
}
