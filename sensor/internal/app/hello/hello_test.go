package hello

import "testing"

// TestJA3 is the example of the method's authors.
func TestJA3(t *testing.T) {
	h := Hello{Client: true, Version: 769, Ciphers: []uint16{47, 53, 5, 10, 49161, 49162, 49171, 49172, 50, 56, 19, 4}, Extensions: []uint16{0, 10, 11}, Groups: []uint16{23, 24, 25}, Formats: []uint16{0}}
	if s := string(h.JA3()); s != "769,47-53-5-10-49161-49162-49171-49172-50-56-19-4,0-10-11,23-24-25,0" {
		t.Error(s)
	}
	if s := string(h.JA3Hash()); s != "ada70206e40642a3e4461f35503241d5" {
		t.Error(s)
	}
}

// TestJA4 is the example of the method's authors, with GREASE in it.
func TestJA4(t *testing.T) {
	h := Hello{
		Client: true, Version: TLS12, Chosen: TLS13, ALPN: [][]byte{[]byte("h2")},
		Ciphers:    []uint16{0x0a0a, 0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013, 0xc014, 0x009c, 0x009d, 0x002f, 0x0035},
		Extensions: []uint16{0x001b, 0x0000, 0x0033, 0x0010, 0x4469, 0x0017, 0x002d, 0x000d, 0x0005, 0x0023, 0x0012, 0x002b, 0xff01, 0x000b, 0x000a, 0x0015, 0x1a1a},
		Signatures: []uint16{0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601},
	}
	if s := string(h.JA4('t')); s != "t13d1516h2_8daaf6152771_e5627efa2ab1" {
		t.Error(s)
	}
}

func TestRead(t *testing.T) {
	if _, ok := Read([]byte("\x03\x03short"), true); ok {
		t.Error("half a hello was read")
	}
	random := "0123456789abcdef0123456789abcdef"
	body := "\x03\x03" + random + "\x00" + "\x00\x02\x13\x01" + "\x01\x00" +
		"\x00\x1c" + "\x00\x00\x00\x08\x00\x06\x00\x00\x03a.b" + "\x00\x2b\x00\x05\x04\x1a\x1a\x03\x04" + "\x00\x10\x00\x03\x00\x01\x00"
	h, ok := Read([]byte(body), true)
	if !ok || string(h.Random) != random || string(h.SNI) != "a.b" || h.Chosen != TLS13 || !h.Modern() || len(h.Extensions) != 3 || len(h.ALPN) != 1 {
		t.Errorf("%+v", h)
	}
	if VersionName(h.Versions[0]) != "TlsVersion(6682 / 0x1a1a)" || VersionName(TLS13) != "Tls13" || SignatureName(0x0807) != "ed25519" || ExtensionName(57) != "quic_transport_parameters" || ExtensionName(40) != "" {
		t.Error("names")
	}
	body = "\x03\x03" + random + "\x00" + "\x13\x02" + "\x00" + "\x00\x06" + "\x00\x2b\x00\x02\x03\x04"
	if h, ok = Read([]byte(body), false); !ok || h.Ciphers[0] != 0x1302 || h.Agreed() != TLS13 || string(h.JA3()) != "771,4866,43" {
		t.Errorf("%+v", h)
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte("\x03\x030123456789abcdef0123456789abcdef\x00\x00\x02\x13\x01\x01\x00\x00\x0c\x00\x00\x00\x08\x00\x06\x00\x00\x03a.b"), true)
	f.Add([]byte("\x03\x030123456789abcdef0123456789abcdef\x00\x13\x02\x00\x00\x06\x00\x2b\x00\x02\x03\x04"), false)
	f.Fuzz(func(t *testing.T, body []byte, client bool) {
		h, ok := Read(body, client)
		if ok != h.Known {
			t.Error("known and not read")
		}
		if ok && client && len(h.JA4('q')) != 36 {
			t.Errorf("%s", h.JA4('q'))
		}
	})
}
