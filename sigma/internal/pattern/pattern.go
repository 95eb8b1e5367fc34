// Package pattern holds Sigma's strings with wildcards: parsing with escapes,
// the transforming modifiers, and matching.
package pattern

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Kind is what a Part stands for.
type Kind uint8

// The kinds of parts.
const (
	Literal Kind = iota // Bytes
	Any                 // *: any number of bytes
	One                 // ?: one character
)

// Part is a piece of a Pattern.
type Part struct {
	Kind  Kind
	Bytes string // of a Literal
}

// Pattern is a sequence of parts without two literals, or two Any, in a row.
type Pattern []Part

// MaxExpansion bounds how many patterns one value may become.
const MaxExpansion = 4096

// Parse reads a string with wildcards. A backslash before * ? or another
// backslash makes that plain; elsewhere it is plain itself.
func Parse(s string) Pattern {
	var p Pattern
	var lit []byte
	flush := func() {
		if len(lit) > 0 {
			p = append(p, Part{Literal, string(lit)})
			lit = nil
		}
	}
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && i+1 < len(s) && strings.IndexByte(`\*?`, s[i+1]) >= 0:
			i++
			lit = append(lit, s[i])
		case c == '*':
			flush()
			if len(p) == 0 || p[len(p)-1].Kind != Any {
				p = append(p, Part{Kind: Any})
			}
		case c == '?':
			flush()
			p = append(p, Part{Kind: One})
		default:
			lit = append(lit, c)
		}
	}
	flush()
	return p
}

// Plain gives the text of a pattern without wildcards.
func (p Pattern) Plain() (string, bool) {
	switch {
	case len(p) == 0:
		return "", true
	case len(p) == 1 && p[0].Kind == Literal:
		return p[0].Bytes, true
	}
	return "", false
}

// Starts gives p with * behind it.
func (p Pattern) Starts() Pattern {
	if len(p) > 0 && p[len(p)-1].Kind == Any {
		return p
	}
	return append(append(Pattern{}, p...), Part{Kind: Any})
}

// Ends gives p with * before it.
func (p Pattern) Ends() Pattern {
	if len(p) > 0 && p[0].Kind == Any {
		return p
	}
	return append(Pattern{{Kind: Any}}, p...)
}

var errWildcard = errors.New("cannot encode a value with wildcards")

// Base64 encodes a plain pattern.
func (p Pattern) Base64() (Pattern, error) {
	s, ok := p.Plain()
	if !ok {
		return nil, errWildcard
	}
	return literal(base64.StdEncoding.EncodeToString([]byte(s))), nil
}

// Base64Offset gives what stays the same of a plain pattern's encoding at each
// of the three positions it can have within an encoded text.
func (p Pattern) Base64Offset() ([]Pattern, error) {
	s, ok := p.Plain()
	if !ok {
		return nil, errWildcard
	}
	if len(s) < 3 {
		return nil, fmt.Errorf("base64offset of fewer than 3 bytes (%q) has no fixed part", s)
	}
	head := [3]int{0, 2, 3}
	tail := [3]int{0, 3, 2}
	var out []Pattern
	for i := range 3 {
		enc := base64.StdEncoding.EncodeToString([]byte("  "[:i] + s))
		out = append(out, literal(enc[head[i]:len(enc)-tail[(len(s)+i)%3]]))
	}
	return out, nil
}

func literal(s string) Pattern {
	if s == "" {
		return nil
	}
	return Pattern{{Literal, s}}
}

// UTF16 encodes the literals of p; mark puts a byte order mark before all.
func (p Pattern) UTF16(bigEndian, mark bool) Pattern {
	out := make(Pattern, 0, len(p)+1)
	for _, part := range p {
		if part.Kind == Literal {
			var b []byte
			for _, u := range utf16.Encode([]rune(part.Bytes)) {
				if bigEndian {
					b = append(b, byte(u>>8), byte(u))
				} else {
					b = append(b, byte(u), byte(u>>8))
				}
			}
			part.Bytes = string(b)
		}
		out = append(out, part)
	}
	if !mark {
		return out
	}
	bom := "\xff\xfe"
	if bigEndian {
		bom = "\xfe\xff"
	}
	if len(out) > 0 && out[0].Kind == Literal {
		out[0].Bytes = bom + out[0].Bytes
		return out
	}
	return append(literal(bom), out...)
}

