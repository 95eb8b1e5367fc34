package tls

import (
	"crypto/sha1"
	"encoding/hex"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/hauberk/hauberk/sensor/internal/app/wire"
)

// certificate is what is told of a certificate.
type certificate struct {
	der         []byte
	subject     string
	issuer      string
	serial      string // Hexadecimal, with colons.
	fingerprint string // SHA-1, with colons.
	names       [][]byte
	before      time.Time
	after       time.Time
	dated       bool
}

// maxChain bounds the certificates that are read.
const maxChain = 32

// readChain reads the message Certificate of TLS 1.2 and before (RFC 5246
// section 7.4.2). count is how many certificates were sent.
func readChain(body []byte) (list []certificate, count int, ok bool) {
	r := wire.Reader{B: body}
	all := r.Piece(3)
	ok = !r.Bad
	for len(all.B) >= 3 {
		one := all.Piece(3)
		if all.Bad {
			return list, count, false
		}
		count++
		if len(list) >= maxChain {
			continue
		}
		x := certificate{der: append([]byte(nil), one.B...)}
		sum := sha1.Sum(x.der)
		x.fingerprint = colons(hex.EncodeToString(sum[:]))
		if !x.read() && count == 1 {
			ok = false
		}
		list = append(list, x)
	}
	return list, count, ok
}

func colons(s string) string {
	var out strings.Builder
	for i := 0; i+1 < len(s); i += 2 {
		if i > 0 {
			out.WriteByte(':')
		}
		out.WriteString(s[i : i+2])
	}
	return out.String()
}

// cursor reads elements of DER.
type cursor struct{ wire.Reader }

// element reads one element (X.690 section 8): its tag and what it holds.
func (c *cursor) element() (tag byte, body *cursor) {
	tag = c.U8()
	size := int(c.U8())
	if size < 0x80 {
		return tag, &cursor{wire.Reader{B: c.Take(size), Bad: c.Bad}}
	}
	n := size & 0x7f
	if n == 0 || n > 4 {
		c.Bad, c.B = true, nil
		return tag, &cursor{wire.Reader{Bad: true}}
	}
	return tag, &cursor{c.Piece(n)}
}

// The tags that are met.
const (
	tagInteger  = 0x02
	tagOID      = 0x06
	tagSequence = 0x30
	tagVersion  = 0xa0
	tagExt      = 0xa3
	tagUTCTime  = 0x17
	tagTime     = 0x18
	tagBMP      = 0x1e
	tagBool     = 0x01
)

// read reads the parts of a certificate that are told (RFC 5280 section 4.1).
func (x *certificate) read() bool {
	outer := &cursor{wire.Reader{B: x.der}}
	_, cert := outer.element()
	_, tbs := cert.element()
	tag, e := tbs.element()
	if tag == tagVersion {
		tag, e = tbs.element()
	}
	if tag != tagInteger || tbs.Bad {
		return false
	}
	x.serial = hexUpper(e.B, ":")
	tbs.element() // The algorithm.
	_, issuer := tbs.element()
	x.issuer = name(issuer)
	_, validity := tbs.element()
	var ok1, ok2 bool
	x.before, ok1 = moment(validity)
	x.after, ok2 = moment(validity)
	x.dated = ok1 && ok2
	_, subject := tbs.element()
	x.subject = name(subject)
	if tbs.Bad {
		return false
	}
	tbs.element() // The key.
	for len(tbs.B) > 0 {
		if tag, e := tbs.element(); tag == tagExt {
			x.extensions(e)
		}
	}
	return true
}

func moment(c *cursor) (time.Time, bool) {
	tag, e := c.element()
	layout := "060102150405Z"
	if tag == tagTime {
		layout = "20060102150405Z"
	}
	t, err := time.Parse(layout, string(e.B))
	return t, err == nil && !c.Bad
}

// attributes are the short names of attributes (RFC 4519), by their identifier.
var attributes = map[string]string{
	"550403": "CN", "550404": "SN", "550405": "serialNumber", "550406": "C", "550407": "L", "550408": "ST", "550409": "street", "55040a": "O", "55040b": "OU",
	"55040c": "title", "55040d": "description", "55040f": "businessCategory", "550411": "postalCode", "55042a": "GN",
	"2a864886f70d010901": "emailAddress", "0992268993f22c640119": "DC", "0992268993f22c640101": "UID",
	"2b0601040182373c020101": "jurisdictionLocalityName", "2b0601040182373c020102": "jurisdictionStateOrProvinceName", "2b0601040182373c020103": "jurisdictionCountryName",
}

// name writes a distinguished name as Suricata does: in its order, with ", "
// between the parts.
func name(c *cursor) string {
	var parts []string
	for len(c.B) > 0 {
		_, set := c.element()
		for len(set.B) > 0 {
			_, pair := set.element()
			_, oid := pair.element()
			tag, value := pair.element()
			key, known := attributes[hex.EncodeToString(oid.B)]
			if !known {
				key = dotted(oid.B)
			}
			text := value.B
			if tag == tagBMP { // UCS-2, of which the low bytes are shown.
				var low []byte
				for i := 1; i < len(text); i += 2 {
					low = append(low, text[i])
				}
				text = low
			}
			parts = append(parts, key+"="+string(text))
		}
	}
	return strings.Join(parts, ", ")
}

// dotted writes an object identifier in numbers.
func dotted(b []byte) string {
	var out strings.Builder
	n, first := 0, true
	for _, x := range b {
		if n = n<<7 | int(x&0x7f); n > 1<<40 {
			break
		}
		if x&0x80 != 0 {
			continue
		}
		if first {
			top := min(n/40, 2)
			out.WriteString(strconv.Itoa(top) + "." + strconv.Itoa(n-40*top))
			first = false
		} else {
			out.WriteString("." + strconv.Itoa(n))
		}
		n = 0
	}
	return out.String()
}

// extensions looks for the alternative names of the subject (RFC 5280 section
// 4.2.1.6).
func (x *certificate) extensions(c *cursor) {
	_, list := c.element()
	for len(list.B) > 0 {
		_, one := list.element()
		_, oid := one.element()
		tag, value := one.element()
		if tag == tagBool {
			_, value = one.element()
		}
		if hex.EncodeToString(oid.B) != "551d11" {
			continue
		}
		_, names := value.element()
		for len(names.B) > 0 {
			tag, n := names.element()
			switch tag {
			case 0x81, 0x82, 0x86: // Mail address, DNS name, URI.
				x.names = append(x.names, append([]byte(nil), n.B...))
			case 0x87:
				if a, ok := netip.AddrFromSlice(n.B); ok {
					x.names = append(x.names, []byte(a.StringExpanded()))
				}
			}
		}
	}
}
