package match_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/hauberk/hauberk/suricata"
	"github.com/hauberk/hauberk/suricata/match"
	"github.com/hauberk/hauberk/suricata/netset"
)

// program compiles the options of a rule that uses only the payload.
func program(t testing.TB, options string) (*match.Program, *suricata.Compiled) {
	t.Helper()
	r, err := suricata.Parse("alert tcp any any -> any any (" + options + " sid:1;)")
	if err != nil {
		t.Fatalf("%s: %v", options, err)
	}
	c, err := suricata.NewCompiler(netset.Vars{}).Compile(r)
	if err != nil {
		t.Fatal(err)
	}
	programs, err := match.CompileRule(c)
	if err != nil {
		t.Fatal(err)
	}
	return programs[0], c
}

func TestMatch(t *testing.T) {
	for _, c := range []struct{ options, yes, no string }{
		{`content:"abc";`, "xabc", "xab"},
		{`content:"aBc"; nocase;`, "xAbC", "xab"},
		{`content:"abc"; offset:1;`, "xabc", "abcx"},
		{`content:"abc"; depth:4;`, "xabc", "xxabc"},
		{`content:"abc"; offset:1; depth:4;`, "xxabc", "xxxabc"},
		{`content:"abc"; depth:4; offset:1;`, "xxabc", "xxxabc"},
		{`content:"abc"; startswith;`, "abcx", "xabc"},
		{`content:"abc"; endswith;`, "abcxabc", "abcx"},
		{`content:"abc"; isdataat:!1,relative;`, "abcxabc", "abcx"},
		{`content:!"abc";`, "ab", "abc"},
		{`content:!"abc"; endswith;`, "abcx", ""},
		{`content:"a"; content:"b"; distance:1;`, "axb", "ab"},
		{`content:"a"; content:"b"; within:2;`, "axb", "axxb"},
		{`content:"a"; content:"b"; within:1;`, "axab", "axaxb"},
		{`content:"a"; content:"b"; distance:1; within:1;`, "axb", "axxb"},
		{`content:"b"; content:"a"; distance:-2;`, "ab", "xb"},
		{`content:"a"; content:!"b"; distance:0;`, "ba", ""},
		{`content:"a"; content:!"b"; within:1;`, "axb", "ab"},
		{`content:"a"; isdataat:2,relative;`, "axx", "ax"},
		{`isdataat:2;`, "abc", "ab"},
		{`isdataat:!2;`, "ab", "abc"},
		{`content:"|00|"; byte_test:1,>,64,0,relative;`, "\x00A", "\x00@"},
		{`byte_test:2,=,0x0102,0;`, "\x01\x02", "\x02\x01"},
		{`byte_test:2,=,0x0102,0,little;`, "\x02\x01", "\x01\x02"},
		{`byte_test:4,!&,1,0;`, "\x00\x00\x00\x02", "\x00\x00\x00\x03"},
		{`byte_test:1,=,5,0,bitmask 0xf0;`, "\x5f", "\x45"},
		{`byte_test:0,<=,250,0,string,dec;`, "250", "251"},
		{`byte_test:3,=,255,0,string,hex;`, "0ff", "fff"},
		{`byte_jump:1,0; content:"x"; within:1;`, "\x02..x", "\x02.x."},
		{`byte_jump:1,0,align; content:"x"; within:1;`, "\x01....x", "\x01.x..."},
		{`byte_jump:1,0,from_beginning; content:"x"; within:1;`, "\x02.x", "\x02..x"},
		{`byte_jump:1,0,multiplier 2; content:"x"; within:1;`, "\x01..x", "\x01.x."},
		{`byte_jump:0,0,from_end,post_offset -2; content:"x"; within:1;`, "..x.", ".x.."},
		{`byte_extract:1,0,n; content:"x"; offset:n;`, "\x02.x", "\x03x."},
		{`byte_extract:1,0,n; isdataat:n;`, "\x02..", "\x03.."},
		{`byte_extract:1,0,n; byte_test:1,=,n,1;`, "\x02\x02", "\x02\x03"},
		{`byte_math:bytes 1, offset 0, oper +, rvalue 1, result n; byte_test:1,=,n,1;`, "\x02\x03", "\x02\x02"},
		{`byte_math:bytes 1, offset 0, oper <<, rvalue 2, result n; content:"x"; within:n;`, "\x01...x", "\x01....x"},
		{`pcre:"/a+b/";`, "xaab", "xaa"},
		{`pcre:!"/a+b/";`, "xaa", "xaab"},
		{`content:"x"; pcre:"/^ab/R";`, "xab", "xcab"},
		{`content:"x"; pcre:"/^ab/R";`, "xcxab", "xc"},
		{`pcre:"/a./"; content:"c"; within:1;`, "abxaac", "abxc"},
		{`base64_decode:bytes 8, offset 1; base64_data; content:"test";`, ".dGVzdA==", ".dGVzdX=="},
		{`content:"="; base64_decode:relative; base64_data; content:"test"; startswith;`, "a=dGVzdA==", "a=A"},
	} {
		p, _ := program(t, c.options)
		if !p.Match(match.Buffer{Data: []byte(c.yes)}, &match.State{}) {
			t.Errorf("%s does not match %q", c.options, c.yes)
		}
		if c.no != "" && p.Match(match.Buffer{Data: []byte(c.no)}, &match.State{}) {
			t.Errorf("%s matches %q", c.options, c.no)
		}
	}
}

