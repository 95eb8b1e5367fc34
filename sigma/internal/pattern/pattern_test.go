package pattern

import (
	"slices"
	"strings"
	"testing"
)

// shape writes a pattern with <> around literals.
func shape(p Pattern) string {
	var b strings.Builder
	for _, part := range p {
		switch part.Kind {
		case Any:
			b.WriteByte('*')
		case One:
			b.WriteByte('?')
		default:
			b.WriteString("<" + part.Bytes + ">")
		}
	}
	return b.String()
}

func TestParse(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"", ""}, {"a*b?c", "<a>*<b>?<c>"}, {"**", "*"}, {`\*`, "<*>"}, {`\\*`, `<\>*`}, {`\\\*`, `<\*>`}, {`a\b`, `<a\b>`}, {`a\\b`, `<a\b>`},
		{`\\\\x`, `<\\x>`}, {`\\\x`, `<\\x>`}, {`x\`, `<x\>`}, {`\?`, "<?>"},
	} {
		p := Parse(c.in)
		if got := shape(p); got != c.want {
			t.Errorf("%q: %s, want %s", c.in, got, c.want)
		}
		if got := shape(Parse(p.String())); got != c.want {
			t.Errorf("%q is written as %q, which is %s", c.in, p.String(), got)
		}
	}
}

func TestGlob(t *testing.T) {
	for _, c := range []struct {
		pattern, text string
		want          bool
	}{
		{"", "", true}, {"", "x", false}, {"*", "", true}, {"?", "", false}, {"?", "\u20ac", true}, {"?", "\xff", true}, {"??", "\u20ac", false},
		{"a*b*c", "a-b-c", true}, {"a*b*c", "a-c-b", false}, {"*a", "aXa", true}, {"a*a", "a", false}, {"*ab", "aab", true},
		{"*a?c*", "xxabcyy", true}, {"*a?c", "abcabc", true}, {"a?*", "a", false}, {"*?*", "", false}, {"*?b", "\u20acb", true}, {"x*??", "x\u20ac", false}, {"x*??*", "x\u20ac", false},
		{"*aa*aa*", "aaa", false}, {"*aa*aa*", "aaaa", true}, {"ab*bc", "abc", false},
	} {
		if got := NewGlob(Parse(c.pattern), true).Match(FoldASCII(nil, []byte(c.text))); got != c.want {
			t.Errorf("%q on %q: %v, want %v", c.pattern, c.text, got, c.want)
		}
	}
}

func TestShape(t *testing.T) {
	for in, want := range map[string]Shape{"": Equals, "a": Equals, "a*": Prefix, "*a": Suffix, "*a*": Contains, "*": Anything, "a*b": General, "a?": General, "*?*": General} {
		if got, _ := NewGlob(Parse(in), true).Shape(); got != want {
			t.Errorf("%q: shape %d, want %d", in, got, want)
		}
	}
}

func TestWindash(t *testing.T) {
	out, err := Windash(Parse("x -a*/b -1 a-b -- é-é"))
	if err != nil || len(out) != 125 {
		t.Fatalf("%d patterns, %v", len(out), err)
	}
	seen := map[string]bool{}
	for _, p := range out {
		seen[shape(p)] = true
	}
	for _, want := range []string{"<x -a>*</b -1 a-b -- é-é>", "<x ―a>*<–b /1 a-b -- é-é>"} {
		if !seen[want] {
			t.Errorf("%s is missing", want)
		}
	}
}

func TestExpand(t *testing.T) {
	lookup := func(name string) ([]string, bool) {
		v, ok := map[string][]string{"x": {"1", "2*"}, "y": {"a"}}[name]
		return v, ok
	}
	for _, c := range []struct {
		in   string
		want []string
	}{
		{"%x%", []string{"1", "2*"}}, {"<%x%%y%>", []string{"<1a>", "<2*a>"}}, {`\%x\%%y%`, []string{"%x%a"}}, {`\\*%y%`, []string{`\\*a`}},
		{"%z%", nil}, {"%x", nil}, {"x", nil}, {"%%", nil},
	} {
		got, err := Expand(c.in, lookup)
		if !slices.Equal(got, c.want) || (err == nil) != (c.want != nil) {
			t.Errorf("%q: %q %v, want %q", c.in, got, err, c.want)
		}
	}
}

func TestUTF16(t *testing.T) {
	p := Parse("a*\U0001f600")
	for _, c := range []struct {
		got  Pattern
		want string
	}{
		{p.UTF16(false, false), "<a\x00>*<\x3d\xd8\x00\xde>"},
		{p.UTF16(true, false), "<\x00a>*<\xd8\x3d\xde\x00>"},
		{p.UTF16(false, true), "<\xff\xfea\x00>*<\x3d\xd8\x00\xde>"},
		{Parse("*a").UTF16(false, true), "<\xff\xfe>*<a\x00>"},
	} {
		if got := shape(c.got); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

// FuzzGlob: every literal that a pattern needs is in the texts it matches, and
// a pattern matches itself written without wildcards.
func FuzzGlob(f *testing.F) {
	f.Add("a*b?c", "aXbYc")
	f.Add("*\\*?", "x*y")
	f.Fuzz(func(t *testing.T, pattern, text string) {
		p := Parse(pattern)
		g := NewGlob(p, true)
		folded := FoldASCII(nil, []byte(text))
		if g.Match(folded) {
			for _, n := range g.Literals() {
				s, lit := string(folded), string(n.Text)
				if !strings.Contains(s, lit) || n.Start && !strings.HasPrefix(s, lit) || n.End && !strings.HasSuffix(s, lit) {
					t.Errorf("%q matches %q without %q", pattern, text, n.Text)
				}
			}
		}
		if plain, ok := p.Plain(); ok && !g.Match(FoldASCII(nil, []byte(plain))) {
			t.Errorf("%q does not match itself", pattern)
		}
	})
}
