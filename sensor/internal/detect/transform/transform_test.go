package transform

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"io"
	"strings"
	"testing"

	"github.com/hauberk/hauberk/suricata"
)

// chain compiles the transforms of a rule.
func chain(t testing.TB, options string) Chain {
	t.Helper()
	r, err := suricata.Parse(`alert http any any -> any any (http.uri; ` + options + ` bsize:>0; sid:1;)`)
	if err != nil {
		t.Fatal(err)
	}
	c, err := Compile(r.Chains()[0].Transforms)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func packed(t *testing.T, w io.WriteCloser, buf *bytes.Buffer, text string) string {
	t.Helper()
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.String()
}

func TestTransforms(t *testing.T) {
	var gz, zl bytes.Buffer
	gzipped := packed(t, gzip.NewWriter(&gz), &gz, strings.Repeat("ab", 1000))
	deflated := packed(t, zlib.NewWriter(&zl), &zl, "abc")
	for _, c := range []struct{ options, in, want string }{
		{"dotprefix;", "example.com", ".example.com"},
		{"dotprefix;", "", ""},
		{"to_lowercase;", "aB[Z\xc9", "ab[z\xc9"},
		{"to_uppercase;", "aB{z\xe9", "AB{Z\xe9"},
		{"strip_whitespace;", " A\tB\r\n\v\fC ", "ABC"},
		{"compress_whitespace;", "I  \t J ", "I J "},
		{"url_decode;", "Suricata%20is+%27%61wesome%21%27%25%30%30%ZZ%4", "Suricata is 'awesome!'%00%ZZ%4"},
		{"url_decode;", "%4g%%41%", "%4g%%41%"},
		{`xor:"0a0DC8ff";`, "example.com", "ou\xa9\x92za\xad\xd1ib\xa5"},
		{"header_lowercase;", "Header1: Value1\nHEADER2:Value2\n", "header1: Value1\nheader2:Value2\n"},
		{"strip_pseudo_headers;", "Header1: Value1\n:method:get\nheader2:Value2\n:x", "Header1: Value1\nheader2:Value2\n"},
		{"to_md5;", "abc", "\x90\x01\x50\x98\x3c\xd2\x4f\xb0\xd6\x96\x3f\x7d\x28\xe1\x7f\x72"},
		{"to_sha1;", "abc", "\xa9\x99\x3e\x36\x47\x06\x81\x6a\xba\x3e\x25\x71\x78\x50\xc2\x6c\x9c\xd0\xd8\x9d"},
		{"to_sha256; to_lowercase; to_md5;", "abc", "\x3e\xe6\xae\x64\x0a\x90\x46\x44\xec\xca\x4f\xb3\xb4\xa0\xd7\xb2"},
		{"domain;", "www.example.co.uk", "example.co.uk"},
		{"domain;", "com", ""},
		{"tld;", "www.example.co.uk", "co.uk"},
		{`pcrexform:"/[^\?]+\?([^&=]+)";`, "/test?param=1", "param"},
		{`pcrexform:"nothing (here)";`, "/test?param=1", "/test?param=1"},
		{`pcrexform:"(a+)"; dotprefix; to_uppercase;`, "baac", ".AA"},
		{"from_base64;", "VGhpcyBpcyBTdXJpY2F0YQ==", "This is Suricata"},
		{"from_base64: mode rfc2045;", "Zm 9v Ym Fy", "foobar"},
		{"from_base64: mode strict;", "This is Suricata\n", "This is Suricata\n"},
		{"from_base64: bytes 25;", "VGhpcyBpcyBTdXJpY2F0YQ==", "VGhpcyBpcyBTdXJpY2F0YQ=="},
		{"from_base64: bytes 12;", "VGhpcyBpcyBTdXJpY2F0YQ==", "This is S"},
		{"from_base64: offset 25;", "VGhpcyBpcyBTdXJpY2F0YQ==", "VGhpcyBpcyBTdXJpY2F0YQ=="},
		{"from_base64: offset 4;", "VGhpcyBpcyBTdXJpY2F0YQ==", "s is Suricata"},
		{"from_base64: bytes 15, mode rfc2045;", "SGVs bG8 gV29y bGQ=", "Hello Wor"},
		{"gunzip;", gzipped, strings.Repeat("ab", 512)},
		{"gunzip: max-size 3;", gzipped, "aba"},
		{"gunzip;", "no gzip", ""},
		{"zlib_deflate;", deflated, "abc"},
	} {
		var s Scratch
		in := []byte(c.in)
		for range 2 { // With memory that was used before, too.
			if got := string(chain(t, c.options).Apply(&s, in)); got != c.want {
				t.Errorf("%s %q: %q, want %q", c.options, c.in, got, c.want)
			}
		}
		if string(in) != c.in {
			t.Errorf("%s changed its input", c.options)
		}
	}
}

func TestNoAllocation(t *testing.T) {
	var s Scratch
	c := chain(t, "strip_whitespace; dotprefix; to_lowercase; to_md5;")
	in := []byte("Www. Example. Com")
	if n := testing.AllocsPerRun(100, func() { c.Apply(&s, in) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzApply holds the bounds of what becomes of any buffer.
func FuzzApply(f *testing.F) {
	var all []Chain
	for name := range plain {
		all = append(all, chain(f, name+";"))
	}
	for _, o := range []string{`xor:"0a0D";`, `pcrexform:"(a+)b";`, "from_base64;", "from_base64: mode rfc2045;", "gunzip: max-size 99;", "zlib_deflate;"} {
		all = append(all, chain(f, o))
	}
	f.Add([]byte("%41+ \tYWJj"))
	f.Add([]byte("www.example.co.uk."))
	f.Fuzz(func(t *testing.T, data []byte) {
		var s Scratch
		before := string(data)
		for _, c := range all {
			if out := c.Apply(&s, data); len(out) > max(len(data)+1, defaultInflated) {
				t.Errorf("%d bytes became %d", len(data), len(out))
			}
		}
		if string(data) != before {
			t.Error("the input changed")
		}
	})
}
