package jsonw

import (
	"encoding/json"
	"fmt"
	"testing"
	"unicode/utf8"
)

func TestDocument(t *testing.T) {
	var w Writer
	w.Object("")
	w.String("s", "a\"b\\c\n\x01\x7fé")
	w.Text("bad", []byte("caf\xe9\t\"é"))
	w.Array("list")
	w.Uint("", 1)
	w.Int("", -2)
	w.Float("", 1.5)
	w.Object("")
	w.Close()
	w.Array("")
	w.Close()
	w.Close()
	w.Bool("yes", true)
	w.Raw("raw", []byte(`{"x":null}`))
	w.Base64("b64", []byte("hello"))
	w.Hex("hex", []byte{0, 0xab})
	w.HexSep("serial", []byte{1, 0xff}, ":")
	w.Printable("text", []byte("GET /\r\n\x00\t\xff\"\\"))
	w.Member([]byte("x-\"head"), []byte("v"))
	m := w.Mark()
	w.Object("undone")
	w.Uint("n", 1)
	w.Back(m)
	w.Object("last")
	if !w.Empty() {
		t.Error("an object just opened is not empty")
	}
	w.Close()
	w.Close()
	w.Newline()
	w.Object("")
	w.Close()
	const want = `{"s":"a\"b\\c\n\u0001` + "\x7f" + `é","bad":"caf\\xe9\t\"\\xc3\\xa9","list":[1,-2,1.5,{},[]],"yes":true,` +
		`"raw":{"x":null},"b64":"aGVsbG8=","hex":"00ab","serial":"01:ff","text":"GET /\r\n...\"\\","x-\"head":"v","last":{}}` +
		"\n{}"
	if got := string(w.Bytes()); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// FuzzString checks that every string is valid JSON, and says what
// encoding/json reads back.
func FuzzString(f *testing.F) {
	f.Add("plain", []byte("plain"))
	f.Add("\u2028\x00\x1f\"\\", []byte("\xff\xc3\xa9\\x00"))
	f.Fuzz(func(t *testing.T, s string, b []byte) {
		var w Writer
		w.Object("")
		w.String("s", s)
		w.Text("b", b)
		w.Printable("p", b)
		w.Base64("64", b)
		w.Close()
		var got struct {
			S, B, P string
			B64     []byte `json:"64"`
		}
		if err := json.Unmarshal(w.Bytes(), &got); err != nil {
			t.Fatalf("%s: %v", w.Bytes(), err)
		}
		if want := spelled(s); got.S != want {
			t.Errorf("string %q read back as %q", want, got.S)
		}
		if want := spelled(string(b)); got.B != want {
			t.Errorf("bytes %q read back as %q", want, got.B)
		}
		if string(got.B64) != string(b) {
			t.Errorf("base64 %q read back as %q", b, got.B64)
		}
		if len(got.P) != len(b) {
			t.Errorf("printable form of %q is %q", b, got.P)
		}
	})
}

// spelled is the text a string stands for: itself, or with its bytes over 0x7f
// spelled out if it is not UTF-8.
func spelled(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	var out []byte
	for i := range len(s) {
		if s[i] < 0x80 {
			out = append(out, s[i])
		} else {
			out = fmt.Appendf(out, `\x%02x`, s[i])
		}
	}
	return string(out)
}

func TestNoAllocation(t *testing.T) {
	var w Writer
	buf, text := make([]byte, 0, 4096), []byte("caf\xe9 \u00e9")
	if n := testing.AllocsPerRun(100, func() {
		w.Reset(buf)
		w.Object("")
		w.String("s", "text é")
		w.Text("b", text)
		w.Base64("b64", text)
		w.Float("f", 0.25)
		w.Array("a")
		w.Uint("", 7)
		w.Close()
		w.Close()
	}); n != 0 {
		t.Errorf("%v allocations per document", n)
	}
}

func BenchmarkEvent(b *testing.B) {
	var w Writer
	buf := make([]byte, 0, 4096)
	agent := []byte("Mozilla/5.0 (X11; Linux x86_64; rv:109.0) Gecko/20100101 Firefox/115.0")
	for b.Loop() {
		w.Reset(buf)
		w.Object("")
		w.String("event_type", "http")
		w.Object("http")
		w.String("hostname", "www.example.org")
		w.String("url", "/a/path?with=query")
		w.Text("http_user_agent", agent)
		w.Uint("status", 200)
		w.Uint("length", 31337)
		w.Close()
		w.Close()
	}
}
