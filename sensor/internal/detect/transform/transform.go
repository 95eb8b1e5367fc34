// Package transform changes a buffer before a rule looks into it: to_md5,
// dotprefix, url_decode and their kin, as Suricata 8 has them. An empty buffer
// stays as it is.
package transform

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"strconv"
	"strings"

	"golang.org/x/net/publicsuffix"

	"github.com/hauberk/hauberk/suricata"
	"github.com/hauberk/hauberk/suricata/pcre"
)

// Scratch is the working memory of one goroutine.
type Scratch struct {
	bufs [2][]byte
	pcre pcre.Scratch
}

// Chain is the transforms of a buffer, in order.
type Chain []step

// step appends what becomes of src to dst, or returns a part of src.
type step func(s *Scratch, dst, src []byte) []byte

// Compile makes a chain.
func Compile(options []suricata.Option) (Chain, error) {
	var c Chain
	for i := range options {
		f, err := compile(&options[i])
		if err != nil {
			return nil, err
		}
		c = append(c, f)
	}
	return c, nil
}

// Apply returns what becomes of data. It may be a part of data, and is good
// until the next call with s.
func (c Chain) Apply(s *Scratch, data []byte) []byte {
	for i, f := range c {
		if len(data) == 0 {
			break
		}
		dst := s.bufs[i&1][:0]
		out := f(s, dst, data)
		if len(out) > 0 && cap(out) > cap(dst) && &out[0] != &data[0] && !within(out, data) {
			s.bufs[i&1] = out
		}
		data = out
	}
	return data
}

// within says whether a is a part of b.
func within(a, b []byte) bool {
	if len(a) == 0 || len(a) > len(b) {
		return false
	}
	for i := range b[:len(b)-len(a)+1] {
		if &b[i] == &a[0] {
			return true
		}
	}
	return false
}

// plain are the transforms without an argument.
var plain = map[string]step{
	"dotprefix":            func(_ *Scratch, dst, src []byte) []byte { return append(append(dst, '.'), src...) },
	"to_lowercase":         mapped(func(c byte) byte { return fold(c, 'A', 'Z', 'a'-'A') }),
	"to_uppercase":         mapped(func(c byte) byte { return fold(c, 'a', 'z', 'a'-'A') }),
	"strip_whitespace":     stripWhitespace,
	"compress_whitespace":  compressWhitespace,
	"url_decode":           urlDecode,
	"header_lowercase":     headerLowercase,
	"strip_pseudo_headers": stripPseudoHeaders,
	"domain":               func(_ *Scratch, _, src []byte) []byte { return domain(src) },
	"tld":                  func(_ *Scratch, _, src []byte) []byte { return suffix(domain(src)) },
	"to_md5": func(_ *Scratch, dst, src []byte) []byte {
		sum := md5.Sum(src)
		return append(dst, sum[:]...)
	},
	"to_sha1": func(_ *Scratch, dst, src []byte) []byte {
		sum := sha1.Sum(src)
		return append(dst, sum[:]...)
	},
	"to_sha256": func(_ *Scratch, dst, src []byte) []byte {
		sum := sha256.Sum256(src)
		return append(dst, sum[:]...)
	},
}

func compile(o *suricata.Option) (step, error) {
	if f, ok := plain[o.Name]; ok {
		return f, nil
	}
	switch o.Name {
	case "xor":
		text, _ := o.Value.(suricata.Quoted)
		key, err := hex.DecodeString(string(text))
		if err != nil || len(key) == 0 {
			return nil, fmt.Errorf("xor: bad key %q", text)
		}
		return xor(key), nil
	case "pcrexform":
		re, ok := o.Value.(*suricata.TransformRegexp)
		if !ok {
			break
		}
		return group(re.Regexp), nil
	case "from_base64":
		v, ok := o.Value.(*suricata.Base64)
		if !ok {
			v = &suricata.Base64{}
		}
		return fromBase64(v), nil
	case "gunzip":
		return inflate(o, func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) })
	case "zlib_deflate":
		return inflate(o, func(r io.Reader) (io.Reader, error) { return zlib.NewReader(r) })
	}
	return nil, fmt.Errorf("%s is not applied yet", o.Name)
}

func fold(c, from, to, by byte) byte {
	if from <= c && c <= to {
		return c ^ by
	}
	return c
}

func mapped(f func(byte) byte) step {
	return func(_ *Scratch, dst, src []byte) []byte {
		for _, c := range src {
			dst = append(dst, f(c))
		}
		return dst
	}
}

func isSpace(c byte) bool { return c == ' ' || '\t' <= c && c <= '\r' }

func stripWhitespace(_ *Scratch, dst, src []byte) []byte {
	for _, c := range src {
		if !isSpace(c) {
			dst = append(dst, c)
		}
	}
	return dst
}

func compressWhitespace(_ *Scratch, dst, src []byte) []byte {
	space := false
	for _, c := range src {
		if !isSpace(c) || !space {
			dst = append(dst, c)
		}
		space = isSpace(c)
	}
	return dst
}

