package multi

import (
	"bytes"
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

func Example() {
	set, err := Compile([]Pattern{
		{Text: []byte("User-Agent"), Fold: true},
		{Text: []byte("GET "), Depth: 4},
		{Text: []byte("curl")},
	})
	if err != nil {
		panic(err)
	}
	var sc Scratch
	for _, m := range set.Scan(&sc, []byte("GET / HTTP/1.1\r\nUSER-AGENT: Curl\r\n")) {
		fmt.Println(m.Pattern, m.End)
	}
	// Unordered output:
	// 1 4
	// 0 26
}

// naive finds what Scan does, pattern by pattern.
func naive(patterns []Pattern, subject []byte) []Match {
	var out []Match
	lower := slices.Clone(subject)
	for i, b := range lower {
		lower[i] = foldByte(b)
	}
	for i, p := range patterns {
		text, in := slices.Clone(p.Text), subject
		if p.Fold {
			in = lower
			for k, b := range text {
				text[k] = foldByte(b)
			}
		}
		limit := len(in)
		if p.Depth > 0 {
			limit = min(limit, p.Offset+p.Depth)
		}
		if p.Offset > limit {
			continue
		}
		if at := bytes.Index(in[p.Offset:limit], text); at >= 0 {
			out = append(out, Match{uint32(i), uint32(p.Offset + at + len(text))})
		}
	}
	return out
}

func sorted(m []Match) []Match {
	m = slices.Clone(m)
	slices.SortFunc(m, func(a, b Match) int { return cmp.Compare(a.Pattern, b.Pattern) })
	return m
}

// bothFilters runs f with the vector code, where there is one, and without.
func bothFilters(t *testing.T, f func(t *testing.T)) {
	t.Run("as here", f)
	restore := withoutVector()
	defer restore()
	t.Run("scalar", f)
}

// TestAgainstNaive uses texts of few different bytes, so that windows overlap,
// repeat and come close.
func TestAgainstNaive(t *testing.T) {
	bothFilters(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(5, 6))
		var sc Scratch
		found := 0
		for round := range 400 {
			alphabet := []string{"ab", "abAB\x00", "\x00\x00\x00a", "abcdefghABCDEFGH0123[{@`\xe1\xc1"}[round%4]
			text := func(n int) []byte {
				b := make([]byte, n)
				for i := range b {
					b[i] = alphabet[r.IntN(len(alphabet))]
				}
				return b
			}
			subject := text(r.IntN(300))
			var patterns []Pattern
			for range 1 + r.IntN(60) {
				p := Pattern{Text: text(1 + r.IntN(25)), Fold: r.IntN(2) == 0}
				if len(subject) > 30 && r.IntN(2) == 0 {
					at := r.IntN(len(subject) - 25)
					p.Text = slices.Clone(subject[at : at+1+r.IntN(25)])
				}
				if r.IntN(3) == 0 {
					p.Offset = r.IntN(40)
				}
				if r.IntN(3) == 0 {
					p.Depth = len(p.Text) + r.IntN(100)
				}
				patterns = append(patterns, p)
			}
			set, err := Compile(patterns)
			if err != nil {
				t.Fatal(err)
			}
			got, want := sorted(set.Scan(&sc, subject)), naive(patterns, subject)
			found += len(want)
			if !slices.Equal(got, want) {
				t.Fatalf("round %d: got %v, want %v\npatterns %v\nsubject %q", round, got, want, patterns, subject)
			}
		}
		if found < 2000 {
			t.Errorf("only %d matches: the test says little", found)
		}
	})
}

// TestMany is a set of the size of a rule set, with matches at every phase.
func TestMany(t *testing.T) {
	bothFilters(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(7, 8))
		var patterns []Pattern
		for i := range 20_000 {
			b := make([]byte, 4+i%30)
			for k := range b {
				b[k] = byte(r.IntN(256))
			}
			patterns = append(patterns, Pattern{Text: b, Fold: i%2 == 0})
		}
		set, err := Compile(patterns)
		if err != nil {
			t.Fatal(err)
		}
		if size := set.Size(); size > 4<<20 {
			t.Errorf("set takes %d bytes", size)
		}
		var sc Scratch
		for range 30 {
			var subject []byte
			for range 40 {
				subject = append(subject, patterns[r.IntN(len(patterns))].Text...)
				subject = append(subject, make([]byte, r.IntN(5))...)
			}
			got, want := sorted(set.Scan(&sc, subject)), naive(patterns, subject)
			if !slices.Equal(got, want) {
				t.Fatalf("got %d matches, want %d", len(got), len(want))
			}
		}
	})
}

func TestNoAllocation(t *testing.T) {
	set, err := Compile([]Pattern{{Text: []byte("index.php?id="), Fold: true}, {Text: []byte("id=")}, {Text: []byte("HTTP/1.")}, {Text: []byte("?")}})
	if err != nil {
		t.Fatal(err)
	}
	subject := bytes.Repeat([]byte("GET /index.php?id=1 HTTP/1.1\r\n"), 50)
	var sc Scratch
	set.Scan(&sc, subject)
	if n := testing.AllocsPerRun(20, func() { set.Scan(&sc, subject) }); n != 0 {
		t.Errorf("%v allocations per scan", n)
	}
}

