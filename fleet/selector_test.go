package fleet

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/hauberk/hauberk/event"
)

func mustNode(t testing.TB, s string) event.NodeID {
	t.Helper()
	id, err := event.ParseNodeID(s)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

const webID = "0123456789abcdef0123456789abcdef"

func web(t testing.TB) *Subject {
	return &Subject{
		ID: mustNode(t, webID), Tenant: "acme", Kind: "agent", Host: "Web-7.example.net",
		Labels: map[string]string{"role": "web", "room": "f 2", "host": "blue", "label.x": "1", "empty": "", "k8s.io/zone": "a"},
	}
}

func TestMatch(t *testing.T) {
	for text, want := range map[string]bool{
		"all":                          true,
		"not all":                      false,
		"role=web":                     true,
		"role = web":                   true,
		"role!=web":                    false,
		"role=db":                      false,
		"absent=x":                     false,
		"absent!=x":                    true,
		`absent=""`:                    false,
		`empty=""`:                     true,
		"role in (db, web)":            true,
		"role in (db)":                 false,
		"role not in (db,web)":         false,
		"absent not in (a)":            true,
		`room="f 2"`:                   true,
		"k8s.io/zone=a":                true,
		"id=" + webID:                  true,
		"id=" + strings.ToUpper(webID): true,
		"id!=" + webID:                 false,
		"id in (" + webID + ", " + nodeZero + ")": true,
		"id=" + nodeZero:                       false,
		"kind=agent":                           true,
		"kind=sensor":                          false,
		"tenant=acme and kind in (agent,edge)": true,
		"host=web-*":                           true,
		"host=WEB-?.example.*":                 true,
		"host=web-??.example.net":              false,
		"host in (db-*, *.net)":                true,
		"host=*":                               true,
		`host=""`:                              false,
		"label.host=blue":                      true,
		"label.label.x=1":                      true,
		"label.role=web":                       true,
		"role=web and absent=1 or kind=agent":  true,
		"role=web and (absent=1 or kind=edge)": false,
		"not role=db and kind=agent":           true,
		"not (role=web and kind=agent)":        false,
		"percent() < 100":                      true,
		"percent() < 0":                        false,
		"percent(a) >= 0":                      true,
		"percent(a) >= 100":                    false,
		"\t( (\nrole=web ) )\r\n":              true,
	} {
		s, err := ParseSelector(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got := s.Match(web(t)); got != want {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
	}
	if (Selector{}).Match(web(t)) {
		t.Error("the zero selector selects something")
	}
}

const nodeZero = "00000000000000000000000000000000"

func TestSyntaxErrorsHaveTheirPlace(t *testing.T) {
	for text, offset := range map[string]int{
		"":                           0,
		"   ":                        3,
		"role":                       4,
		"role=":                      5,
		"role==web":                  5,
		"role=web kind=agent":        9,
		"role=and":                   5,
		"and":                        0,
		"role in web":                8,
		"role in ()":                 9,
		"role in (a":                 10,
		"role in (a,)":               11,
		"role not web":               9,
		"(role=web":                  9,
		"role=web)":                  8,
		"id=xyz":                     3,
		"id in (" + webID + ", 12)":  41,
		"percent < 10":               8,
		"percent(a < 10":             10,
		"percent(a) = 10":            11,
		"percent(a) < 101":           13,
		"percent(a) < 10.123":        13,
		"percent(a) < -1":            13,
		"percent(a) < 1e1":           13,
		"percent(a) < NaN":           13,
		`role="web`:                  5,
		`role="a\n"`:                 7,
		"role=web & kind=agent":      9,
		"role=wéb":                   6,
		"label.=1":                   0,
		"not":                        3,
		strings.Repeat("(", 200):     101,
		strings.Repeat("not ", 200):  404,
		"role=\xff":                  0,
		strings.Repeat("a", 1<<16+1): 0,
	} {
		_, err := ParseSelector(text)
		var syntax *SyntaxError
		if !errors.As(err, &syntax) {
			t.Errorf("%.60q: error %v", text, err)
			continue
		}
		if syntax.Offset != offset {
			t.Errorf("%.60q: error at %d, want %d: %v", text, syntax.Offset, offset, err)
		}
	}
}

func TestCanonicalText(t *testing.T) {
	for text, want := range map[string]string{
		" role  =web":                    "role=web",
		"role in (web)":                  "role=web",
		"role in (a, a, b)":              "role in (a, b)",
		"role not in (a)":                "role!=a",
		`role="web"`:                     "role=web",
		`role="and"`:                     `role="and"`,
		`role="a\"b\\"`:                  `role="a\"b\\"`,
		"(a=1 and b=2) and c=3":          "a=1 and b=2 and c=3",
		"(a=1 or b=2) and c=3":           "(a=1 or b=2) and c=3",
		"not (a=1)":                      "not a=1",
		"not (a=1 or b=2)":               "not (a=1 or b=2)",
		"percent( roll ) < 12.50":        "percent(roll) < 12.5",
		"percent() >= 0.01":              "percent() >= 0.01",
		"label.host=x":                   "label.host=x",
		"label.role=x":                   "role=x",
		"label.and=x":                    "label.and=x",
		"id=" + strings.ToUpper(webID):   "id=" + webID,
		"a=1 or b=2 and not c in (3, 4)": "a=1 or b=2 and not c in (3, 4)",
	} {
		s, err := ParseSelector(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got := s.String(); got != want {
			t.Errorf("%s: printed as %s, want %s", text, got, want)
		}
	}
}

// anything returns a random tree in the form the parser builds.
func anything(r *rand.Rand, depth int, outer op) node {
	pick := func(words ...string) string { return words[r.IntN(len(words))] }
	if depth > 0 && r.IntN(3) > 0 {
		n := node{op: []op{opAnd, opOr, opNot}[r.IntN(3)]}
		if n.op == outer && n.op != opNot {
			n.op = opNot
		}
		kids := 1
		if n.op != opNot {
			kids = 2 + r.IntN(3)
		}
		for range kids {
			n.kids = append(n.kids, anything(r, depth-1, n.op))
		}
		return n
	}
	switch r.IntN(4) {
	case 0:
		return node{op: opAll}
	case 1:
		return node{op: []op{opBelow, opAtLeast}[r.IntN(2)], key: pick("", "a", "two words", "all"), bucket: r.IntN(Buckets + 1)}
	}
	n := node{op: []op{opIn, opNotIn}[r.IntN(2)], field: field(r.IntN(5))}
	if n.field == fieldLabel {
		n.key = pick("role", "host", "label.", "label.id", "in", "k8s.io/zone")
	}
	for i := range 1 + r.IntN(3) {
		value := fmt.Sprint(i, pick("", "a b", `"`, `\`, "é", "not", "*"))
		if n.field == fieldID {
			var id event.NodeID
			id[0] = byte(i)
			n.ids, value = append(n.ids, id), id.String()
		}
		n.values = append(n.values, value)
	}
	return n
}

func TestPrintThenParseIsIdentity(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 5000 {
		s := Selector{anything(r, 4, opNone)}
		again, err := ParseSelector(s.String())
		if err != nil {
			t.Fatalf("%s: %v", s, err)
		}
		if !reflect.DeepEqual(s, again) {
			t.Fatalf("%s became %s", s, again)
		}
	}
}

func FuzzSelector(f *testing.F) {
	for _, seed := range []string{
		"all", "role=web and not (host=db-* or id=" + webID + ")", "percent(a) < 12.5", `x in ("a b", c)`, "label.host not in (a)", "((", `"`, "percent() >= 1",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseSelector(text)
		if err != nil {
			return
		}
		again, err := ParseSelector(s.String())
		if err != nil {
			t.Fatalf("%q printed as %q: %v", text, s, err)
		}
		if !reflect.DeepEqual(s, again) || again.String() != s.String() {
			t.Fatalf("%q became %q, then %q", text, s, again)
		}
		if n := web(t); s.Match(n) != again.Match(n) {
			t.Fatalf("%q and its text disagree", text)
		}
	})
}

func TestMatchDoesNotAllocate(t *testing.T) {
	s, err := ParseSelector("not role=db and host=web-* and id in (" + webID + ") and percent(x) < 100 and kind=agent")
	if err != nil {
		t.Fatal(err)
	}
	n := web(t)
	if !s.Match(n) {
		t.Fatal("no match")
	}
	if got := testing.AllocsPerRun(100, func() { s.Match(n) }); got != 0 {
		t.Errorf("%v allocations", got)
	}
}

// TestGlob compares with a plain recursive matcher.
func TestGlob(t *testing.T) {
	var naive func(p, s string) bool
	naive = func(p, s string) bool {
		switch {
		case p == "":
			return s == ""
		case p[0] == '*':
			return naive(p[1:], s) || s != "" && naive(p, s[1:])
		default:
			return s != "" && (p[0] == '?' || lower(p[0]) == lower(s[0])) && naive(p[1:], s[1:])
		}
	}
	r := rand.New(rand.NewPCG(3, 4))
	word := func(alphabet string) string {
		b := make([]byte, r.IntN(8))
		for i := range b {
			b[i] = alphabet[r.IntN(len(alphabet))]
		}
		return string(b)
	}
	for range 20_000 {
		p, s := word("ab*?"), word("aBb")
		if glob(p, s) != naive(p, s) {
			t.Fatalf("%q on %q: %v", p, s, glob(p, s))
		}
	}
}

// The vectors of docs/formats/selector.md.
func TestHashVectors(t *testing.T) {
	for _, v := range []struct {
		salt, node string
		hash       uint64
		bucket     int
	}{
		{"", nodeZero, 0x1c52877bb93e97f8, 264},
		{"", webID, 0xd9a4c6c65af5dcb7, 6215},
		{"rollout-7", webID, 0x38ec219b3152549a, 5914},
		{"ä", "ffffffffffffffffffffffffffffffff", 0x3236aa6df3010125, 8725},
	} {
		id := mustNode(t, v.node)
		if h := Hash(v.salt, id); h != v.hash || Bucket(v.salt, id) != v.bucket {
			t.Errorf("Hash(%q, %s) = %#016x, bucket %d; want %#016x, %d", v.salt, v.node, h, Bucket(v.salt, id), v.hash, v.bucket)
		}
	}
}

func TestPercentages(t *testing.T) {
	tenth, fifth, other := mustParse(t, "percent(a) < 10"), mustParse(t, "percent(a) < 20"), mustParse(t, "percent(b) < 10")
	rest := mustParse(t, "percent(a) >= 10")
	const n = 50_000
	var inTenth, inBoth int
	for i := range n {
		s := &Subject{ID: event.NodeID{0: 7, 14: byte(i >> 8), 15: byte(i)}} // ids that differ little
		if tenth.Match(s) == rest.Match(s) {
			t.Fatal("< and >= do not part the fleet")
		}
		if !tenth.Match(s) {
			continue
		}
		inTenth++
		if !fifth.Match(s) {
			t.Fatal("a node of the first 10 % is not among the first 20 %")
		}
		if other.Match(s) {
			inBoth++
		}
	}
	// Six standard deviations of a binomial distribution.
	if inTenth < n/10-400 || inTenth > n/10+400 {
		t.Errorf("%d of %d nodes in 10 %%", inTenth, n)
	}
	if inBoth < n/100-135 || inBoth > n/100+135 {
		t.Errorf("%d of %d nodes in 10 %% of two salts: they are not independent", inBoth, n)
	}
}

func mustParse(t testing.TB, text string) Selector {
	t.Helper()
	s, err := ParseSelector(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func BenchmarkMatch(b *testing.B) {
	s := mustParse(b, "role=web and not host=db-* and percent(x) < 50")
	n := web(b)
	b.ReportAllocs()
	for b.Loop() {
		s.Match(n)
	}
}
