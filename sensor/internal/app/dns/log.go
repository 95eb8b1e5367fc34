package dns

import (
	"net/netip"
	"strconv"

	"github.com/hauberk/hauberk/sensor/internal/app"
	"github.com/hauberk/hauberk/sensor/internal/jsonw"
)

// The types of records with names in EVE (IANA, "Resource Record (RR) TYPEs").
var kinds = map[uint16]string{
	1: "A", 2: "NS", 3: "MD", 4: "MF", 5: "CNAME", 6: "SOA", 7: "MB", 8: "MG", 9: "MR", 10: "NULL", 11: "WKS", 12: "PTR", 13: "HINFO",
	14: "MINFO", 15: "MX", 16: "TXT", 17: "RP", 18: "AFSDB", 19: "X25", 20: "ISDN", 21: "RT", 22: "NSAP", 23: "NSAPPTR", 24: "SIG", 25: "KEY",
	26: "PX", 27: "GPOS", 28: "AAAA", 29: "LOC", 30: "NXT", 33: "SRV", 34: "ATMA", 35: "NAPTR", 36: "KX", 37: "CERT", 38: "A6", 39: "DNAME",
	41: "OPT", 42: "APL", 43: "DS", 44: "SSHFP", 45: "IPSECKEY", 46: "RRSIG", 47: "NSEC", 48: "DNSKEY", 49: "DHCID", 50: "NSEC3",
	51: "NSEC3PARAM", 52: "TLSA", 55: "HIP", 59: "CDS", 60: "CDNSKEY", 65: "HTTPS", 99: "SPF", 249: "TKEY", 250: "TSIG", 254: "MAILA", 255: "ANY", 256: "URI",
}

const (
	kindA     = 1
	kindNS    = 2
	kindCNAME = 5
	kindSOA   = 6
	kindNULL  = 10
	kindPTR   = 12
	kindMX    = 15
	kindTXT   = 16
	kindAAAA  = 28
	kindSRV   = 33
	kindOPT   = 41
	kindSSHFP = 44
)

func kindName(k uint16) string {
	if name, ok := kinds[k]; ok {
		return name
	}
	return strconv.Itoa(int(k))
}

