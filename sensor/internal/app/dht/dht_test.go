package dht

import (
	"strings"
	"testing"

	"github.com/hauberk/hauberk/sensor/internal/app/apptest"
)

const (
	query  = "d1:ad2:id20:abcdefghij01234567896:target20:mnopqrstuvwxyz123456e1:q9:find_node1:t2:aa1:v4:UT\x00\x011:y1:qe"
	answer = "d1:rd2:id20:abcdefghij01234567895:nodes26:abcdefghij0123456789\x0a\x00\x00\x01\x1a\xe15:token2:ok6:valuesl6:\x0a\x00\x00\x02\x1a\xe2ee1:t2:aa1:y1:re"
	fault  = "d1:eli201e5:Errore1:t2:aa1:y1:ee"
)

func TestMessages(t *testing.T) {
	talk := apptest.New(Protocol, 6881, nil)
	talk.Client(query)
	talk.Server(answer)
	talk.Server(fault)
	talk.Server("d1:rd2:id")
	talk.Server("something else")
	want := []string{
		`{"bittorrent_dht":{"transaction_id":"6161","client_version":"55540001","request_type":"find_node","request":{"id":"6162636465666768696a30313233343536373839","target":"6d6e6f707172737475767778797a313233343536"}}}`,
		`{"bittorrent_dht":{"transaction_id":"6161","response":{"id":"6162636465666768696a30313233343536373839","nodes":[{"id":"6162636465666768696a30313233343536373839","ip":"10.0.0.1","port":6881}],"values":[{"ip":"10.0.0.2","port":6882}],"token":"6f6b"}}}`,
		`{"bittorrent_dht":{"transaction_id":"6161","error":{"num":201,"msg":"Error"}}}`,
		`{"bittorrent_dht":{"transaction_id":""}}`,
	}
	var got []string
	for _, x := range talk.Session.Txs() {
		got = append(got, apptest.Log(x, 0, nil))
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("log\n%s, want\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if got := apptest.Events(talk.Session.Txs()[3]); got != "malformed_packet" {
		t.Errorf("events %s", got)
	}
}

func TestBounds(t *testing.T) {
	for _, deep := range []string{strings.Repeat("l", 1000), "l" + strings.Repeat("i1e", 2*maxValues) + "e", "99999999999:x", "i1", "d1:ae", "-1:"} {
		if _, ok := decode([]byte(deep)); ok {
			t.Errorf("%.20q is a value", deep)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(query), []byte(answer), []byte(fault), uint16(0))
	apptest.Fuzz(f, Protocol, 6881)
}
