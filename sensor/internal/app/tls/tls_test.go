package tls

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	stdtls "crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/hauberk/hauberk/sensor/internal/app"
	"github.com/hauberk/hauberk/sensor/internal/jsonw"
	"github.com/hauberk/hauberk/suricata"
)

// recorder keeps what is written to a connection.
type recorder struct {
	net.Conn
	sent *bytes.Buffer
}

func (r recorder) Write(b []byte) (int, error) {
	r.sent.Write(b)
	return r.Conn.Write(b)
}

// handshake runs the standard library's client against its server, and returns
// what each sent.
func handshake(t testing.TB, version uint16) (sent [2]bytes.Buffer) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(0x0102f3), NotBefore: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), NotAfter: time.Date(2056, 1, 2, 3, 4, 5, 0, time.UTC),
		Subject: pkix.Name{Country: []string{"NL"}, Organization: []string{"Test"}, CommonName: "server"}, DNSNames: []string{"a.example", "b.example"},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	a, b := net.Pipe()
	server := stdtls.Server(recorder{b, &sent[app.ToClient]}, &stdtls.Config{Certificates: []stdtls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, NextProtos: []string{"h2"}})
	client := stdtls.Client(recorder{a, &sent[app.ToServer]}, &stdtls.Config{ServerName: "sni.example", InsecureSkipVerify: true, MaxVersion: version, NextProtos: []string{"h2", "http/1.1"}})
	done := make(chan error, 1)
	go func() {
		err := server.Handshake()
		if err == nil {
			_, err = server.Write([]byte("hello"))
		}
		done <- err
	}()
	if err := client.Handshake(); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Read(make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return sent
}

func TestHandshakes(t *testing.T) {
	for version, name := range map[uint16]string{stdtls.VersionTLS12: "TLS 1.2", stdtls.VersionTLS13: "TLS 1.3"} {
		sent := handshake(t, version)
		for _, piece := range []int{1, 100, 1 << 20} {
			s := app.NewSession(app.NewRegistry(&app.Config{}, []*app.Protocol{Protocol}), app.FlowInfo{ServerPort: 443})
			var at [2]int
			for at[0] < sent[0].Len() || at[1] < sent[1].Len() {
				for d := range at {
					n := min(piece, sent[d].Len()-at[d])
					s.Data(app.Dir(d), uint64(at[d]), sent[d].Bytes()[at[d]:at[d]+n], time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC).UnixNano())
					at[d] += n
				}
			}
			if s.Protocol() != Protocol || len(s.Txs()) != 1 {
				t.Fatalf("%s: %d transactions", name, len(s.Txs()))
			}
			x := s.Txs()[0].(*connection)
			if b, ok := x.Buffer(suricata.BufTLSSNI, app.ToServer, 0, nil); !ok || string(b.Data) != "sni.example" {
				t.Errorf("%s: SNI %q", name, b.Data)
			}
			if ja4 := string(x.hellos[0].JA4('t')); !strings.HasPrefix(ja4, "t"+strings.TrimPrefix(strings.ReplaceAll(name, ".", ""), "TLS ")+"d") || len(ja4) != 36 {
				t.Errorf("%s: JA4 %q", name, ja4)
			}
			if x.Progress[0] < handshakeDone || x.Progress[1] < serverDone {
				t.Errorf("%s: progress %v", name, x.Progress)
			}
			var w jsonw.Writer
			w.Object("")
			appendLog(&w, x, nil)
			w.Close()
			log := string(w.Bytes())
			want := `"sni":"sni.example","version":"` + name + `","client_alpns":["h2","http/1.1"]`
			if version == stdtls.VersionTLS12 {
				for _, part := range []string{`"subject":"C=NL, O=Test, CN=server"`, `"serial":"01:02:F3"`, `"subjectaltname":["a.example","b.example"]`, `"notbefore":"2026-01-02T03:04:05","notafter":"2056-01-02T03:04:05"`, `"server_alpns":["h2"]`} {
					if !strings.Contains(log, part) {
						t.Errorf("%s lacks %s", log, part)
					}
				}
			}
			if !strings.Contains(log, want) {
				t.Errorf("%s lacks %s", log, want)
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	sent := handshake(f, stdtls.VersionTLS12)
	f.Add(sent[0].Bytes(), sent[1].Bytes())
	f.Fuzz(func(t *testing.T, client, server []byte) {
		p := newParser(&app.Context{Config: &app.Config{}, Hooks: app.NewSession(app.NewRegistry(&app.Config{}, nil), app.FlowInfo{})})
		p.Parse(&app.Input{Dir: app.ToServer, Data: client})
		p.Parse(&app.Input{Dir: app.ToClient, Data: server})
		var w jsonw.Writer
		w.Object("")
		appendLog(&w, p.tx, nil)
		w.Close()
	})
}
