package mime

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// files is a Sink that keeps what it gets.
type files struct{ text string }

func (f *files) Open(name []byte) { f.text += fmt.Sprintf("<%s>", name) }
func (f *files) Add(data []byte)  { f.text += string(data) }
func (f *files) Close()           { f.text += "|" }

var all = Config{Base64: true, Quoted: true, URLs: true, Schemes: []string{"http://"}, LogScheme: true, BodyMD5: true}

// read takes a message whose lines end in a line feed alone; lines longer
// than piece come in pieces.
func read(c Config, text string, piece int) (*Message, string, Anomaly) {
	var f files
	var found Anomaly
	m := New(&c, &f)
	for line := range strings.Lines(text) {
		for m.InBody() && len(line) > piece {
			found |= m.Line([]byte(line[:piece]), nil)
			line = line[piece:]
		}
		plain := strings.TrimSuffix(line, "\n")
		found |= m.Line([]byte(plain), []byte(line[len(plain):]))
	}
	m.Finish()
	return m, f.text, found
}

const mixed = `From: a@b
Subject: two
	lines
Content-Type: multipart/mixed; boundary="x y"

preamble http://no/
--x y
Content-Type: text/plain

see http://one/ and <a href="HTTP://two">
--x y
Content-Type: application/x; name="a.bin"
Content-Transfer-Encoding: base64

AAEC
Aw
--x y
Content-Disposition: attachment; filename*0="long"; filename*1=er
Content-Transfer-Encoding: quoted-printable

a=3Db=
c
--x y
Content-Disposition: attachment; filename=plain

one
two
--x y--
`

func TestParts(t *testing.T) {
	m, got, _ := read(all, mixed, 1000)
	if want := "<a.bin>\x00\x01\x02\x03|<longer>a=bc|<plain>one\ntwo||"; got != want {
		t.Errorf("files %q, want %q", got, want)
	}
	if got := string(m.Value("subject")); got != "twolines" {
		t.Errorf("subject %q", got)
	}
	if got := string(bytes.Join(m.URLs, []byte{' '})); got != "http://one/ HTTP://two" {
		t.Errorf("urls %q", got)
	}
	if len(m.BodyMD5) != 16 {
		t.Errorf("digest %x", m.BodyMD5)
	}
}

func TestPieces(t *testing.T) {
	const head = "Content-Disposition: a; filename=f\nContent-Transfer-Encoding: "
	for text, want := range map[string]string{
		head + "base64\n\nQUJD\nREVG\n":             "<f>ABCDEF|",
		head + "quoted-printable\n\nx=41=\ny=42z\n": "<f>xAyBz|",
		head + "7bit\n\nabc\ndef\n":                 "<f>abc\ndef|",
	} {
		for _, piece := range []int{1, 2, 3, 4, 100} {
			if _, got, found := read(all, text, piece); got != want || found != 0 {
				t.Errorf("pieces of %d: %q, want %q, anomalies %b", piece, got, want, found)
			}
		}
	}
}

func TestAnomalies(t *testing.T) {
	for text, want := range map[string]Anomaly{
		"Content-Transfer-Encoding: base64\n\nA===\n":                            InvalidBase64,
		"Content-Transfer-Encoding: quoted-printable\n\na=zz\n":                  InvalidQuoted,
		"\n" + strings.Repeat("x", 999) + "\n":                                   LongLine,
		strings.Repeat("n", 76) + ": v\n":                                        LongName,
		"n: " + strings.Repeat("v", 2001) + "\n":                                 LongValue | LongLine,
		"Content-Type: m; boundary=" + strings.Repeat("b", 255) + "\n\n":         LongBoundary,
		"Content-Disposition: a; filename=" + strings.Repeat("b", 256) + "\n\n":  LongFilename,
		"Content-Transfer-Encoding: base64\n\n" + strings.Repeat("A", 80) + "\n": LongEncodedLine,
	} {
		if _, _, got := read(all, text, 1<<20); got != want {
			t.Errorf("%.60q: %b, want %b", text, got, want)
		}
	}
}

func TestParameter(t *testing.T) {
	for value, want := range map[string]string{
		`a; name=b`: "b", `a; name="b;c" ; x=y`: "b;c", `a; x="\""; name=z`: "z", `a; name*0=1; name*1="2"`: "12", `name=no`: "", `a; name="open`: `"open`,
	} {
		if got := string(Parameter([]byte(value), "name")); got != want {
			t.Errorf("%s: %q, want %q", value, got, want)
		}
	}
}

func FuzzMessage(f *testing.F) {
	f.Add(mixed, 5)
	f.Add("Content-Type: message/rfc822\n\nContent-Type: text/html\n\nhttp://x\n", 100)
	f.Add("Content-Transfer-Encoding: quoted-printable\nContent-Disposition: a; filename=x\n\n=\n=A\n==", 2)
	f.Fuzz(func(t *testing.T, text string, piece int) {
		m, got, _ := read(all, text, max(piece, 1))
		if len(got) > 4*len(text)+maxFilename {
			t.Errorf("%d bytes of %d", len(got), len(text))
		}
		if len(m.URLs) > maxFound {
			t.Errorf("%d urls", len(m.URLs))
		}
	})
}

// TestManyHeaders keeps no more of headers than there is room for.
func TestManyHeaders(t *testing.T) {
	m := New(&Config{}, nil)
	for range maxHeaders {
		m.Line([]byte("X: y"), nil)
		for range 20 {
			m.Line(append([]byte{' '}, make([]byte, 3000)...), nil)
		}
	}
	m.Line(nil, nil)
	n := 0
	for _, h := range m.Headers {
		n += len(h.Name) + len(h.Value)
	}
	if n > maxAllBytes || n < maxAllBytes/2 {
		t.Errorf("%d bytes are kept", n)
	}
}
