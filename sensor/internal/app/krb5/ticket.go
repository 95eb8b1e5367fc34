package krb5

import (
	"bytes"

	"github.com/hauberk/hauberk/sensor/internal/app/ber"
)

// Ticket is what a ticket shows (RFC 4120, 5.3).
type Ticket struct {
	Realm      []byte
	Server     [][]byte // The parts of its name.
	Encryption int32
}

// Tags of messages and of their fields.
const (
	tagToken     = 0x60
	tagTicket    = 0x61
	tagAPRequest = 0x6e
	generalText  = 0x1b
)

// field is what the field of a number in a sequence holds.
func field(seq ber.Value, number byte) (ber.Value, bool) {
	f, ok := seq.Inner(ber.Context | ber.Constructed | number)
	if !ok {
		return f, false
	}
	in, _, ok := ber.Next(f.Data)
	return in, ok
}

// ReadToken reads the ticket of a token of GSS-API (RFC 4121, 4.1) that asks a
// server for service; nil if it is none.
func ReadToken(b []byte) *Ticket {
	v, _, ok := ber.Next(b)
	if !ok || v.Tag != tagToken {
		return nil
	}
	_, rest, ok := ber.Next(v.Data) // The mechanism.
	if !ok || len(rest) < 2 || rest[0] != 1 || rest[1] != 0 {
		return nil
	}
	request, _, ok := ber.Next(rest[2:])
	if !ok || request.Tag != tagAPRequest {
		return nil
	}
	seq, _, _ := ber.Next(request.Data)
	t, ok := field(seq, 3)
	if !ok {
		return nil
	}
	return readTicket(t)
}

func readTicket(v ber.Value) *Ticket {
	if v.Tag != tagTicket {
		return nil
	}
	seq, _, _ := ber.Next(v.Data)
	realm, ok := field(seq, 1)
	if !ok {
		return nil
	}
	name, _ := field(seq, 2)
	t := &Ticket{Realm: bytes.Clone(realm.Data), Server: readName(name)}
	sealed, _ := field(seq, 3)
	if e, ok := field(sealed, 0); ok {
		t.Encryption = int32(e.Int())
	}
	return t
}

// readName reads the parts of the name of a principal.
func readName(v ber.Value) (parts [][]byte) {
	list, _ := field(v, 1)
	ber.Each(list.Data, func(p ber.Value) bool {
		if p.Tag == generalText {
			parts = append(parts, bytes.Clone(p.Data))
		}
		return true
	})
	return parts
}
