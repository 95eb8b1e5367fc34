package ike

import (
	"encoding/binary"
	"strings"
	"testing"

	"github.com/hauberk/hauberk/sensor/internal/app"
	"github.com/hauberk/hauberk/sensor/internal/app/apptest"
	"github.com/hauberk/hauberk/suricata"
)

// chunk is a payload: what follows it, and its content behind its length.
func chunk(next byte, content string) string {
	return string([]byte{next, 0}) + string(binary.BigEndian.AppendUint16(nil, uint16(4+len(content)))) + content
}

func message(responder, version, exchange, flags, next byte, content string) string {
	h := "\x01\x02\x03\x04\x05\x06\x07\x08" + strings.Repeat(string(rune(responder)), 8) + string([]byte{next, version, exchange, flags}) + "\x00\x00\x00\x00"
	return h + string(binary.BigEndian.AppendUint32(nil, uint32(28+len(content)))) + content
}

var (
	transform1 = chunk(0, "\x01\x01\x00\x00"+"\x80\x01\x00\x07"+"\x80\x02\x00\x02"+"\x00\x0c\x00\x04\x00\x01\x51\x80")
	offer1     = message(0, 0x10, 2, 0, payloadSA, chunk(payloadVendor, "\x00\x00\x00\x01\x00\x00\x00\x01"+chunk(0, "\x01\x01\x00\x01"+transform1))+chunk(0, "\xab\xcd"))
	keys1      = message('r', 0x10, 2, 0, payloadKeyExchange, chunk(payloadNonce, "key")+chunk(0, "nonce"))
	transforms = chunk(3, "\x01\x00\x00\x0c") + chunk(3, "\x02\x00\x00\x05") + chunk(3, "\x03\x00\x00\x0c") + chunk(0, "\x04\x00\x00\x02")
	offer2     = message(0, 0x20, 34, 8, payload2SA, chunk(payload2Notify, chunk(0, "\x01\x01\x00\x04"+transforms))+chunk(0, "\x00\x00\x40\x04"))
	answer2    = message('r', 0x20, 34, 0x20, payload2SA, chunk(0, chunk(0, "\x01\x01\x00\x04"+transforms)))
)

func logs(c *apptest.Talk) (list []string) {
	for _, x := range c.Session.Txs() {
		list = append(list, apptest.Log(x, 0, true))
	}
	return list
}

func TestIKE1(t *testing.T) {
	c := apptest.New(Protocol, 500, nil)
	c.Client(offer1)
	c.Server(strings.Replace(offer1, strings.Repeat("\x00", 8), "rrrrrrrr", 1))
	c.Client(keys1)
	c.Server(keys1)
	got := logs(c)
	head := `{"ike":{"version_major":1,"version_minor":0,"init_spi":"0102030405060708","resp_spi":"7272727272727272","message_id":0,"exchange_type":2,"exchange_type_verbose":"Identity Protection",`
	chosen := `"alg_enc":"EncAesCbc","alg_enc_raw":7,"alg_hash":"HashSha","alg_hash_raw":2,"sa_life_duration":"Unknown","sa_life_duration_raw":86400`
	side := `{"key_exchange_payload":"6b6579","key_exchange_payload_length":3,"nonce_payload":"6e6f6e6365","nonce_payload_length":5}`
	want := head + chosen + `,"payload":["KeyExchange","Nonce"],"ikev1":{"doi":1,"encrypted_payloads":false,"client":` + side + `,"server":` + side + `}}}`
	if len(got) != 4 || got[3] != want {
		t.Fatalf("log\n%q, want\n%s", got, want)
	}
	txs := c.Session.Txs()
	if v := apptest.Buffers(txs[0], suricata.BufIKEVendor, app.ToServer); len(v) != 1 || v[0] != "abcd" {
		t.Errorf("vendors %q", v)
	}
	for text, want := range map[string]bool{
		"ike.chosen_sa_attribute:alg_hash=2": true, "ike.chosen_sa_attribute:alg_hash=3": false, "ike.chosen_sa_attribute:sa_life_duration=86400": true,
		"ike.exchtype:2": true, "ike.nonce_payload_length:5": false,
	} {
		rule, err := suricata.Parse("alert ike any any -> any any (" + text + "; sid:1;)")
		if err != nil {
			t.Fatal(err)
		}
		if got := txs[1].Match(&rule.Options[0], app.ToClient); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}

func TestIKE2(t *testing.T) {
	c := apptest.New(Protocol, 500, nil)
	c.Client(offer2)
	c.Server(answer2)
	got := logs(c)
	want := []string{
		`{"ike":{"version_major":2,"version_minor":0,"init_spi":"0102030405060708","resp_spi":"0000000000000000","message_id":0,"exchange_type":34,"role":"initiator","payload":["SecurityAssociation","Notify","NoNextPayload"],"ikev2":{"errors":0,"notify":["NAT_DETECTION_SOURCE_IP"]}}}`,
		`{"ike":{"version_major":2,"version_minor":0,"init_spi":"0102030405060708","resp_spi":"7272727272727272","message_id":0,"exchange_type":34,"role":"responder","alg_enc":"ENCR_AES_CBC","alg_auth":"AUTH_HMAC_SHA2_256_128","alg_prf":"PRF_HMAC_SHA2_256","alg_dh":"Modp1024","alg_esn":"NoESN","payload":["SecurityAssociation","NoNextPayload"],"ikev2":{"errors":0}}}`,
	}
	if len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("log\n%q, want\n%q", got, want)
	}
	if e := apptest.Events(c.Session.Txs()[0]); e != "weak_crypto_dh" {
		t.Errorf("events %s", e)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(offer1), []byte(keys1), []byte(keys1), uint16(0))
	f.Add([]byte(offer2), []byte(answer2), []byte(offer2), uint16(0))
	apptest.Fuzz(f, Protocol, 500)
}
