package enip

import (
	"encoding/binary"
	"strings"
	"testing"

	"github.com/hauberk/hauberk/sensor/internal/app"
	"github.com/hauberk/hauberk/sensor/internal/app/apptest"
	"github.com/hauberk/hauberk/suricata"
)

var le = binary.LittleEndian

func n16(n int) string { return string(le.AppendUint16(nil, uint16(n))) }

func pdu(command int, content string) string {
	return n16(command) + n16(len(content)) + "\x01\x00\x00\x00" + strings.Repeat("\x00", 16) + content
}

func itemOf(kind int, data string) string { return n16(kind) + n16(len(data)) + data }

// unit is data over a connection, with a sequence number.
func unit(sequence int, data string) string {
	return pdu(sendUnitData, strings.Repeat("\x00", 6)+n16(2)+itemOf(0xa1, "\x01\x02\x03\x04")+itemOf(itemConnected, n16(sequence)+data))
}

const (
	get    = "\x03\x02\x20\x8b\x24\x01\x01\x00\x06\x00"
	getAck = "\x83\x00\x00\x00"
)

var (
	several  = unit(7, "\x0a\x02\x20\x02\x24\x01"+n16(1)+n16(4)+get)
	answered = unit(7, "\x8a\x00\x05\x02\x01\x01"+n16(1)+n16(4)+getAck)
	identify = pdu(listIdentity, n16(1)+itemOf(itemIdentity, n16(1)+strings.Repeat("\x00", 16)+n16(1)+n16(14)+n16(9)+"\x02\x03"+n16(48)+"\x05\x00\x00\x00\x03box\x03"))
)

func TestMessages(t *testing.T) {
	for _, piece := range []int{1, 30, 0} {
		c := apptest.New(Protocol, 44818, nil)
		c.Piece = piece
		c.Client(pdu(listIdentity, ""))
		c.Server(identify)
		c.Client(several)
		c.Server(answered)
		txs := c.Session.Txs()
		want := []string{
			`{"enip":{"request":{"command":"list_identity","status":"success"},"response":{"command":"list_identity","status":"success","identity":{"protocol_version":1,"revision":"2.3","vendor_id":"Rockwell Automation/Allen-Bradley","device_type":"Programmable Logic Controller","product_code":9,"status":48,"serial":5,"product_name":"box","state":3}}}}`,
			`{"enip":{"request":{"command":"send_unit_data","status":"success","cip":{"service":"Multiple Service Packet","path":[{"segment_type":"class","value":2},{"segment_type":"instance","value":1}],"class_name":"Message Router","multiple":[{"service":"Get Attribute List","path":[{"segment_type":"class","value":139},{"segment_type":"instance","value":1}],"class_name":"unknown-139"}]}},"response":{"command":"send_unit_data","status":"success","cip":{"service":"Multiple Service Packet","status":"Path Destination Unknown","status_extended":"0101","multiple":[{"service":"Get Attribute List","status":"Success"}]}}}}`,
		}
		if len(txs) != len(want) {
			t.Fatalf("pieces of %d: %d transactions", piece, len(txs))
		}
		for i, x := range txs {
			if got := apptest.Log(x, 0, nil); got != want[i] {
				t.Errorf("log\n%s, want\n%s", got, want[i])
			}
		}
		for text, want := range map[string]bool{
			"cip_service:10": true, "cip_service:3": true, "cip_service:3,139": true, "cip_service:3,139,6": true, "cip_service:3,139,7": false,
			"cip_service:4": false, "enip_command:112": true, "enip_command:send_unit_data": true, "enip.cip_class:2": true, "enip.cip_class:139": true,
			"enip.cip_attribute:6": true, "enip.cip_instance:2": false, "enip.cip_status:5": true, "enip.cip_extendedstatus:257": true,
			"enip.vendor_id:1": false,
		} {
			rule, err := suricata.Parse("alert enip any any -> any any (" + text + "; sid:1;)")
			if err != nil {
				t.Fatal(err)
			}
			if got := txs[1].(*tx).Match(&rule.Options[0], app.ToServer); got != want {
				t.Errorf("%s: %v", text, got)
			}
		}
		if got := apptest.Buffers(txs[0], suricata.BufENIPProductName, app.ToClient); len(got) != 1 || got[0] != "box" {
			t.Errorf("product %q", got)
		}
	}
}

func TestEvents(t *testing.T) {
	c := apptest.New(Protocol, 44818, nil)
	c.Client(pdu(sendUnitData, "\x00"))
	if e := apptest.Events(c.Session.Txs()[0]); e != "invalid_pdu" {
		t.Errorf("events %s", e)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(pdu(listIdentity, "")), []byte(identify), []byte(pdu(registerSession, "\x01\x00\x00\x00")), uint16(0))
	f.Add([]byte(several), []byte(answered), []byte(several), uint16(9))
	apptest.Fuzz(f, Protocol, 44818)
}
