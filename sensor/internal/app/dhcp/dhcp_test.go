package dhcp

import (
	"strings"
	"testing"

	"github.com/hauberk/hauberk/sensor/internal/app/apptest"
)

// reply is an acknowledgement with some options.
var reply = "\x02\x01\x06\x00\x00\x00\x00\x07\x00\x00\x00\x00" + "\x00\x00\x00\x00" + "\x0a\x00\x00\x05" + "\x0a\x00\x00\x01" + "\x00\x00\x00\x00" +
	"\x00\x0b\x82\x01\xfc\x42" + strings.Repeat("\x00", 10+64+128) + "\x63\x82\x53\x63" +
	"\x35\x01\x05\x33\x04\x00\x00\x0e\x10\x3a\x04\x00\x00\x07\x08\x0c\x02pc\x06\x08\x08\x08\x08\x08\x09\x09\x09\x09\x37\x03\x01\x03\x63\x3d\x03\x01\xaa\xbb\xff"

func TestReply(t *testing.T) {
	talk := apptest.New(Protocol, 67, nil)
	talk.Server(reply)
	talk.Server(reply[:250])
	txs := talk.Session.Txs()
	if len(txs) != 2 {
		t.Fatalf("%d messages", len(txs))
	}
	const brief = `{"dhcp":{"type":"reply","id":7,"client_mac":"00:0b:82:01:fc:42","assigned_ip":"10.0.0.5","dhcp_type":"ack","renewal_time":1800,"hostname":"pc","client_id":"aa:bb"}}`
	if got := apptest.Log(txs[0], 0, nil); got != brief {
		t.Errorf("log\n%s, want\n%s", got, brief)
	}
	const long = `{"dhcp":{"type":"reply","id":7,"client_mac":"00:0b:82:01:fc:42","assigned_ip":"10.0.0.5","client_ip":"0.0.0.0","relay_ip":"0.0.0.0","next_server_ip":"10.0.0.1","dhcp_type":"ack","lease_time":3600,"renewal_time":1800,"hostname":"pc","dns_servers":["8.8.8.8","9.9.9.9"],"params":["subnet_mask","router"],"client_id":"aa:bb"}}`
	if got := apptest.Log(txs[0], 0, options{true}); got != long {
		t.Errorf("log\n%s, want\n%s", got, long)
	}
	if got := apptest.Events(txs[1]); got != "truncated_options" {
		t.Errorf("events %s", got)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(reply), []byte(reply[:245]), []byte(reply[:250]+"\x33\x01\x01\x3d\x01\x01"), uint16(0))
	apptest.Fuzz(f, Protocol, 67)
}
