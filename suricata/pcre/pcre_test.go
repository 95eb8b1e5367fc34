package pcre

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
)

func ExampleRegexp_Match() {
	re, err := Compile(`^User-Agent\x3a\s*(?P<agent>[^\r\n]+)`, Multiline|Caseless)
	if err != nil {
		panic(err)
	}
	var s Scratch
	subject := []byte("GET / HTTP/1.1\r\nuser-agent: curl/8\r\n\r\n")
	from, to, ok, err := re.Match(&s, subject, 0)
	fmt.Println(from, to, ok, err)
	n, _ := re.GroupNumber("agent")
	from, to, _ = s.Group(n)
	fmt.Printf("%s\n", subject[from:to])
	// Output:
	// 16 34 true <nil>
	// curl/8
}

// TestBytes pins what RE2 does otherwise, and what PCRE2 10.42 gets wrong by
// its optimisations.
func TestBytes(t *testing.T) {
	for _, c := range []struct {
		expr    string
		flags   Flags
		subject string
		want    string // of slots
	}{
		{`a\sb`, 0, "a\x0bb", "0,3"},
		{`a$`, 0, "a\n", "0,1"},
		{`a$`, DollarEndOnly, "a\n", "none"},
		{`a$`, 0, "a\n\n", "none"},
		{`[^a]`, 0, "\xff", "0,1"},
		{`\xe9`, Caseless, "\xc9", "none"},
		{`k`, Caseless, "\xe2\x84\xaa", "none"}, // Kelvin sign
		{`\w`, 0, "\xe9", "none"},
		{`\h`, 0, "\xa0", "0,1"},
		{`\R*\N`, 0, "\x85", "0,1"},
		{`(?>a|ab)c`, 0, "abc", "none"},
		{`a++a`, 0, "aaa", "none"},
		{`(a)\1`, Caseless, "aA", "0,2,0,1"},
		{`(?<=ab|c)d`, 0, "cd", "1,2"},
		{`a\Kb`, 0, "ab", "1,2"},
		{`(?(1)b|a)`, 0, "a", "error"},
		{`(a)?(?(1)b|c)`, 0, "ab", "0,2,0,1"},
		{`(?|(a)|(b))\1`, 0, "bb", "0,2,0,1"},
		{`\Qa.b\E`, 0, "a.b", "0,3"},
		{"a b # c", Extended, "ab", "0,2"},
		{`a`, Anchored, "ba", "none"},
		{`a+`, Ungreedy, "aaa", "0,1"},
		{`^b`, Multiline, "a\nb", "2,3"},
		{`a$`, Multiline, "a\nb", "0,1"},
		{`^`, Multiline, "\n", "0,0"},
		{`(?:((?(1)a|_*)))+`, 0, "a", "0,0,0,0"}, // an empty first round is the last
	} {
		got := "error"
		if re, err := Compile(c.expr, c.flags); err == nil {
			got = answer(re, &Scratch{}, []byte(c.subject), 0)
		}
		if got != c.want {
			t.Errorf("%q flags %b on %q: %s, want %s", c.expr, c.flags, c.subject, got, c.want)
		}
	}
}