// rcodes are the names of answers' codes (IANA, "DNS RCODEs").
var rcodes = [...]string{"NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "YXDOMAIN", "YXRRSET", "NXRRSET", "NOTAUTH", "NOTZONE"}

func rcodeName(flags uint16) string {
	if c := int(flags & 0xf); c < len(rcodes) {
		return rcodes[c]
	}
	return strconv.Itoa(int(flags & 0xf))
}

// appendLog writes the member dns of an event.
func appendLog(w *jsonw.Writer, x app.Tx, _ any) {
	t := x.(*tx)
	response := t.Skip[app.ToServer]
	w.Object("dns")
	w.Uint("version", 3)
	if response {
		w.String("type", "response")
	} else {
		w.String("type", "request")
	}
	w.Uint("tx_id", t.ID)
	w.Uint("id", uint64(t.id))
	w.String("flags", strconv.FormatUint(uint64(t.flags), 16))
	for _, f := range [...]struct {
		bit  uint16
		name string
	}{{flagQR, "qr"}, {flagAA, "aa"}, {flagTC, "tc"}, {flagRD, "rd"}, {flagRA, "ra"}, {flagZ, "z"}} {
		if t.flags&f.bit != 0 {
			w.Bool(f.name, true)
		}
	}
	w.Uint("opcode", uint64(t.opcode()))
	w.String("rcode", rcodeName(t.flags))
	if len(t.questions) > 0 {
		w.Array("queries")
		for _, q := range t.questions {
			w.Object("")
			w.Printable("rrname", q.name)
			if q.cut {
				w.Bool("rrname_truncated", true)
			}
			w.String("rrtype", kindName(q.kind))
			w.Close()
		}
		w.Close()
	}
	if len(t.answers) > 0 {
		t.list(w, "answers", t.answers)
		t.grouped(w)
	}
	t.list(w, "authorities", t.authorities)
	t.list(w, "additionals", t.additionals)
	w.Close()
}

// list writes a section. An option record without options is left out.
func (t *tx) list(w *jsonw.Writer, key string, records []record) {
	open := false
	for i := range records {
		r := &records[i]
		if r.kind == kindOPT && len(r.data) == 0 {
			continue
		}
		if !open {
			open = true
			w.Array(key)
		}
		if r.kind != kindTXT {
			t.record(w, r, nil)
			continue
		}
		for _, text := range texts(r.data) {
			t.record(w, r, text)
		}
	}
	if open {
		w.Close()
	}
}

// texts are the strings of a TXT record.
func texts(data []byte) (list [][]byte) {
	for len(data) > 0 {
		n := min(int(data[0]), len(data)-1)
		list = append(list, data[1:1+n])
		data = data[1+n:]
	}
	return list
}

func (t *tx) record(w *jsonw.Writer, r *record, text []byte) {
	w.Object("")
	w.Printable("rrname", r.name)
	if r.cut {
		w.Bool("rrname_truncated", true)
	}
	w.String("rrtype", kindName(r.kind))
	w.Uint("ttl", uint64(r.ttl))
	switch r.kind {
	case kindTXT:
		w.Printable("rdata", text)
	case kindOPT:
		options(w, r.data)
	default:
		t.data(w, "rdata", r)
	}
	w.Close()
}

// data writes what a record says, under a key or as an item of an array.
func (t *tx) data(w *jsonw.Writer, key string, r *record) {
	structured := func(name string) string {
		if key == "" {
			return ""
		}
		return name
	}
	rd := reader{msg: t.msg, at: r.at}
	switch r.kind {
	case kindA, kindAAAA:
		if a, ok := netip.AddrFromSlice(r.data); ok {
			if a.Is4() {
				w.String(key, a.String())
			} else {
				w.String(key, a.StringExpanded())
			}
		}
	case kindMX:
		rd.at += 2
		fallthrough
	case kindCNAME, kindNS, kindPTR:
		if name, ok := rd.name(); ok {
			w.Printable(key, name)
		}
	case kindNULL:
		w.Printable(key, r.data)
	case kindSOA:
		mname, ok1 := rd.name()
		rname, ok2 := rd.name()
		if !ok1 || !ok2 || rd.at+20 > len(t.msg) {
			return
		}
		w.Object(structured("soa"))
		w.Printable("mname", mname)
		w.Printable("rname", rname)
		for _, field := range []string{"serial", "refresh", "retry", "expire", "minimum"} {
			n, _ := rd.u32()
			w.Uint(field, uint64(n))
		}
		w.Close()
	case kindSSHFP:
		if len(r.data) < 2 {
			return
		}
		w.Object(structured("sshfp"))
		w.HexSep("fingerprint", r.data[2:], ":")
		w.Uint("algo", uint64(r.data[0]))
		w.Uint("type", uint64(r.data[1]))
		w.Close()
	case kindSRV:
		if len(r.data) < 7 {
			return
		}
		rd.at += 6
		name, ok := rd.name()
		if !ok {
			return
		}
		w.Object(structured("srv"))
		w.Uint("priority", uint64(be.Uint16(r.data)))
		w.Uint("weight", uint64(be.Uint16(r.data[2:])))
		w.Uint("port", uint64(be.Uint16(r.data[4:])))
		w.Printable("name", name)
		w.Close()
	}
}

func options(w *jsonw.Writer, data []byte) {
	w.Array("opt")
	for len(data) >= 4 {
		code, n := be.Uint16(data), int(be.Uint16(data[2:]))
		n = min(n, len(data)-4)
		w.Object("")
		w.Uint("code", uint64(code))
		w.Hex("data", data[4:4+n])
		w.Close()
		data = data[4+n:]
	}
	w.Close()
}

// grouped writes the answers by type, in order of their first.
func (t *tx) grouped(w *jsonw.Writer) {
	w.Object("grouped")
	done := map[uint16]bool{}
	for i := range t.answers {
		kind := t.answers[i].kind
		switch kind {
		case kindA, kindAAAA, kindCNAME, kindMX, kindNS, kindPTR, kindTXT, kindNULL, kindSOA, kindSSHFP, kindSRV:
		default:
			continue
		}
		if done[kind] {
			continue
		}
		done[kind] = true
		w.Array(kindName(kind))
		for j := range t.answers[i:] {
			r := &t.answers[i+j]
			switch {
			case r.kind != kind:
			case kind == kindTXT:
				for _, text := range texts(r.data) {
					w.Printable("", text)
				}
			default:
				t.data(w, "", r)
			}
		}
		w.Close()
	}
	w.Close()
}