func TestErrors(t *testing.T) {
	for _, p := range []Pattern{{}, {Text: make([]byte, maxText+1)}, {Text: []byte("abc"), Depth: 2}, {Text: []byte("a"), Offset: -1}} {
		if _, err := Compile([]Pattern{p}); err == nil {
			t.Errorf("text of %d bytes, offset %d, depth %d compiles", len(p.Text), p.Offset, p.Depth)
		}
	}
}

// FuzzFilters compares the vector code with the scalar.
func FuzzFilters(f *testing.F) {
	f.Add([]byte("GET /Index.PHP?a=b HTTP/1.1\r\n"), uint64(1))
	f.Add(bytes.Repeat([]byte{0}, 100), uint64(2))
	f.Add([]byte("\xff@[`{Zz Aa"), uint64(3))
	f.Fuzz(func(t *testing.T, subject []byte, seed uint64) {
		if len(subject) == 0 {
			return
		}
		a, b := make([]byte, len(subject)+padding), make([]byte, len(subject)+padding)
		fold(a, subject)
		foldScalar(b, subject)
		if !bytes.Equal(a, b) {
			t.Fatalf("folded %q, want %q", a, b)
		}
		r := rand.New(rand.NewPCG(seed, 0))
		filter := func(width, stride, second int) *tier {
			wordBits := minWordBits + r.IntN(maxWordBits-minWordBits+1)
			tr := &tier{width: width, stride: stride, second: second, seed: r.Uint32(), wordShift: uint8(32 - wordBits)}
			tr.bloom = make([]uint32, 1<<wordBits)
			for i := range tr.bloom {
				tr.bloom[i] = r.Uint32() | r.Uint32()
			}
			return tr
		}
		coarse, middle, finest := filter(8, 4, 4), filter(6, 2, 2), filter(4, 1, 0)
		groups := (len(subject)-1)/32 + 1
		got, want := make([]byte, groups), make([]byte, groups)
		coarse.filter(got, a)
		coarse.filterScalar(want, a)
		if !bytes.Equal(got, want) {
			t.Fatalf("coarse filter: %x, want %x", got, want)
		}
		groups = (len(subject)-1)/16 + 1
		got, want = make([]byte, 2*groups), make([]byte, 2*groups)
		guestGot, guestWant := make([]byte, groups), make([]byte, groups)
		finest.filterPairs(got, guestGot, a, middle)
		finest.filterPairsScalar(want, guestWant, a, middle)
		if !bytes.Equal(got, want) || !bytes.Equal(guestGot, guestWant) {
			t.Fatalf("filter of pairs: %x %x, want %x %x", got, guestGot, want, guestWant)
		}
	})
}

// FuzzScan compares with the naive search.
func FuzzScan(f *testing.F) {
	f.Add([]byte("index.php\nIndex\nid=\n\x00\x00\x00\x00\na"), []byte("GET /index.php?ID=1\x00\x00\x00\x00\x00"), uint16(5))
	f.Add([]byte("aaaa\naaaaaaaa\naaaaaaaaaaaa"), bytes.Repeat([]byte("a"), 50), uint16(0))
	f.Fuzz(func(t *testing.T, texts, subject []byte, fold uint16) {
		var patterns []Pattern
		for i, text := range bytes.Split(texts, []byte("\n")) {
			if len(text) > 0 && len(text) <= maxText {
				patterns = append(patterns, Pattern{Text: text, Fold: fold>>(i%16)&1 != 0})
			}
		}
		set, err := Compile(patterns)
		if err != nil {
			t.Fatal(err)
		}
		var sc Scratch
		if got, want := sorted(set.Scan(&sc, subject)), naive(patterns, subject); !slices.Equal(got, want) {
			t.Fatalf("got %v, want %v", got, want)
		}
	})
}

// Offsets count from the beginning of the stream: a piece has the patterns that
// the whole has at the same place.
func TestScanAt(t *testing.T) {
	bothFilters(t, func(t *testing.T) {
		set, err := Compile([]Pattern{{Text: []byte("ab"), Depth: 6}, {Text: []byte("ab"), Offset: 9, Depth: 2}, {Text: []byte("bcdefgh"), Offset: 5}, {Text: []byte("    "), Offset: 3, Depth: 9}, {Text: []byte("x")}})
		if err != nil {
			t.Fatal(err)
		}
		whole := []byte("ab..ab...abcdefgh      ab x")
		var sc Scratch
		for at := range whole {
			piece := whole[at:]
			masked := slices.Concat(bytes.Repeat([]byte{'.'}, at), piece)
			want := sorted(set.Scan(&sc, masked))
			got := sorted(set.ScanAt(&sc, piece, uint64(at)))
			for i := range got {
				got[i].End += uint32(at)
			}
			if !slices.Equal(got, want) {
				t.Errorf("from %d: %v, want %v", at, got, want)
			}
		}
		if n := len(set.ScanAt(&sc, whole, 1<<50)); n != 2 {
			t.Errorf("far in the stream: %d patterns", n)
		}
	})
}