func TestErrors(t *testing.T) {
	for expr, offset := range map[string]int{
		"a(b": 3, "a)": 1, "a[b": 1, "ab**": 3, `a\`: 1, `(?<=a*)b`: 4, `\2(a)`: 0, "(?1)": 2, "(*UTF8)a": 1,
		"a{2,1}": 1, "[b-a]": 1, `(?P=x)`: 4, strings.Repeat("(", 300): 250, "(?i": 3, "(?P<a>b)(?P<a>c)": 14,
	} {
		_, err := Compile(expr, 0)
		var e *Error
		if !errors.As(err, &e) || e.Offset != offset {
			t.Errorf("%q: %v, want an error at offset %d", expr, err, offset)
		}
	}
	if _, err := Compile(`(?:(?:(?:ab){99}c){99}d){99}`, 0); err == nil {
		t.Error("nested counts compile to any size")
	}
}

func TestLimit(t *testing.T) {
	re, err := Compile(`(?=a)(a+)+(?!a)b`, 0)
	if err != nil {
		t.Fatal(err)
	}
	s := &Scratch{StepLimit: 10_000}
	subject := bytes.Repeat([]byte("a"), 100)
	if _, _, ok, err := re.Match(s, subject, 0); ok || !errors.Is(err, ErrLimit) {
		t.Errorf("got %v, %v, want ErrLimit", ok, err)
	}
	if s.Steps < 10_000 || s.Steps > 11_000 {
		t.Errorf("counted %d steps of 10,000", s.Steps)
	}
	// The same without look-around is answered.
	re, err = Compile(`(a+)+b`, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, ok, err := re.Match(s, subject, 0); ok || err != nil {
		t.Errorf("got %v, %v, want no match", ok, err)
	}
	if from, to, ok, err := re.Match(s, append(subject, "ab"...), 0); from != 0 || to != 102 || !ok || err != nil {
		t.Errorf("got %d, %d, %v, %v, want 0, 102", from, to, ok, err)
	}
	// Here the backtracker's budget is used up before the match is found.
	re, err = Compile(`(?:a+)+b|(a)(a)c`, 0)
	if err != nil {
		t.Fatal(err)
	}
	if from, to, ok, err := re.Match(s, append(bytes.Repeat([]byte("a"), 200), 'c'), 0); from != 198 || to != 201 || !ok || err != nil {
		t.Errorf("got %d, %d, %v, %v, want 198, 201", from, to, ok, err)
	}
}

func TestRequired(t *testing.T) {
	for expr, want := range map[string]string{
		`^GET \/(abc|d)index\.php`: "index.php", `a?bcd*`: "bc", `(?i)AbC1`: "abc1/i", `a|b`: "", `x(?:yz){2}\d`: "xyzyz",
	} {
		re, err := Compile(expr, 0)
		if err != nil {
			t.Fatal(err)
		}
		text, fold := re.Required()
		got := string(text)
		if fold {
			got += "/i"
		}
		if got != want {
			t.Errorf("%q requires %q, want %q", expr, got, want)
		}
	}
}

func TestNoAllocation(t *testing.T) {
	var s Scratch
	subject := []byte(strings.Repeat("POST /a.php?id=1 HTTP/1.1\r\n", 20) + "Host: b\r\n")
	for _, expr := range []string{`\/(\w+)\.php.*?Host\x3a (b)`, `(\w)\1\s`, `id=\d{3}`, `^Host`, `(?:[a-z]+)+\?(?!id=1)`} {
		re, err := Compile(expr, DotAll)
		if err != nil {
			t.Fatal(err)
		}
		match := func() {
			if _, _, _, err := re.Match(&s, subject, 0); err != nil {
				t.Fatal(err)
			}
		}
		match()
		if n := testing.AllocsPerRun(20, match); n != 0 {
			t.Errorf("%q: %v allocations per match", expr, n)
		}
	}
}

// TestStates makes an automaton forget its states, and keeps within memory.
func TestStates(t *testing.T) {
	var s Scratch
	re, err := Compile(`a.{12}[bc].{200}d`, 0)
	if err != nil {
		t.Fatal(err)
	}
	subject := make([]byte, 1<<14)
	for i := range subject {
		subject[i] = "abc"[i*i*7919>>8%3]
	}
	if _, _, ok, err := re.Match(&s, subject, 0); ok || err != nil {
		t.Errorf("got %v, %v, want no match", ok, err)
	}
	if s.dfaSize > maxDFABytes {
		t.Errorf("automata take %d bytes", s.dfaSize)
	}
}

// FuzzEngines compares the engines with each other, and looks for panics.
func FuzzEngines(f *testing.F) {
	f.Add(`^a(b|c)*\sd$`, uint8(5), []byte("abcb\x0bd\n"), 0)
	f.Add(`(?i)(a+)+b|\bc`, uint8(0), []byte("aaAB c"), 1)
	f.Add(`(?=a)(?P<x>.)\1(?(1)b|c)`, uint8(1), []byte("aab"), 0)
	f.Add(`[[:alpha:]\x41-\x{42}]{2,3}?\R`, uint8(2), []byte("ab\r\n"), 0)
	f.Fuzz(func(t *testing.T, expr string, flags uint8, subject []byte, start int) {
		re, err := Compile(expr, Flags(flags))
		if err != nil || start < 0 || start > len(subject) || len(subject) > 1<<12 {
			return
		}
		s := &Scratch{StepLimit: 100_000}
		got := answer(re, s, subject, start)
		if re.linear == nil || got == "limit" {
			return
		}
		possible := re.possible(s, subject, start)
		for i := range s.slots {
			s.slots[i] = -1
		}
		re.runThreads(s, subject, start)
		want := "none"
		if s.slots[1] >= 0 {
			want = slotText(s.slots)
		}
		if got != want || !possible && want != "none" {
			t.Errorf("%q on %q: got %s, threads %s, automaton %v", expr, subject, got, want, possible)
		}
	})
}

func BenchmarkNoMatch(b *testing.B) {
	subject := []byte(strings.Repeat("GET /index.html?a=b HTTP/1.1\r\n", 40))
	re, err := Compile(`\/[a-z]+\.(php|asp)\?[^=]+=\d+`, Caseless)
	if err != nil {
		b.Fatal(err)
	}
	var s Scratch
	b.SetBytes(int64(len(subject)))
	for b.Loop() {
		if _, _, ok, _ := re.Match(&s, subject, 0); ok {
			b.Fatal("matched")
		}
	}
}
