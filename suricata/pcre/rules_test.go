package pcre

import (
	"cmp"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/hauberk/hauberk/internal/need"
)

// ruleExpression is an expression of a rule, between its slashes.
type ruleExpression struct {
	text  string
	flags Flags
}

var inRule = regexp.MustCompile(`pcre:\s*!?"(/(?:\\.|[^"\\])*)"`)

// ruleExpressions returns the distinct expressions of all rules in folders of
// the public data.
func ruleExpressions(t testing.TB, folders ...string) []ruleExpression {
	seen := map[ruleExpression]bool{}
	for _, folder := range folders {
		for _, text := range readAll(t, need.Data(t, folder), ".rules") {
			for _, m := range inRule.FindAllSubmatch(text, -1) {
				expr := string(m[1])
				end := strings.LastIndexByte(expr, '/')
				letters, _, _ := strings.Cut(expr[end+1:], ",")
				e := ruleExpression{text: expr[1:max(end, 1)]}
				for i := range len(letters) {
					f, _ := Letter(letters[i])
					e.flags |= f
				}
				seen[e] = true
			}
		}
	}
	var out []ruleExpression
	for e := range seen {
		out = append(out, e)
	}
	slices.SortFunc(out, func(a, b ruleExpression) int {
		return cmp.Or(strings.Compare(a.text, b.text), cmp.Compare(a.flags, b.flags))
	})
	return out
}

func readAll(t testing.TB, folder, suffix string) (out [][]byte) {
	err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, suffix) {
			return err
		}
		text, err := os.ReadFile(path)
		out = append(out, text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestRules compares every expression of the public rules with PCRE2, on real
// traffic and on texts made to match it, or nearly.
func TestRules(t *testing.T) {
	expressions := ruleExpressions(t, "etopen", "suricata-verify/tests")
	traffic := readAll(t, need.Data(t, "pcaps/ndpi"), "http.pcapng")
	o := newOracle(t)
	r := rand.New(rand.NewPCG(3, 4))
	s := &Scratch{}
	linear, matched, compared := 0, 0, 0
	why := map[string]int{}
	for _, e := range expressions {
		re, err := Compile(e.text, e.flags)
		if err != nil {
			t.Logf("%q: %v", e.text, err)
			why["error"]++
			if !strings.HasPrefix(o.ask(e.text, e.flags, 0, [][]byte{nil})[0], "error") {
				t.Errorf("%q: %v, but PCRE2 compiles it", e.text, err)
			}
			continue
		}
		ok, reason := re.Linear()
		if why[reason]++; ok {
			linear++
		}
		var subjects [][]byte
		for range 4 {
			capture := traffic[r.IntN(len(traffic))]
			at := r.IntN(max(1, len(capture)-800))
			subjects = append(subjects, capture[at:min(len(capture), at+800)])
		}
		tree, err := (&parser{src: e.text, flags: e.flags, names: map[string]int{}}).parse()
		if err != nil {
			t.Fatal(err)
		}
		for range 8 {
			text := sample(nil, tree, r)
			for range r.IntN(3) {
				if len(text) > 0 {
					text[r.IntN(len(text))] ^= 1 << r.IntN(8)
				}
			}
			subjects = append(subjects, text, append([]byte("\r\nX: "), append(text, '\n')...))
		}
		compared += o.compare(e.text, e.flags, 0, subjects, s)
		for _, subject := range subjects {
			if _, _, ok, _ := re.Match(s, subject, 0); ok {
				matched++
			}
		}
	}
	t.Logf("%d expressions, %d linear (%.1f %%); %d comparisons, %d matches; %v", len(expressions), linear,
		100*float64(linear)/float64(len(expressions)), compared, matched, why)
	if len(expressions) > 1000 && (linear < len(expressions)*85/100 || matched < compared/5) {
		t.Errorf("too few linear expressions or matches")
	}
}

// sample appends a text that n likely matches, but for look-around and
// back-references.
func sample(b []byte, n *node, r *rand.Rand) []byte {
	switch n.op {
	case opSet:
		for range 200 {
			if c := byte(r.IntN(128)); n.set.has(c) {
				return append(b, c)
			}
		}
		if n.set.len() > 0 {
			return append(b, n.set.lowest())
		}
	case opCat:
		for _, s := range n.subs {
			b = sample(b, s, r)
		}
	case opAlt, opCond:
		return sample(b, n.subs[r.IntN(len(n.subs))], r)
	case opRepeat:
		hi := n.min + 3
		if n.max != unlimited {
			hi = min(hi, n.max)
		}
		for range n.min + r.IntN(hi-n.min+1) {
			if len(b) < 3000 {
				b = sample(b, n.subs[0], r)
			}
		}
	case opCapture, opAtomic:
		return sample(b, n.subs[0], r)
	}
	return b
}
