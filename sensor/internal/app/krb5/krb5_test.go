package krb5

import (
	"encoding/binary"
	"testing"

	"github.com/hauberk/hauberk/sensor/internal/app"
	"github.com/hauberk/hauberk/sensor/internal/app/apptest"
	"github.com/hauberk/hauberk/suricata"
)

func tlv(tag byte, data string) string { return string([]byte{tag, byte(len(data))}) + data }

func fieldOf(n byte, data string) string { return tlv(0xa0|n, data) }

func name(parts ...string) string {
	var list string
	for _, p := range parts {
		list += tlv(0x1b, p)
	}
	return tlv(0x30, fieldOf(0, tlv(2, "\x01"))+fieldOf(1, tlv(0x30, list)))
}

func record(b string) string { return string(binary.BigEndian.AppendUint32(nil, uint32(len(b)))) + b }

var (
	version  = tlv(2, "\x05")
	ticketOf = tlv(0x61, tlv(0x30, fieldOf(0, version)+fieldOf(1, tlv(0x1b, "R"))+fieldOf(2, name("krbtgt", "R"))+fieldOf(3, tlv(0x30, fieldOf(0, tlv(2, "\x17"))))))
	request  = tlv(0x6a, tlv(0x30, fieldOf(1, version)+fieldOf(2, tlv(2, "\x0a"))+fieldOf(4, tlv(0x30, fieldOf(1, name("me"))+fieldOf(2, tlv(0x1b, "R"))+fieldOf(3, name("krbtgt", "R"))))))
	reply    = tlv(0x6b, tlv(0x30, fieldOf(0, version)+fieldOf(1, tlv(2, "\x0b"))+fieldOf(3, tlv(0x1b, "R"))+fieldOf(4, name("me"))+fieldOf(5, ticketOf)+fieldOf(6, tlv(0x30, fieldOf(0, tlv(2, "\x12"))))))
	failed   = tlv(0x7e, tlv(0x30, fieldOf(0, version)+fieldOf(1, tlv(2, "\x1e"))+fieldOf(6, tlv(2, "\x19"))+fieldOf(9, tlv(0x1b, "R"))+fieldOf(10, name("krbtgt", "R"))))
	token    = tlv(0x60, tlv(6, "\x2a\x86\x48\x86\xf7\x12\x01\x02\x02")+"\x01\x00"+tlv(0x6e, tlv(0x30, fieldOf(0, version)+fieldOf(3, ticketOf))))
)

func TestMessages(t *testing.T) {
	for _, piece := range []int{1, 20, 0} {
		c := apptest.New(Protocol, 88, nil)
		c.Piece = piece
		c.Client(record(request))
		c.Server(record(failed))
		c.Client(record(request))
		c.Server(record(reply))
		txs := c.Session.Txs()
		want := []string{
			`{"krb5":{"msg_type":"KRB_AS_REQ","cname":"me","realm":"R","sname":"krbtgt/R","encryption":"<none>","weak_encryption":false}}`,
			`{"krb5":{"msg_type":"KRB_ERROR","failed_request":"KRB_AS_REQ","error_code":"KDC_ERR_PREAUTH_REQUIRED","cname":"<empty>","realm":"<empty>","sname":"krbtgt/R","encryption":"<none>","weak_encryption":false}}`,
			`{"krb5":{"msg_type":"KRB_AS_REQ","cname":"me","realm":"R","sname":"krbtgt/R","encryption":"<none>","weak_encryption":false}}`,
			`{"krb5":{"msg_type":"KRB_AS_REP","cname":"me","realm":"R","sname":"krbtgt/R","encryption":"AES256_CTS_HMAC_SHA1_96","weak_encryption":false,"ticket_encryption":"RC4_HMAC","ticket_weak_encryption":true}}`,
		}
		if len(txs) != len(want) {
			t.Fatalf("pieces of %d: %d transactions", piece, len(txs))
		}
		for i, x := range txs {
			if got := apptest.Log(x, 0, nil); got != want[i] {
				t.Errorf("log\n%s, want\n%s", got, want[i])
			}
		}
		if got := apptest.Buffers(txs[3], suricata.BufKrb5Sname, app.ToClient); len(got) != 2 || got[1] != "R" {
			t.Errorf("server %q", got)
		}
	}
}

func TestMatch(t *testing.T) {
	x := &tx{kind: asReply, ticket: 23, hasTicket: true}
	for text, want := range map[string]bool{
		"krb5_msg_type:11": true, "krb5_msg_type:10": false, "krb5_err_code:25": false, "krb5.ticket_encryption:weak": true,
		"krb5.ticket_encryption:!weak": false, "krb5.ticket_encryption:rc4-hmac,des-cbc-md5": true, "krb5.ticket_encryption:18,23": true,
		"krb5.ticket_encryption:aes256-cts-hmac-sha1-96": false,
	} {
		rule, err := suricata.Parse("alert krb5 any any -> any any (" + text + "; sid:1;)")
		if err != nil {
			t.Fatal(err)
		}
		if got := x.Match(&rule.Options[0], app.ToClient); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
	for e, want := range map[int32]string{9: "dsaWithSHA1-CmsOID", 11: "sha1WithRSAEncryption-CmsOID", 12: "rc2CBC-EnvOID", 14: "rsaES-OAEP-ENV-OID", 15: "des-ede3-cbc-Env-OID", -135: "rc4-hmac-OLD-exp"} {
		if got := ruleName(e); got != want {
			t.Errorf("%d is %s, want %s", e, got, want)
		}
	}
}

func TestToken(t *testing.T) {
	k := ReadToken([]byte(token))
	if k == nil || string(k.Realm) != "R" || len(k.Server) != 2 || string(k.Server[0]) != "krbtgt" || k.Encryption != 23 {
		t.Errorf("%+v", k)
	}
	for n := range len(token) {
		if ReadToken([]byte(token[:n])) != nil {
			t.Errorf("the first %d bytes are a token", n)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(record(request)), []byte(record(failed)), []byte(record(request)), uint16(0))
	f.Add([]byte(record(request)), []byte(record(reply)), []byte(token), uint16(7))
	apptest.Fuzz(f, Protocol, 88)
}
