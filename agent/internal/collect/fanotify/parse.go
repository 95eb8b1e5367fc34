package fanotify

import (
	"bytes"
	"encoding/binary"
	"errors"

	"golang.org/x/sys/unix"
)

// entry is a name in a directory that is named by its handle.
type entry struct {
	dir  []byte // as handleOf makes it
	name []byte
}

// change is one event: at is what changed, from and to are the names of a
// renaming.
type change struct {
	mask         uint64
	pid          int32
	at, from, to entry
}

// Sizes and types of linux/fanotify.h.
const (
	metadataSize = 24
	infoHeader   = 4
	fsidSize     = 8
	handleHeader = 8
	infoDFIDName = 2
	infoOldName  = 10
	infoNewName  = 12
)

var errCut = errors.New("event is cut")

// parse yields the events of one read. The change is reused and borrows from
// buf. The queue's descriptors are all FAN_NOFD, as file handles were asked
// for.
func parse(buf []byte, yield func(*change)) error {
	var c change
	for len(buf) > 0 {
		if len(buf) < metadataSize {
			return errCut
		}
		size := int(binary.NativeEndian.Uint32(buf))
		header := int(binary.NativeEndian.Uint16(buf[6:]))
		if buf[4] != unix.FANOTIFY_METADATA_VERSION {
			return errors.New("event of another version")
		}
		if size < metadataSize || size > len(buf) || header < metadataSize || header > size {
			return errCut
		}
		c = change{mask: binary.NativeEndian.Uint64(buf[8:]), pid: int32(binary.NativeEndian.Uint32(buf[20:]))}
		if err := c.infos(buf[header:size]); err != nil {
			return err
		}
		yield(&c)
		buf = buf[size:]
	}
	return nil
}

// infos reads the information records after an event.
func (c *change) infos(buf []byte) error {
	for len(buf) > 0 {
		if len(buf) < infoHeader {
			return errCut
		}
		kind, size := buf[0], int(binary.NativeEndian.Uint16(buf[2:]))
		if size < infoHeader || size > len(buf) {
			return errCut
		}
		info := buf[infoHeader:size]
		buf = buf[size:]
		var into *entry
		switch kind {
		case infoDFIDName:
			into = &c.at
		case infoOldName:
			into = &c.from
		case infoNewName:
			into = &c.to
		default:
			continue // of a newer kernel
		}
		if len(info) < fsidSize+handleHeader {
			return errCut
		}
		n := fsidSize + handleHeader + int(binary.NativeEndian.Uint32(info[fsidSize:]))
		if n > len(info) || n < fsidSize {
			return errCut
		}
		into.dir, into.name = info[:n], info[n:]
		if i := bytes.IndexByte(into.name, 0); i >= 0 {
			into.name = into.name[:i]
		}
	}
	return nil
}
