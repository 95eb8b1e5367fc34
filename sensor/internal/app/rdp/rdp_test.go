package rdp

import (
	"encoding/binary"
	"strings"
	"testing"

	"github.com/hauberk/hauberk/sensor/internal/app/apptest"
)

var le = binary.LittleEndian

func packet(b string) string {
	return "\x03\x00" + string(binary.BigEndian.AppendUint16(nil, uint16(4+len(b)))) + b
}

func padded(s string, size int) string {
	var b strings.Builder
	for i := range len(s) {
		b.WriteString(s[i:i+1] + "\x00")
	}
	return b.String() + strings.Repeat("\x00", size-b.Len())
}

func block(kind uint16, b string) string {
	return string(le.AppendUint16(le.AppendUint16(nil, kind), uint16(4+len(b)))) + b
}

var (
	hello   = packet("\x25\xe0\x00\x00\x00\x00\x00Cookie: mstshash=me\r\n" + "\x01\x01\x08\x00\x03\x00\x00\x00")
	agreed  = packet("\x0e\xd0\x00\x00\x00\x00\x00" + "\x02\x01\x08\x00\x01\x00\x00\x00")
	refused = packet("\x0e\xd0\x00\x00\x00\x00\x00" + "\x03\x00\x08\x00\x05\x00\x00\x00")
	core    = "\x04\x00\x08\x00" + "\x00\x05\x00\x04" + "\x01\xca\x03\xaa" + "\x09\x04\x00\x00" + "\x28\x0a\x00\x00" + padded("PC", 32) +
		"\x04\x00\x00\x00\x00\x00\x00\x00\x0c\x00\x00\x00" + padded("", 64) + "\x01\xca\x01\x00\x00\x00\x00\x00\x18\x00\x07\x00\x01\x00"
	network = "\x01\x00\x00\x00rdpdr\x00\x00\x00\x00\x00\x80\x80"
	blocks  = block(0xc001, core) + block(0xc003, network)
	connect = packet("\x02\xf0\x80\x7f\x65\x00Duca\x81" + string([]byte{byte(len(blocks))}) + blocks)
)

func TestMessages(t *testing.T) {
	for _, piece := range []int{1, 20, 0} {
		c := apptest.New(Protocol, 3389, nil)
		c.Piece = piece
		c.Client(hello)
		c.Server(agreed)
		c.Client(connect)
		c.Server(packet("\x02\xf0\x80\x7f\x66\x00"))
		c.Server("what follows is not read")
		want := []string{
			`{"rdp":{"tx_id":1,"event_type":"initial_request","cookie":"me","flags":["restricted_admin_mode_required"]}}`,
			`{"rdp":{"tx_id":2,"event_type":"initial_response","server_supports":["extended_client_data"],"protocol":"ssl"}}`,
			`{"rdp":{"tx_id":3,"event_type":"connect_request","client":{"version":"v5","desktop_width":1280,"desktop_height":1024,"color_depth":24,"keyboard_layout":"en-US","build":"Windows XP","client_name":"PC","keyboard_type":"enhanced","function_keys":12,"product_id":1,"capabilities":["support_errinfo_pdf"]},"channels":["rdpdr"]}}`,
			`{"rdp":{"tx_id":4,"event_type":"connect_response"}}`,
		}
		txs := c.Session.Txs()
		if len(txs) != len(want) {
			t.Fatalf("pieces of %d: %d transactions", piece, len(txs))
		}
		for i, x := range txs {
			if got := apptest.Log(x, 0, nil); got != want[i] {
				t.Errorf("log\n%s, want\n%s", got, want[i])
			}
		}
	}
}

func TestTLS(t *testing.T) {
	cert := "\x30\x07\x30\x05\x02\x03\x00\x0f\xa1"
	list := "\x00\x00" + string([]byte{byte(3 + len(cert))}) + "\x00\x00" + string([]byte{byte(len(cert))}) + cert
	handshake := "\x02\x00\x00\x01x" + "\x0b\x00\x00" + string([]byte{byte(len(list))}) + list
	c := apptest.New(Protocol, 3389, nil)
	c.Client(hello)
	c.Server(agreed)
	c.Client("\x16\x03\x01\x00\x01x")
	c.Server("\x16\x03\x03\x00\x07" + handshake[:7] + "\x16\x03\x03\x00" + string([]byte{byte(len(handshake) - 7)}) + handshake[7:])
	txs := c.Session.Txs()
	if want := `{"rdp":{"tx_id":3,"event_type":"tls_handshake","x509_serials":["fa1"]}}`; len(txs) != 3 || apptest.Log(txs[2], 0, nil) != want {
		t.Errorf("%d transactions", len(txs))
	}
}

func TestRefused(t *testing.T) {
	c := apptest.New(Protocol, 3389, nil)
	c.Client(hello)
	c.Server(refused)
	want := `{"rdp":{"tx_id":2,"event_type":"initial_response","error_code":5,"reason":"hybrid required by server"}}`
	if got := apptest.Log(c.Session.Txs()[1], 0, nil); got != want {
		t.Errorf("log\n%s, want\n%s", got, want)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(hello), []byte(agreed), []byte(connect), uint16(0))
	f.Add([]byte(hello), []byte(refused+"\x16\x03\x03\x00\x04\x0b\x00\x00\x00"), []byte("\x16\x03\x01\x00\x01x"), uint16(9))
	apptest.Fuzz(f, Protocol, 3389)
}
