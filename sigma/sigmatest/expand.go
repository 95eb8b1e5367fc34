package sigmatest

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/hauberk/hauberk/sigma"
)

// Expand makes a set of n rules: the detections among rules, and variants of
// them with other literals. Of a variant's values half stay as they are, so
// that it shares predicates with its origin, as rules of one family do; in the
// others each word of four letters or more becomes another word. Regular
// expressions, networks, numbers and placeholders stay.
func Expand(seed uint64, rules []*sigma.Rule, n int) []*sigma.Rule {
	var base []*sigma.Rule
	for _, r := range rules {
		if r.Detection != nil {
			base = append(base, r)
		}
	}
	out := slices.Clone(base[:min(n, len(base))])
	rng := rand.New(rand.NewPCG(seed, 2))
	for i := 0; len(out) < n && len(base) > 0; i++ {
		out = append(out, variant(rng, base[i%len(base)], i))
	}
	return out
}

func variant(rng *rand.Rand, r *sigma.Rule, number int) *sigma.Rule {
	v := *r
	v.ID = fmt.Sprintf("variant-%d-of-%s", number, r.ID)
	v.Name = ""
	v.Title = fmt.Sprintf("%s (variant %d)", r.Title, number)
	d := *r.Detection
	d.Searches = slices.Clone(d.Searches)
	for i := range d.Searches {
		s := &d.Searches[i]
		s.Groups = slices.Clone(s.Groups)
		for j := range s.Groups {
			g := &s.Groups[j]
			g.Items = slices.Clone(g.Items)
			for k := range g.Items {
				it := &g.Items[k]
				if slices.ContainsFunc(it.Modifiers, func(m string) bool {
					return m == "re" || m == "cidr" || m == "exists" || m == "fieldref" || m == "expand"
				}) {
					continue
				}
				it.Values = slices.Clone(it.Values)
				for x := range it.Values {
					if it.Values[x].Kind == sigma.ScalarString && rng.IntN(2) == 0 {
						it.Values[x].Text = reword(rng, it.Values[x].Text)
					}
				}
			}
		}
	}
	v.Detection = &d
	return &v
}

// reword replaces the letters of long words, keeping vowels vowels, so that
// the new words are about as frequent as the old.
func reword(rng *rand.Rand, s string) string {
	const vowels, consonants = "aeiou", "bcdfghjklmnpqrstvwxyz"
	b := []byte(s)
	letter := func(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }
	for i := 0; i < len(b); {
		end := i
		for end < len(b) && letter(b[end]) {
			end++
		}
		if end-i >= 4 {
			for ; i < end; i++ {
				from := consonants
				if slices.Contains([]byte(vowels), b[i]|0x20) {
					from = vowels
				}
				b[i] = from[rng.IntN(len(from))]
			}
		}
		i = end + 1
	}
	return string(b)
}
