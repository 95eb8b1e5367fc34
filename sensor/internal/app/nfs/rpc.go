package nfs

import (
	"bytes"

	"github.com/hauberk/hauberk/sensor/internal/app/wire"
)

// Limits of messages.
const (
	maxAuth   = 4096 // Of credentials and verifiers.
	maxRecord = 16 << 20
	maxText   = 4096 // What is kept of a name.
	maxHandle = 128  // RFC 7530, 2.1
)

// xdr reads values of XDR (RFC 4506).
type xdr struct{ wire.Reader }

// opaque reads bytes behind their length, and what fills them to four.
func (x *xdr) opaque() []byte {
	n := x.BE32()
	if n > maxRecord {
		x.Bad = true
	}
	b := x.Take(int(n))
	x.Skip(int(-n & 3))
	return b
}

// text is a copy of opaque bytes, of no more than maxText.
func (x *xdr) text() []byte {
	b := x.opaque()
	return bytes.Clone(b[:min(len(b), maxText)])
}

// flavors are the names of kinds of authentication (IANA's registry of RPC).
var flavors = map[uint32]string{0: "NULL", 1: "UNIX", 2: "SHORT", 3: "DH", 4: "KERB", 5: "RSA", 6: "GSS"}

const (
	authUnix = 1
	authGSS  = 6
)

// rpcCall is the head of a call (RFC 5531, 9).
type rpcCall struct {
	xid                         uint32
	program, version, procedure uint32
	flavor                      uint32
	machine                     []byte // AUTH_UNIX
	uid, gid                    uint32
	integrity                   bool // AUTH_GSS: the arguments are within a checksum.
	authAt, authSize            int  // Where credentials are.
}

// readCall reads the head of a call; the rest of r is its arguments.
func readCall(r *xdr) (c rpcCall, ok bool) {
	size := len(r.B)
	c.xid = r.BE32()
	kind, version := r.BE32(), r.BE32()
	c.program, c.version, c.procedure = r.BE32(), r.BE32(), r.BE32()
	c.authAt = size - len(r.B)
	c.flavor = r.BE32()
	auth := xdr{wire.Reader{B: r.opaque()}}
	c.authSize = size - len(r.B) - c.authAt
	switch c.flavor {
	case authUnix:
		auth.Skip(4)
		c.machine = auth.text()
		c.uid, c.gid = auth.BE32(), auth.BE32()
	case authGSS:
		auth.Skip(4)
		procedure := auth.BE32()
		auth.Skip(4)
		const integrity = 2
		c.integrity = procedure == 0 && auth.BE32() == integrity
	}
	r.Skip(4)
	verifier := r.opaque()
	return c, !r.Bad && kind == 0 && version == 2 && c.authSize < maxAuth && len(verifier) < maxAuth
}

// rpcReply is the head of an answer.
type rpcReply struct {
	xid             uint32
	denied, refused uint32 // 0: it is not.
}

func readReply(r *xdr) (a rpcReply, ok bool) {
	a.xid = r.BE32()
	kind := r.BE32()
	a.denied = r.BE32()
	r.Skip(4)
	verifier := r.opaque()
	a.refused = r.BE32()
	return a, !r.Bad && kind == 1 && a.denied <= 1 && len(verifier) < maxAuth
}
