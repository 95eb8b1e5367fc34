package pcre

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"os/exec"
	"strings"
	"testing"

	"github.com/hauberk/hauberk/internal/need"
)

// oracle is libpcre2 in a process of its own.
type oracle struct {
	t   testing.TB
	in  io.Writer
	out *bufio.Reader
	// extra is options for all expressions.
	extra uint32
}

// pureSemantics is PCRE2_NO_AUTO_POSSESS and PCRE2_NO_START_OPTIMIZE: both
// optimisations of 10.42 have errors that random expressions find, such as
// the belief that \S and \v, or \R and \N, have no byte in common (0x85).
const pureSemantics = 0x4000 | 0x10000

func newOracle(t testing.TB) *oracle {
	python := need.Program(t, "python3")
	need.Library(t, "libpcre2-8.so.0")
	cmd := exec.Command(python, "testdata/oracle.py")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("oracle: %v", err)
		}
	})
	return &oracle{t: t, in: in, out: bufio.NewReaderSize(out, 1<<20)}
}

// options are the flags as pcre2.h has them.
func options(f Flags) uint32 {
	var o uint32
	for flag, bit := range map[Flags]uint32{Caseless: 8, DotAll: 0x20, Multiline: 0x400, Extended: 0x80, Anchored: 0x80000000, DollarEndOnly: 0x10, Ungreedy: 0x40000} {
		if f&flag != 0 {
			o |= bit
		}
	}
	return o
}

func word(b []byte) string {
	if len(b) == 0 {
		return "-"
	}
	return hex.EncodeToString(b)
}

// ask returns one answer per subject, or a single "error N".
func (o *oracle) ask(expr string, flags Flags, start int, subjects [][]byte) []string {
	var b strings.Builder
	fmt.Fprintf(&b, "%x %s %x", options(flags)|o.extra, word([]byte(expr)), start)
	for _, s := range subjects {
		b.WriteString(" " + word(s))
	}
	if _, err := io.WriteString(o.in, b.String()+"\n"); err != nil {
		o.t.Fatal(err)
	}
	line, err := o.out.ReadString('\n')
	if err != nil {
		o.t.Fatal(err)
	}
	line = strings.TrimSuffix(line, "\n")
	if strings.HasPrefix(line, "error") {
		return []string{line}
	}
	return strings.Fields(line)
}

// answer is what we find, in the oracle's words.
func answer(re *Regexp, s *Scratch, subject []byte, start int) string {
	_, _, ok, err := re.Match(s, subject, start)
	switch {
	case err != nil:
		return "limit"
	case !ok:
		return "none"
	}
	return slotText(s.slots)
}

func slotText(slots []int32) string {
	var b strings.Builder
	for i := 0; i+1 < len(slots); i += 2 {
		from, to := slots[i], slots[i+1]
		if from < 0 || to < 0 {
			from, to = -1, -1
		}
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "%d,%d", from, to)
	}
	return b.String()
}

// compare matches one expression on all subjects with every engine that
// knows it, and returns how many answers were compared.
func (o *oracle) compare(expr string, flags Flags, start int, subjects [][]byte, s *Scratch) int {
	o.t.Helper()
	want := o.ask(expr, flags, start, subjects)
	re, err := Compile(expr, flags)
	if strings.HasPrefix(want[0], "error") {
		if err == nil {
			o.t.Errorf("%q flags %b: compiled, want %s", expr, flags, want[0])
		}
		return 0
	}
	if err != nil {
		if !strings.Contains(err.Error(), "not supported") && !strings.Contains(err.Error(), "too large") {
			o.t.Errorf("%q flags %b: %v", expr, flags, err)
		}
		return 0
	}
	for i, subject := range subjects {
		got := answer(re, s, subject, start)
		if got == "limit" || want[i] == "limit" {
			continue
		}
		if got != want[i] {
			o.t.Errorf("%q flags %b on %q from %d: got %s, want %s (linear %v)", expr, flags, subject, start, got, want[i], re.linear != nil)
		}
		if re.linear == nil {
			continue
		}
		for i := range s.slots {
			s.slots[i] = -1
		}
		re.runThreads(s, subject, start)
		got = "none"
		if s.slots[1] >= 0 {
			got = slotText(s.slots)
		}
		if got != want[i] {
			o.t.Errorf("%q flags %b on %q from %d: threads got %s, want %s", expr, flags, subject, start, got, want[i])
		}
	}
	return len(subjects)
}

