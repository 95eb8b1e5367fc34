package automaton

import (
	"bytes"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// found is what Scan must at least report.
func found(literals []Literal, text []byte) (out []int32) {
	low := bytes.ToLower(text)
	for i, l := range literals {
		lit := bytes.ToLower(l.Text)
		switch {
		case l.Start && l.End && bytes.Equal(low, lit),
			l.Start && !l.End && bytes.HasPrefix(low, lit),
			l.End && !l.Start && bytes.HasSuffix(low, lit),
			!l.Start && !l.End && bytes.Contains(low, lit):
			out = append(out, int32(i))
		}
	}
	return out
}

func unique(hits []int32) []int32 {
	slices.Sort(hits)
	return slices.Compact(hits)
}

// TestScan compares with bytes.Contains and its kin over random literals of
// few letters, so that they overlap; without shared classes hits are exact.
func TestScan(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	word := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = "abAB/"[rng.IntN(5)]
		}
		return b
	}
	for range 300 {
		var literals []Literal
		for range 1 + rng.IntN(20) {
			literals = append(literals, Literal{Text: word(1 + rng.IntN(4)), Start: rng.IntN(4) == 0, End: rng.IntN(4) == 0})
		}
		d := New(literals)
		for range 50 {
			text := word(rng.IntN(12))
			if got, want := unique(d.Scan(text, nil)), found(literals, text); !slices.Equal(got, want) {
				t.Fatalf("%v in %q: %v, want %v", literals, text, got, want)
			}
		}
	}
}

// TestSharedClasses: with more kinds of bytes than classes nothing is missed.
func TestSharedClasses(t *testing.T) {
	var literals []Literal
	for i := range 256 {
		literals = append(literals, Literal{Text: []byte{byte(i), byte(255 - i)}})
	}
	d := New(literals)
	for i := range 256 {
		text := []byte{'x', byte(i), byte(255 - i), 'y'}
		if !slices.Contains(d.Scan(text, nil), int32(i)) {
			t.Errorf("literal %d is missed", i)
		}
	}
}

// TestLarge: more states than 16 bits can number.
func TestLarge(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 2))
	var literals []Literal
	for range 20_000 {
		b := make([]byte, 8)
		for i := range b {
			b[i] = byte('a' + rng.IntN(26))
		}
		literals = append(literals, Literal{Text: b})
	}
	d := New(literals)
	if d.large == nil || d.States() <= 1<<16 {
		t.Fatalf("%d states in the small table", d.States())
	}
	for i := 0; i < len(literals); i += 997 {
		text := slices.Concat([]byte("xx"), bytes.ToUpper(literals[i].Text), []byte("yy"))
		if !slices.Contains(d.Scan(text, nil), int32(i)) {
			t.Errorf("literal %d is missed", i)
		}
	}
}

func TestShorten(t *testing.T) {
	rare := func(w []byte) float64 { return -float64(bytes.Count(w, []byte("z"))) }
	for _, c := range []struct {
		in   Literal
		want string
	}{
		{Literal{Text: []byte("short")}, "short"},
		{Literal{Text: []byte("aaazzzbbb")}, "aaazzz"},
		{Literal{Text: []byte("abcdefghz"), Start: true}, "abcdef"},
		{Literal{Text: []byte("zabcdefgh"), End: true}, "cdefgh"},
		{Literal{Text: []byte("zabcdefgh"), Start: true, End: true}, "cdefgh"},
		{Literal{Text: []byte("abc"), Start: true, End: true}, "abc"},
	} {
		if got := Shorten(c.in, 6, rare); string(got.Text) != c.want || got.End != c.in.End || got.Start != (c.in.Start && bytes.HasPrefix(c.in.Text, got.Text)) {
			t.Errorf("%q: %q, want %q", c.in.Text, got.Text, c.want)
		}
	}
}

func length(text []byte) float64 { return 1 / float64(1+len(text)*len(text)) }

func TestFromRegexp(t *testing.T) {
	for _, c := range []struct{ expr, want string }{
		{"foo", "foo"},
		{"foo.*barbar", "barbar"},
		{"(curl|wget) http", "curl http wget http"},
		{"-[RW]x", "-rx -wx"},
		{"a+b", "a"},
		{"x{3,}yyy", "yyy"},
		{"(abc)?de", "de"},
		{"(?i)task", "ta"},
		{"(?i)curl", "curl"},
		{".*", ""},
		{"[a-z]+", ""},
		{"foo|.*", ""},
		{`^\s*$`, ""},
		{"\ufffd\ufffd", ""},
		{"[", ""},
	} {
		var got []string
		for _, l := range FromRegexp(c.expr, length) {
			got = append(got, string(l))
		}
		slices.Sort(got)
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: %q, want %q", c.expr, got, c.want)
		}
	}
}

// FuzzFromRegexp: a text that an expression matches holds one of the literals.
func FuzzFromRegexp(f *testing.F) {
	f.Add(`(?i)(curl|wget)\s+-[oO]k?`, "x CURL -oK")
	f.Add(`-[RW]\s?x{2}`, "-Wxx")
	f.Add(`(?i)[k\x{17f}]s`, "\u212aS")
	f.Fuzz(func(t *testing.T, expr, text string) {
		re, err := regexp.Compile(expr)
		if err != nil || len(expr) > 200 || !re.MatchString(text) {
			return
		}
		literals := FromRegexp(expr, length)
		if literals == nil {
			return
		}
		low := strings.Map(func(r rune) rune {
			if r >= 'A' && r <= 'Z' {
				return r + 'a' - 'A'
			}
			return r
		}, text)
		for _, l := range literals {
			if bytes.Contains([]byte(low), bytes.Map(asciiLower, l)) || bytes.Contains([]byte(text), l) {
				return
			}
		}
		t.Errorf("%q matches %q without any of %q", expr, text, literals)
	})
}

func asciiLower(r rune) rune {
	if r >= 'A' && r <= 'Z' {
		return r + 'a' - 'A'
	}
	return r
}
