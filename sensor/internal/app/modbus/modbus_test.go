package modbus

import (
	"testing"

	"github.com/hauberk/hauberk/sensor/internal/app"
	"github.com/hauberk/hauberk/sensor/internal/app/apptest"
	"github.com/hauberk/hauberk/suricata"
)

func frame(id byte, content string) string {
	return string([]byte{0, id, 0, 0, 0, byte(1 + len(content)), 10}) + content
}

var (
	readRequest  = frame(1, "\x01\x00\x01\x00\x03")
	readAnswer   = frame(1, "\x01\x01\x05")
	writeRequest = frame(2, "\x10\x00\x05\x00\x02\x04\x00\x07\x00\x08")
	writeAnswer  = frame(2, "\x10\x00\x05\x00\x02")
	refused      = frame(2, "\x90\x02")
	echo         = frame(3, "\x08\x00\x00ab")
)

const (
	publicOne = `"category":"PUBLIC_ASSIGNED","error_flags":"NONE"`
	readHead  = `{"transaction_id":1,"protocol_id":0,"unit_id":10,"function_raw":1,"function_code":"RdCoils","access_type":"READ | COILS",` + publicOne
)

func TestMessages(t *testing.T) {
	for _, piece := range []int{1, 9, 0} {
		c := apptest.New(Protocol, 502, nil)
		c.Piece = piece
		c.Client(readRequest)
		c.Server(readAnswer)
		c.Client(echo)
		c.Server(echo)
		txs := c.Session.Txs()
		want := []string{
			`{"modbus":{"id":1,"request":` + readHead + `,"read":{"address":1,"quantity":3}},"response":` + readHead + `,"read":{"data":"\u0005"}}}}`,
			`{"modbus":{"id":2,"request":{"transaction_id":3,"protocol_id":0,"unit_id":10,"function_raw":8,"function_code":"Diagnostic","access_type":"NONE",` + publicOne + `,"diagnostic":{"raw":0,"code":"RetQueryData","data":"ab"}},"response":{"transaction_id":3,"protocol_id":0,"unit_id":10,"function_raw":8,"function_code":"Diagnostic","access_type":"NONE",` + publicOne + `,"diagnostic":{"raw":0,"code":"RetQueryData","data":"ab"}}}}`,
		}
		if len(txs) != len(want) {
			t.Fatalf("pieces of %d: %d transactions", piece, len(txs))
		}
		for i, x := range txs {
			if got := apptest.Log(x, 0, nil); got != want[i] {
				t.Errorf("log\n%s, want\n%s", got, want[i])
			}
			if e := apptest.Events(x); e != "" {
				t.Errorf("events %s", e)
			}
		}
	}
}

func TestMatch(t *testing.T) {
	c := apptest.New(Protocol, 502, nil)
	c.Client(readRequest + writeRequest)
	for text, want := range map[string][2]bool{
		"function 1": {true, false}, "function assigned": {true, true}, "function !assigned": {false, false}, "access read": {true, false},
		"access write holding": {false, true}, "unit 10": {true, true}, "unit <10": {false, false}, "unit >9, access read coils, address 0<>3": {true, false},
		"access write, address 7": {false, true}, "access write holding, address 7, value 8": {false, true}, "access write holding, address 7, value <8": {false, false},
		"function 8, subfunction 4": {false, false},
	} {
		rule, err := suricata.Parse("alert modbus any any -> any any (modbus: " + text + "; sid:1;)")
		if err != nil {
			t.Fatal(err)
		}
		for i, x := range c.Session.Txs() {
			if got := x.Match(&rule.Options[0], app.ToServer); got != want[i] {
				t.Errorf("%s: %v of %d", text, got, i)
			}
		}
	}
}

func TestEvents(t *testing.T) {
	for name, c := range map[string][3]string{
		"unsolicited_response": {"", readRequest, readAnswer}, "": {writeRequest, writeAnswer, ""}, "value_mismatch": {readRequest, frame(1, "\x01\x02\x05\x06"), ""},
		"invalid_value": {frame(1, "\x01\x00\x01\x00\x00"), "", ""}, "invalid_exception_code": {writeRequest, frame(2, "\x90\x63"), ""},
	} {
		talk := apptest.New(Protocol, 502, nil)
		if c[0] == "" {
			talk.Client(echo)
			talk.Server(c[2])
		} else {
			talk.Client(c[0])
			talk.Server(c[1])
		}
		txs := talk.Session.Txs()
		if got := apptest.Events(txs[len(txs)-1]); got != name {
			t.Errorf("events %q, want %q", got, name)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(readRequest), []byte(readAnswer), []byte(writeRequest), uint16(0))
	f.Add([]byte(writeRequest+echo), []byte(refused), []byte(echo), uint16(5))
	apptest.Fuzz(f, Protocol, 502)
}
