package suricata

import (
	"errors"
	"fmt"
	"strings"

	"github.com/hauberk/hauberk/suricata/pcre"
)

// maxPattern is the longest pattern: depth and offset have 16 bits.
const maxPattern = 65535

// Pattern is the argument of content: bytes, hex between bars in the text.
type Pattern []byte

// String prints the pattern quoted, with everything that is not plain in hex.
func (p Pattern) String() string {
	var b strings.Builder
	b.Grow(len(p) + 2)
	b.WriteByte('"')
	hex := false
	for _, c := range p {
		if plain(c) {
			if hex {
				b.WriteByte('|')
			}
			b.WriteByte(c)
			hex = false
			continue
		}
		if hex {
			b.WriteByte(' ')
		} else {
			b.WriteByte('|')
		}
		const digits = "0123456789ABCDEF"
		b.WriteByte(digits[c>>4])
		b.WriteByte(digits[c&15])
		hex = true
	}
	if hex {
		b.WriteByte('|')
	}
	b.WriteByte('"')
	return b.String()
}

func plain(c byte) bool {
	return ' ' <= c && c < 0x7f && c != '"' && c != ';' && c != '|' && c != '\\' && c != ':'
}

// parsePattern reads the inside of the quotes: \" \; \: \\ \| and |hex|.
func parsePattern(a arg) (Value, error) {
	out := make(Pattern, 0, len(a.text))
	for i := 0; i < len(a.text); i++ {
		switch c := a.text[i]; c {
		case '|':
			n := strings.IndexByte(a.text[i+1:], '|')
			if n < 0 {
				return nil, errors.New("hex is not closed: | missing")
			}
			var err error
			if out, err = appendHex(out, a.text[i+1:i+1+n]); err != nil {
				return nil, err
			}
			i += n + 1
		case '\\':
			if i++; i == len(a.text) || strings.IndexByte(`"\;:|`, a.text[i]) < 0 {
				return nil, errors.New(`\ must be followed by one of " \ ; : |`)
			}
			out = append(out, a.text[i])
		case '"':
			return nil, errors.New(`" inside the pattern must be written \"`)
		default:
			out = append(out, c)
		}
	}
	if len(out) == 0 || len(out) > maxPattern {
		return nil, fmt.Errorf("pattern has %d bytes, not 1 to %d", len(out), maxPattern)
	}
	return out, nil
}

// appendHex decodes pairs of digits; blanks separate pairs.
func appendHex(out []byte, s string) ([]byte, error) {
	high, half := byte(0), false
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == ' ' && !half {
			continue
		}
		d, ok := hexDigit(c)
		switch {
		case c == ' ':
			return nil, fmt.Errorf("incomplete hex code in |%s|", s)
		case !ok:
			return nil, fmt.Errorf("invalid hex code in |%s|: %q", s, c)
		case half:
			out = append(out, high<<4|d)
		default:
			high = d
		}
		half = !half
	}
	if half {
		return nil, fmt.Errorf("incomplete hex code in |%s|", s)
	}
	return out, nil
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c|0x20 && c|0x20 <= 'f':
		return c | 0x20 - 'a' + 10, true
	}
	return 0, false
}

// FastPattern is the argument of fast_pattern.
type FastPattern struct {
	Only           bool
	Offset, Length int // of the part to scan for; Length 0: all
}

// String is "only" or "offset,length".
func (f *FastPattern) String() string {
	if f.Only {
		return "only"
	}
	return fmt.Sprintf("%d,%d", f.Offset, f.Length)
}

func parseFastPattern(a arg) (Value, error) {
	if a.text == "only" {
		return &FastPattern{Only: true}, nil
	}
	part := splitList(a.text)
	if len(part) != 2 {
		return nil, fmt.Errorf("%q is neither only nor offset,length", a.text)
	}
	offset, err1 := parseInt(part[0])
	length, err2 := parseInt(part[1])
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	if offset < 0 || length < 1 || offset+length > maxPattern {
		return nil, fmt.Errorf("part %d,%d is outside of a pattern", offset, length)
	}
	return &FastPattern{Offset: int(offset), Length: int(length)}, nil
}

// PCRE is the argument of pcre. Pattern and Flags are as written; the rest is
// what the flags of Suricata's own mean.
type PCRE struct {
	Pattern  string
	Flags    string   // in the order written
	Captures []string // flow:name, pkt:name or alert:name, one per group
	Relative bool     // R: starts where the match before ended
	Raw      bool     // B: raw bytes
	Buffer   Buffer   // of U, H, P, ...; NoBuffer: the selected one
	Caseless bool
	Regexp   *pcre.Regexp
}

// String is "/pattern/flags", quoted, with the captures.
func (p *PCRE) String() string {
	s := `"/` + p.Pattern + `/` + p.Flags
	for _, c := range p.Captures {
		s += ", " + c
	}
	return s + `"`
}

// pcreBuffers are the flags that select a buffer.
var pcreBuffers = map[byte]Buffer{
	'U': BufHTTPURI, 'I': BufHTTPURIRaw, 'P': BufHTTPRequestBody, 'Q': BufFileData, 'H': BufHTTPHeader, 'D': BufHTTPHeaderRaw,
	'M': BufHTTPMethod, 'C': BufHTTPCookie, 'S': BufHTTPStatCode, 'Y': BufHTTPStatMsg, 'V': BufHTTPUserAgent,
	'W': BufHTTPHost, 'Z': BufHTTPHostRaw,
}

func parsePCRE(a arg) (Value, error) {
	text := strings.TrimSuffix(strings.TrimPrefix(a.text, `"`), `"`)
	p := &PCRE{}
	if i := captureStart(text); i >= 0 {
		p.Captures = splitList(text[i:])
		text = strings.TrimRight(text[:i], ", ")
	}
	end := strings.LastIndexByte(text, '/')
	if end <= 0 || text[0] != '/' {
		return nil, errors.New("must be written /pattern/flags")
	}
	p.Pattern, p.Flags = text[1:end], text[end+1:]
	if p.Pattern == "" {
		return nil, errors.New("pattern is empty")
	}
	var flags pcre.Flags
	for i := range len(p.Flags) {
		if err := p.flag(p.Flags[i]); err != nil {
			return nil, err
		}
		if f, ok := pcre.Letter(p.Flags[i]); ok {
			flags |= f
		}
	}
	var err error
	p.Regexp, err = pcre.Compile(p.Pattern, flags)
	return p, err
}

func (p *PCRE) flag(f byte) error {
	switch f {
	case 'i':
		p.Caseless = true
	case 'm', 's', 'x', 'A', 'E', 'G', 'O':
	case 'R':
		p.Relative = true
	case 'B':
		p.Raw = true
	default:
		b, ok := pcreBuffers[f]
		if !ok {
			return fmt.Errorf("unknown flag %q", f)
		}
		if p.Buffer != NoBuffer && p.Buffer != b {
			return fmt.Errorf("flag %q selects a second buffer", f)
		}
		p.Buffer = b
	}
	if p.Raw && p.Buffer != NoBuffer {
		return fmt.Errorf("flag B contradicts the buffer %s", p.Buffer)
	}
	return nil
}

// captureStart finds ", flow:a, pkt:b" behind the flags, -1 if there is none.
func captureStart(s string) int {
	best := -1
	for _, kind := range [...]string{"flow:", "pkt:", "alert:"} {
		i := strings.Index(s, kind)
		if i > 0 && (s[i-1] == ',' || s[i-1] == ' ') && (best < 0 || i < best) {
			best = i
		}
	}
	return best
}