// urlDecode decodes %xx and +; what is no hex after a % stays, and so does the
// character after it.
func urlDecode(_ *Scratch, dst, src []byte) []byte {
	for i := 0; i < len(src); i++ {
		switch c := src[i]; {
		case c == '+':
			dst = append(dst, ' ')
		case c != '%':
			dst = append(dst, c)
		case i+2 < len(src) && hexValue(src[i+1]) >= 0 && hexValue(src[i+2]) >= 0:
			dst = append(dst, byte(hexValue(src[i+1])<<4|hexValue(src[i+2])))
			i += 2
		default:
			n := 1 // The % and what was read of the digits.
			if i+1 < len(src) {
				n++
				if hexValue(src[i+1]) >= 0 && i+2 < len(src) {
					n++
				}
			}
			dst = append(dst, src[i:i+n]...)
			i += n - 1
		}
	}
	return dst
}

func hexValue(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c|0x20 && c|0x20 <= 'f':
		return int(c|0x20-'a') + 10
	}
	return -1
}

// headerLowercase changes what is before the colon of each line.
func headerLowercase(_ *Scratch, dst, src []byte) []byte {
	value := false
	for _, c := range src {
		switch {
		case value:
			value = c != '\n'
		case c == ':':
			value = true
		default:
			c = fold(c, 'A', 'Z', 'a'-'A')
		}
		dst = append(dst, c)
	}
	return dst
}

// stripPseudoHeaders leaves out the lines that begin with a colon.
func stripPseudoHeaders(_ *Scratch, dst, src []byte) []byte {
	for line := range bytes.Lines(src) {
		if line[0] != ':' {
			dst = append(dst, line...)
		}
	}
	return dst
}

// domain is the part of a name that was registered: a public suffix with one
// label before it. It is empty if there is none.
func domain(name []byte) []byte {
	name = bytes.TrimSuffix(name, []byte("."))
	s := suffix(name)
	rest := len(name) - len(s) - 1
	if len(s) == 0 || rest <= 0 {
		return nil
	}
	return name[bytes.LastIndexByte(name[:rest], '.')+1:]
}

// suffix is the public suffix of a name.
func suffix(name []byte) []byte {
	s, _ := publicsuffix.PublicSuffix(strings.ToLower(string(name)))
	return name[len(name)-min(len(s), len(name)):]
}

func xor(key []byte) step {
	return func(_ *Scratch, dst, src []byte) []byte {
		for i, c := range src {
			dst = append(dst, c^key[i%len(key)])
		}
		return dst
	}
}

// group is what the first group of an expression matched; without a match the
// buffer stays.
func group(re *pcre.Regexp) step {
	return func(s *Scratch, _, src []byte) []byte {
		if _, _, ok, err := re.Match(&s.pcre, src, 0); !ok || err != nil {
			return src
		}
		from, to, ok := s.pcre.Group(1)
		if !ok {
			return src
		}
		return src[from:to]
	}
}

// fromBase64 decodes; what cannot be decoded stays.
func fromBase64(v *suricata.Base64) step {
	return func(_ *Scratch, dst, src []byte) []byte {
		in := src
		if off := int(v.Offset.N); off > 0 {
			if off >= len(in) {
				return src
			}
			in = in[off:]
		}
		if n := int(v.Bytes.N); n > 0 {
			if n >= len(in) {
				return src
			}
			in = in[:n]
		}
		if v.Mode == "strict" {
			out, err := base64.StdEncoding.Strict().AppendDecode(dst, in)
			if err != nil {
				return src
			}
			return out
		}
		if out := appendBase64(dst, in, v.Mode == "rfc2045"); len(out) > 0 {
			return out
		}
		return src
	}
}

// appendBase64 decodes up to what is no base64, or (RFC 2045) leaves that out.
func appendBase64(dst, src []byte, lenient bool) []byte {
	var acc uint32
	bits := 0
	for _, c := range src {
		v := strings.IndexByte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", c)
		if v < 0 {
			if lenient && c != '=' {
				continue
			}
			break
		}
		if acc, bits = acc<<6|uint32(v), bits+6; bits >= 8 {
			bits -= 8
			dst = append(dst, byte(acc>>bits))
		}
	}
	return dst
}

// The bounds of what is decompressed, bytes.
const (
	defaultInflated = 1024
	maxInflated     = 16 << 20
)

// inflate decompresses up to a size; what cannot be becomes empty.
func inflate(o *suricata.Option, open func(io.Reader) (io.Reader, error)) (step, error) {
	limit := uint64(defaultInflated)
	if text, ok := o.Value.(suricata.Text); ok {
		n, err := strconv.ParseUint(strings.TrimSpace(strings.TrimPrefix(string(text), "max-size")), 10, 32)
		if err != nil || n == 0 || n > maxInflated {
			return nil, fmt.Errorf("%s: bad size %q", o.Name, text)
		}
		limit = n
	}
	return func(_ *Scratch, dst, src []byte) []byte {
		r, err := open(bytes.NewReader(src))
		if err != nil {
			return dst
		}
		b := bytes.NewBuffer(dst)
		if _, err := io.CopyN(b, r, int64(limit)); err != nil && b.Len() == 0 {
			return dst
		}
		return b.Bytes()
	}, nil
}
