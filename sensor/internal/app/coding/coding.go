// Package coding undoes the content codings of HTTP's bodies, as leniently as
// browsers do: a coding need not be the one that is named, checksums and ends
// do not matter, and bytes that are not coded at all come through as they are.
package coding

import (
	"slices"
	"strings"
)

// Limits of one body. A bomb ends there.
const (
	maxCoded = 1 << 20 // Bytes that are kept to be undone.
	maxPlain = 1 << 20 // Bytes that come of them.
)

// Budget is how many bytes the bodies of a flow may still become.
type Budget int

// Decoder undoes the codings of one body. A nil Decoder has none to undo.
type Decoder struct {
	codings []string // From the outermost in.
	coded   []byte
	next    int // Size of coded at which it is undone again.
	given   int // Plain bytes that were handed out.
	budget  *Budget
	cut     bool
}

// New begins a body whose Content-Encoding is value; at most layers of its
// codings are undone. It is nil if there are none.
func New(value []byte, layers int, budget *Budget) *Decoder {
	list := codings(value, layers)
	if len(list) == 0 {
		return nil
	}
	d := &Decoder{codings: list, next: 4 << 10, budget: budget}
	if slices.Contains(list, "lzma") {
		d.next = maxCoded // What comes of half of it may be wrong.
	}
	return d
}

// codings are the content codings of a message from the outermost in, at most
// limit of them. What is unknown is left out: nobody can undo it.
func codings(value []byte, limit int) (list []string) {
	tokens := strings.FieldsFunc(strings.ToLower(string(value)), func(c rune) bool { return c == ',' || c == ' ' || c == '\t' })
	for i := len(tokens) - 1; i >= 0 && len(list) < limit; i-- {
		switch t := tokens[i]; {
		case strings.Contains(t, "gzip"):
			list = append(list, "gzip")
		case strings.Contains(t, "deflate"):
			list = append(list, "deflate")
		case strings.Contains(t, "lzma"):
			list = append(list, "lzma")
		case t == "br":
			list = append(list, "br")
		}
	}
	return list
}

// Add takes bytes of the body and returns the plain ones that are new. They
// come late: what was sent is undone each time it has doubled, so that the work
// stays in proportion to it.
func (d *Decoder) Add(data []byte) []byte {
	if d == nil {
		return data
	}
	if len(d.coded)+len(data) > maxCoded {
		d.cut = true
		data = data[:maxCoded-len(d.coded)]
	}
	d.coded = append(d.coded, data...)
	if len(d.coded) < d.next {
		return nil
	}
	d.next = 2 * len(d.coded)
	return d.undo()
}

// End returns the plain bytes that were not handed out.
func (d *Decoder) End() []byte {
	if d == nil || len(d.coded) == 0 {
		return nil
	}
	plain := d.undo()
	d.coded = nil
	return plain
}

// Cut says that more was sent, or came of it, than was undone.
func (d *Decoder) Cut() bool { return d != nil && d.cut }

func (d *Decoder) undo() []byte {
	if *d.budget <= 0 {
		d.cut = true
		return nil
	}
	plain := decode(d.coded, d.codings)
	*d.budget -= Budget(len(plain))
	d.cut = d.cut || len(plain) >= maxPlain
	if len(plain) <= d.given {
		return nil
	}
	plain = plain[d.given:]
	d.given += len(plain)
	return plain
}

// decode undoes codings one after the other, as far as that goes.
func decode(data []byte, list []string) []byte {
	for _, kind := range list {
		plain, ok := inflate(data, kind)
		if !ok {
			return data
		}
		data = plain
	}
	return data
}