// dashes are the characters that a command line flag may begin with.
var dashes = []rune{'-', '/', '–', '—', '―'}

func isDash(r rune) bool { return strings.ContainsRune(string(dashes), r) }

func isWord(r rune) bool { return r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r) }

// Windash gives all permutations of the dashes that begin a flag: those with a
// word behind them and none before them.
func Windash(p Pattern) ([]Pattern, error) {
	out := []Pattern{nil}
	before := rune(' ')
	for _, part := range p {
		if part.Kind != Literal {
			for j := range out {
				out[j] = append(out[j], part)
			}
			before = ' '
			continue
		}
		runes := []rune(part.Bytes)
		variants := []string{""}
		for k, r := range runes {
			after := ' '
			if k+1 < len(runes) {
				after = runes[k+1]
			}
			choice := []rune{r}
			if isDash(r) && !isWord(before) && isWord(after) {
				choice = dashes
			}
			if len(variants)*len(choice)*len(out) > MaxExpansion {
				return nil, fmt.Errorf("windash makes more than %d values", MaxExpansion)
			}
			next := make([]string, 0, len(variants)*len(choice))
			for _, v := range variants {
				for _, c := range choice {
					next = append(next, v+string(c))
				}
			}
			variants = next
			before = r
		}
		next := make([]Pattern, 0, len(out)*len(variants))
		for _, o := range out {
			for _, v := range variants {
				next = append(next, append(append(Pattern{}, o...), Part{Literal, v}))
			}
		}
		out = next
	}
	return out, nil
}

// Expand replaces %name% by each of its values and gives every combination;
// \% is a plain percent sign. It fails for a name that lookup does not know.
func Expand(s string, lookup func(name string) ([]string, bool)) ([]string, error) {
	out := []string{""}
	add := func(choice []string) error {
		if len(out)*len(choice) > MaxExpansion {
			return fmt.Errorf("placeholders make more than %d values", MaxExpansion)
		}
		next := make([]string, 0, len(out)*len(choice))
		for _, o := range out {
			for _, c := range choice {
				next = append(next, o+c)
			}
		}
		out = next
		return nil
	}
	found := false
	for s != "" {
		i := strings.IndexAny(s, `\%`)
		if i < 0 {
			i = len(s)
		}
		if i > 0 {
			if err := add([]string{s[:i]}); err != nil {
				return nil, err
			}
			s = s[i:]
			continue
		}
		if s[0] == '\\' {
			n, lit := min(2, len(s)), s[:min(2, len(s))]
			if lit == `\%` {
				lit = "%"
			}
			if err := add([]string{lit}); err != nil {
				return nil, err
			}
			s = s[n:]
			continue
		}
		end := strings.IndexByte(s[1:], '%')
		if end <= 0 {
			return nil, fmt.Errorf("unpaired %% in a value with expand: write \\%% for a plain percent sign")
		}
		name := s[1 : 1+end]
		values, ok := lookup(name)
		if !ok || len(values) == 0 {
			return nil, fmt.Errorf("placeholder %%%s%% has no values", name)
		}
		if err := add(values); err != nil {
			return nil, err
		}
		found = true
		s = s[end+2:]
	}
	if !found {
		return nil, errors.New("expand without a placeholder")
	}
	return out, nil
}

// NeedsUnicode reports whether p holds letters that ASCII folding misses.
func (p Pattern) NeedsUnicode() bool {
	for _, part := range p {
		if !utf8.ValidString(part.Bytes) {
			return false // an encoding, not letters
		}
		for i := 0; i < len(part.Bytes); {
			r, n := utf8.DecodeRuneInString(part.Bytes[i:])
			if r >= utf8.RuneSelf && r != utf8.RuneError && unicode.SimpleFold(r) != r {
				return true
			}
			i += n
		}
	}
	return false
}

// String gives p in the form that Parse reads.
func (p Pattern) String() string {
	var b strings.Builder
	for _, part := range p {
		switch part.Kind {
		case Any:
			b.WriteByte('*')
		case One:
			b.WriteByte('?')
		default:
			for i := 0; i < len(part.Bytes); i++ {
				if strings.IndexByte(`\*?`, part.Bytes[i]) >= 0 {
					b.WriteByte('\\')
				}
				b.WriteByte(part.Bytes[i])
			}
		}
	}
	return b.String()
}
