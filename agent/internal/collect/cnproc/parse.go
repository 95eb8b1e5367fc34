package cnproc

import (
	"encoding/binary"
	"errors"
)

// what is the kind of a process event (linux/cn_proc.h).
type what uint32

const (
	whatNone what = 0
	whatFork what = 1
	whatExec what = 2
	whatExit what = 1 << 31
)

// happening is one process event.
type happening struct {
	what   what
	cpu    uint32
	time   uint64 // ns since boot without suspend (CLOCK_MONOTONIC)
	pid    uint32 // of the thread
	tgid   uint32 // of the process; of the child for a fork
	parent uint32 // of a fork
	code   uint32 // of an exit, as wait(2) gives it
}

// Sizes of linux/netlink.h, connector.h and cn_proc.h.
const (
	netlinkHeader = 16
	connectorSize = 20
	eventHeader   = 16
	netlinkDone   = 3
)

var errCut = errors.New("process event is cut")

// parse yields the events of one datagram.
func parse(buf []byte, yield func(happening)) error {
	ne := binary.NativeEndian
	for len(buf) >= netlinkHeader {
		size := int(ne.Uint32(buf))
		if size < netlinkHeader || size > len(buf) {
			return errCut
		}
		kind, body := ne.Uint16(buf[4:]), buf[netlinkHeader:size]
		buf = buf[min((size+3)&^3, len(buf)):]
		if kind != netlinkDone {
			continue // not the connector's
		}
		if len(body) < connectorSize {
			return errCut
		}
		n := int(ne.Uint16(body[16:]))
		body = body[connectorSize:]
		if n > len(body) || n < eventHeader {
			return errCut
		}
		h, err := one(body[:n])
		if err != nil {
			return err
		}
		yield(h)
	}
	if len(buf) > 0 {
		return errCut
	}
	return nil
}

func one(body []byte) (happening, error) {
	ne := binary.NativeEndian
	h := happening{what: what(ne.Uint32(body)), cpu: ne.Uint32(body[4:]), time: ne.Uint64(body[8:])}
	data := body[eventHeader:]
	need := map[what]int{whatFork: 16, whatExec: 8, whatExit: 16}[h.what]
	if len(data) < need {
		return h, errCut
	}
	switch h.what {
	case whatFork:
		h.parent, h.pid, h.tgid = ne.Uint32(data[4:]), ne.Uint32(data[8:]), ne.Uint32(data[12:])
	case whatExec:
		h.pid, h.tgid = ne.Uint32(data), ne.Uint32(data[4:])
	case whatExit:
		h.pid, h.tgid, h.code = ne.Uint32(data), ne.Uint32(data[4:]), ne.Uint32(data[8:])
	}
	return h, nil
}
