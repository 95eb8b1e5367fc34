package capture

import "sync/atomic"

// A block's status is shared with the kernel: it is read before the block and
// written after it.
func load(status *uint32) uint32 { return atomic.LoadUint32(status) }

func store(status *uint32, v uint32) { atomic.StoreUint32(status, v) }