// TestStreamOffset: depth counts from the start of the stream.
func TestStreamOffset(t *testing.T) {
	p, _ := program(t, `content:"abc"; depth:10;`)
	for off, want := range map[uint64]bool{0: true, 7: true, 8: false, 10: false, 99: false} {
		if got := p.Match(match.Buffer{Data: []byte("abcxxx"), Offset: off}, &match.State{}); got != want {
			t.Errorf("at stream offset %d: %v, want %v", off, got, want)
		}
	}
}

// TestLimit: a chain made to backtrack ends, and says that it reached its limit.
func TestLimit(t *testing.T) {
	p, _ := program(t, `content:"a"; content:"a"; within:500; content:"a"; within:500; content:"b"; within:1;`)
	st := &match.State{}
	if p.Match(match.Buffer{Data: bytes.Repeat([]byte("a"), 500)}, st) {
		t.Error("matches")
	}
	if st.Exceed != 1 || st.Steps < match.DefaultLimit || st.Steps > 2*match.DefaultLimit {
		t.Errorf("%d steps, limit reached %d times", st.Steps, st.Exceed)
	}
}

// TestMatchDoesNotAllocate holds the allocation budget: none.
func TestMatchDoesNotAllocate(t *testing.T) {
	p, _ := program(t, `content:"GET"; depth:3; content:"/x"; distance:1; within:20; nocase; byte_test:1,>,64,0,relative;`)
	st := &match.State{}
	data := []byte("GET /index/Xyz")
	if n := testing.AllocsPerRun(100, func() { p.Match(match.Buffer{Data: data}, st) }); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

// TestTwin compares random chains on random bytes with a search of all
// combinations of occurrences.
func TestTwin(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	hits := 0
	for range 20000 {
		options := randomChain(rng)
		p, c := program(t, options)
		data := randomBytes(rng, rng.IntN(14))
		want := naive(c.Chains()[0].Steps, data, 0)
		got := p.Match(match.Buffer{Data: data}, &match.State{})
		if got != want {
			t.Fatalf("%s on %q: %v, the twin says %v", options, data, got, want)
		}
		if got {
			hits++
		}
	}
	if hits < 2000 {
		t.Errorf("only %d of 20000 match: the test says little", hits)
	}
}

func randomBytes(rng *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = "abAB"[rng.IntN(4)]
	}
	return b
}