// TestAgainstPCRE2 compares random expressions of every construct on random
// subjects that come close to matching.
func TestAgainstPCRE2(t *testing.T) {
	o := newOracle(t)
	o.extra = pureSemantics
	r := rand.New(rand.NewPCG(1, 2))
	var s Scratch
	compared, linear := 0, 0
	for range 6000 {
		g := generator{r: r}
		expr := g.expression(3)
		var flags Flags
		for f := Caseless; f <= Ungreedy; f <<= 1 {
			if r.IntN(5) == 0 {
				flags |= f
			}
		}
		var subjects [][]byte
		for range 12 {
			subjects = append(subjects, randomSubject(r))
		}
		start := 0
		if r.IntN(4) == 0 {
			start = 1
			for i := range subjects {
				subjects[i] = append([]byte{subjects[i%3][0]}, subjects[i]...)
			}
		}
		compared += o.compare(expr, flags, start, subjects, &s)
		if re, err := Compile(expr, flags); err == nil && re.linear != nil {
			linear++
		}
		if t.Failed() {
			break
		}
	}
	if !t.Failed() && (compared < 20_000 || linear < 1000) {
		t.Errorf("compared %d answers, %d linear expressions: the generator makes too few valid ones", compared, linear)
	}
	t.Logf("compared %d answers, %d linear expressions", compared, linear)
}

func randomSubject(r *rand.Rand) []byte {
	alphabet := "aabbcAB1_ -\n\n\r\x0b\x85\xa0\xe9]"
	b := make([]byte, 1+r.IntN(12))
	for i := range b {
		b[i] = alphabet[r.IntN(len(alphabet))]
	}
	return b
}

// generator makes random expressions.
type generator struct {
	r      *rand.Rand
	groups int
}

func (g *generator) pick(options ...string) string { return options[g.r.IntN(len(options))] }

func (g *generator) expression(depth int) string {
	var b strings.Builder
	for i := range 1 + g.r.IntN(3) {
		if i > 0 && g.r.IntN(2) == 0 {
			b.WriteByte('|')
		}
		for range 1 + g.r.IntN(3) {
			b.WriteString(g.item(depth))
		}
	}
	return b.String()
}

func (g *generator) item(depth int) string {
	var atom string
	switch k := g.r.IntN(20); {
	case k < 8:
		atom = g.pick("a", "b", "c", "A", "1", "-", " ", "_", `\n`, `\x61`, `\x{e9}`, `\Qab\E`, `\]`)
	case k < 12:
		atom = g.pick(".", `\d`, `\w`, `\W`, `\s`, `\S`, `\h`, `\H`, `\v`, `\V`, `\N`, "[ab]", "[^a]", "[a-c1]", `[\w-]`, "[[:alpha:]]", "[^[:^space:]]", "[]a]", `[\s\x85]`, `[A-B\-]`, "[[:upper:]]")
	case k < 14:
		return g.pick("^", "$", `\b`, `\B`, `\A`, `\z`, `\Z`, `\G`, `\K`, "(?i)", "(?s)", "(?-i)", "(?m)", "(?U)", `\R`)
	case k < 15 && g.groups > 0:
		atom = fmt.Sprintf(g.pick(`\%d`, `\g{%d}`), 1+g.r.IntN(g.groups))
	case k < 16 && g.groups > 0:
		n := 1 + g.r.IntN(g.groups)
		atom = fmt.Sprintf("(?(%d)%s|%s)", n, g.item(0), g.item(0))
	default:
		if depth == 0 {
			return "a"
		}
		atom = g.group(depth - 1)
	}
	if g.r.IntN(3) == 0 {
		atom += g.pick("*", "+", "?", "{2}", "{1,2}", "{0,3}", "{2,}", "*") + g.pick("", "", "?", "+")
	}
	return atom
}

func (g *generator) group(depth int) string {
	switch g.r.IntN(10) {
	case 0, 1, 2, 3:
		g.groups++
		return "(" + g.expression(depth) + ")"
	case 4:
		return g.pick("(?=", "(?!") + g.expression(depth) + ")"
	case 5:
		return g.pick("(?<=", "(?<!") + g.pick("a", "ab|c", `\w`, "[^a]b", "^a") + ")"
	case 6:
		return "(?>" + g.expression(depth) + ")"
	case 7:
		return "(?(?=" + g.item(0) + ")" + g.expression(0) + "|" + g.item(0) + ")"
	}
	return g.pick("(?:", "(?i:", "(?s-i:") + g.expression(depth) + ")"
}
