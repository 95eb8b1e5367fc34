package ldap

import (
	"strings"
	"testing"

	"github.com/hauberk/hauberk/sensor/internal/app"
	"github.com/hauberk/hauberk/sensor/internal/app/apptest"
	"github.com/hauberk/hauberk/suricata"
)

// tlv is a value in BER.
func tlv(tag byte, data string) string { return string([]byte{tag, byte(len(data))}) + data }

func envelope(id byte, op string) string {
	return tlv(0x30, tlv(2, string([]byte{id}))+op)
}

var (
	bind     = envelope(1, tlv(0x60, tlv(2, "\x03")+tlv(4, "cn=me")+tlv(0x80, "secret")))
	bound    = envelope(1, tlv(0x61, tlv(10, "\x00")+tlv(4, "")+tlv(4, "fine")))
	search   = envelope(2, tlv(0x63, tlv(4, "dc=x")+tlv(10, "\x02")+tlv(10, "\x00")+tlv(2, "\x0a")+tlv(2, "\x00")+tlv(1, "\x00")+tlv(0x87, "objectClass")+tlv(0x30, tlv(4, "cn")+tlv(4, "sn"))))
	entry    = envelope(2, tlv(0x64, tlv(4, "cn=a")+tlv(0x30, tlv(0x30, tlv(4, "cn")+tlv(0x31, tlv(4, "a"))))))
	done     = envelope(2, tlv(0x65, tlv(10, "\x20")+tlv(4, "m")+tlv(4, "none")))
	startTLS = envelope(3, tlv(0x77, tlv(0x80, "1.3.6.1.4.1.1466.20037")))
)

func TestMessages(t *testing.T) {
	for _, piece := range []int{1, 9, 0} {
		c := apptest.New(Protocol, 389, nil)
		c.Piece = piece
		c.Client(bind)
		c.Server(bound)
		c.Client(search)
		c.Server(entry + done)
		txs := c.Session.Txs()
		if len(txs) != 2 {
			t.Fatalf("pieces of %d: %d transactions", piece, len(txs))
		}
		for i, want := range []string{
			`{"ldap":{"request":{"message_id":1,"operation":"bind_request","bind_request":{"version":3,"name":"cn=me"}},"responses":[{"operation":"bind_response","bind_response":{"result_code":"success","matched_dn":"","message":"fine"}}]}}`,
			`{"ldap":{"request":{"message_id":2,"operation":"search_request","search_request":{"base_object":"dc=x","scope":2,"deref_alias":0,"size_limit":10,"time_limit":0,"types_only":false,"filter":{"type":"present","value":"objectClass"},"attributes":["cn","sn"]}},"responses":[{"operation":"search_result_entry","search_result_entry":{"base_object":"cn=a","attributes":[{"type":"cn","values":["a"]}]}},{"operation":"search_result_done","search_result_done":{"result_code":"no_such_object","matched_dn":"m","message":"none"}}]}}`,
		} {
			if got := apptest.Log(txs[i], 0, nil); got != want {
				t.Errorf("log\n%s, want\n%s", got, want)
			}
		}
		if got := apptest.Buffers(txs[1], suricata.BufLDAPRequestAttributeType, app.ToServer); len(got) != 2 || got[1] != "sn" {
			t.Errorf("attributes %q", got)
		}
		if got := apptest.Buffers(txs[1], suricata.BufLDAPResponsesDN, app.ToClient); len(got) != 2 || got[0] != "cn=a" {
			t.Errorf("names %q", got)
		}
	}
}

func TestMatch(t *testing.T) {
	x := &tx{request: &message{op: searchRequest}, responses: []*message{{op: searchEntry}, {op: searchDone, hasResult: true, code: 32}}}
	for text, want := range map[string]bool{
		"ldap.request.operation:search_request": true, "ldap.request.operation:bind_request": false, "ldap.responses.operation:search_result_done": true,
		"ldap.responses.operation:search_result_done,0": false, "ldap.responses.operation:search_result_done,-1": true,
		"ldap.responses.operation:search_result_done,all": false, "ldap.responses.count:2": true, "ldap.responses.result_code:no_such_object": true,
	} {
		rule, err := suricata.Parse("alert ldap any any -> any any (" + text + "; sid:1;)")
		if err != nil {
			t.Fatal(err)
		}
		if got := x.Match(&rule.Options[0], app.ToServer); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}

func TestEvents(t *testing.T) {
	c := apptest.New(Protocol, 389, nil)
	c.Client(bind)
	c.Server(done)
	if txs := c.Session.Txs(); len(txs) != 2 || apptest.Events(txs[1]) != "request_not_found" {
		t.Errorf("%d transactions", len(txs))
	}
	c.Client("not BER")
	if txs := c.Session.Txs(); apptest.Events(txs[1]) != "request_not_found invalid_data" {
		t.Errorf("events %s", apptest.Events(txs[1]))
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(bind), []byte(bound), []byte(search), uint16(0))
	f.Add([]byte(search), []byte(entry+done), []byte(startTLS), uint16(3))
	apptest.Fuzz(f, Protocol, 389)
}

// TestHeld keeps no more of a search that does not end than there is room for.
func TestHeld(t *testing.T) {
	long := func(tag byte, data string) string {
		return string([]byte{tag, 0x83, byte(len(data) >> 16), byte(len(data) >> 8), byte(len(data))}) + data
	}
	big := long(0x30, tlv(2, "\x02")+long(0x64, long(4, strings.Repeat("n", 500<<10))+tlv(0x30, "")))
	c := apptest.New(Protocol, 389, nil)
	for range 2 {
		c.Client(search)
		for range 20 {
			c.Server(big)
		}
		c.Server(done)
		x := c.Session.Txs()[0].(*tx)
		if n := len(x.responses); n != maxHeld/len(big)+1 || x.Progress != [2]uint8{complete, complete} {
			t.Errorf("%d responses are kept, progress %v", n, x.Progress)
		}
		c.Session.Free(x)
	}
}