func randomChain(rng *rand.Rand) string {
	var b strings.Builder
	negated := false
	for i := range 1 + rng.IntN(4) {
		pattern := randomBytes(rng, 1+rng.IntN(2))
		n := len(pattern)
		switch kind := rng.IntN(8); {
		case i > 0 && kind == 0: // negated ones are relative: others do not make the one before try again
			fmt.Fprintf(&b, `content:!"%s"; distance:%d; `, pattern, rng.IntN(3))
			negated = true
			continue
		case i > 0 && kind == 1 && !negated: // behind a negated one !1 has Suricata's own meaning
			fmt.Fprintf(&b, "isdataat:%s%d,relative; ", []string{"", "!"}[rng.IntN(2)], 1+rng.IntN(4))
			return b.String() // what follows would not make the content before try again
		}
		negated = false
		fmt.Fprintf(&b, `content:"%s"; `, pattern)
		if rng.IntN(3) == 0 {
			b.WriteString("nocase; ")
		}
		if rng.IntN(8) == 0 {
			b.WriteString("endswith; ")
		}
		switch kind := rng.IntN(6); {
		case kind == 0:
			fmt.Fprintf(&b, "offset:%d; ", rng.IntN(5))
		case kind == 1:
			fmt.Fprintf(&b, "depth:%d; ", n+rng.IntN(5))
		case kind == 2:
			fmt.Fprintf(&b, "offset:%d; depth:%d; ", rng.IntN(4), n+rng.IntN(4))
		case i > 0 && kind == 3:
			fmt.Fprintf(&b, "distance:%d; ", rng.IntN(5)-1)
		case i > 0 && kind == 4:
			fmt.Fprintf(&b, "within:%d; ", n+rng.IntN(4))
		case i > 0:
			fmt.Fprintf(&b, "distance:%d; within:%d; ", rng.IntN(4), n+rng.IntN(4))
		}
	}
	return b.String()
}

// naive tries every occurrence of every content.
func naive(steps []suricata.Step, data []byte, at int) bool {
	if len(steps) == 0 {
		return true
	}
	switch s := steps[0].(type) {
	case *suricata.IsDataAt:
		return (at+int(s.At.N) <= len(data)) != s.Not && naive(steps[1:], data, at)
	case *suricata.Content:
		lo, hi := int(s.Offset.N), len(data)
		if s.HasDepth {
			hi = min(hi, lo+int(s.Depth.N))
		}
		if s.Relative {
			lo = max(at+int(s.Distance.N), 0)
			if s.HasWithin {
				hi = min(len(data), at+int(s.Distance.N)+int(s.Within.N))
			}
		}
		for i := lo; i+len(s.Pattern) <= hi; i++ {
			end := i + len(s.Pattern)
			same := bytes.Equal(data[i:end], s.Pattern) || s.NoCase && strings.EqualFold(string(data[i:end]), string(s.Pattern))
			if !same || s.EndsWith && end != len(data) {
				continue
			}
			if s.Negated {
				return false
			}
			if naive(steps[1:], data, end) {
				return true
			}
		}
		return s.Negated && naive(steps[1:], data, at)
	}
	panic("a step the twin does not know")
}

// FuzzMatch: no rule and no bytes panic or run on.
func FuzzMatch(f *testing.F) {
	f.Add(`content:"a"; distance:1; byte_jump:2,0,relative,little; isdataat:!3,relative;`, []byte("xaxx\x00\x01yy"))
	f.Add(`byte_extract:2,-1,n,relative; content:"b"; within:n; byte_test:n,>,n,n,string,hex;`, []byte("b0f"))
	f.Fuzz(func(t *testing.T, options string, data []byte) {
		r, err := suricata.Parse("alert tcp any any -> any any (" + options + " sid:1;)")
		if err != nil {
			return
		}
		c, err := suricata.NewCompiler(netset.Vars{}).Compile(r)
		if err != nil {
			return
		}
		programs, err := match.CompileRule(c)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range programs {
			if p == nil {
				continue
			}
			st := &match.State{}
			p.Match(match.Buffer{Data: data}, st)
			if st.Steps > 2*match.DefaultLimit {
				t.Errorf("%d steps", st.Steps)
			}
		}
	})
}
