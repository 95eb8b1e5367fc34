package smb

import (
	"bytes"
	"fmt"

	"github.com/hauberk/hauberk/sensor/internal/app/ber"
	"github.com/hauberk/hauberk/sensor/internal/app/krb5"
	"github.com/hauberk/hauberk/sensor/internal/app/wire"
)

// ntlmssp is what a client says of itself when it logs on (MS-NLMP 2.2.1.3).
type ntlmssp struct {
	domain, user, host []byte
	version            string // Empty: not said.
	unusual            bool   // The order of its parts.
}

type ticket = krb5.Ticket

// logon reads the token of a logon.
func (t *tx) logon(blob []byte) {
	x := t.data.(*sessionSetup)
	x.kerberos, x.ntlmssp = readToken(blob)
	if x.ntlmssp != nil && x.ntlmssp.unusual {
		t.Raise(ntlmsspOrder)
	}
}

// readToken reads a token of SPNEGO (RFC 4178), or whatever holds one of NTLMSSP.
func readToken(blob []byte) (*ticket, *ntlmssp) {
	const application, spnego = 0x60, "1.3.6.1.5.5.2"
	v, _, ok := ber.Next(blob)
	if !ok || v.Tag != application {
		return nil, readNTLMSSP(blob)
	}
	id, rest, ok := ber.Next(v.Data)
	if !ok || id.Tag != ber.OID || id.OID() != spnego {
		return nil, readNTLMSSP(blob)
	}
	choice, _, _ := ber.Next(rest)
	list, _, ok := ber.Next(choice.Data)
	if !ok || list.Tag != ber.Sequence {
		return nil, readNTLMSSP(blob)
	}
	var k *ticket
	var n *ntlmssp
	ber.Each(list.Data, func(field ber.Value) bool {
		if in, _, ok := ber.Next(field.Data); ok && in.Tag == ber.OctetString && k == nil && n == nil {
			if k = krb5.ReadToken(in.Data); k == nil {
				n = readNTLMSSP(in.Data)
			}
		}
		return true
	})
	return k, n
}

// readNTLMSSP reads a message that authenticates, wherever in b it is.
func readNTLMSSP(b []byte) *ntlmssp {
	mark := []byte("NTLMSSP\x00")
	i := bytes.Index(b, mark)
	if i < 0 {
		return nil
	}
	b = b[i:]
	r := wire.Reader{B: b[len(mark):]}
	const authenticate = 3
	if r.LE32() != authenticate {
		return nil
	}
	first := len(b) // Where the parts begin.
	part := func() (data []byte, from, to int) {
		size := int(r.LE16())
		r.Skip(2)
		from = int(r.LE32())
		to = from + size
		first = min(first, from)
		if to > len(b) || from < 12 {
			return nil, from, -1
		}
		return plain(b[from:to]), from, to
	}
	part() // The answers to the challenge.
	part()
	x := &ntlmssp{}
	var at [3][2]int
	for i, p := range []*[]byte{&x.domain, &x.user, &x.host} {
		*p, at[i][0], at[i][1] = part()
		if at[i][1] < 0 {
			return nil
		}
	}
	part() // The key of the session.
	const hasVersion = 0x02000000
	flags := r.LE32()
	if r.Bad {
		return nil
	}
	x.unusual = at[1][0] > 0 && at[1][0] < at[0][1] || at[2][0] > 0 && at[2][0] < at[1][1]
	if at := len(b) - len(r.B); flags&hasVersion != 0 && first >= at+8 {
		major, minor, build := r.U8(), r.U8(), r.LE16()
		r.Skip(3)
		x.version = fmt.Sprintf("%d.%d build %d rev %d", major, minor, build, r.U8())
	}
	return x
}
