package suricata

import (
	"slices"
	"strings"
)

// A Keyword is one entry of the table that defines the language.
type Keyword struct {
	Name    string
	Aliases []string
	Kind    Kind
	// Arg is how the argument is written. Nil: the keyword takes none.
	Arg *Syntax
	// Optional: the argument may be left out (Value is then nil).
	Optional bool
	// Quotes says whether the argument is written in double quotes.
	Quotes Quotes
	// Negatable: an argument that begins with ! sets Option.Negated.
	Negatable bool
	// Buffer that a StickyBuffer or LegacyModifier selects, or a BufferMatch
	// with content of its own (uricontent, filename) looks at.
	Buffer Buffer
	// Protos the rule is bound to by using the keyword; for buffers see BufferInfo.
	Protos []string
	// Dir the rule is bound to; zero: either.
	Dir    Direction
	Traits KeywordTrait
	Since  string // first version of Suricata that has it
	// Unsupported is why a rule that uses it is refused; "" if it is not.
	Unsupported string
}

// Kind says what a keyword does and when an engine looks at it.
type Kind uint8

const (
	Meta            Kind = iota + 1 // says something about the rule
	StickyBuffer                    // selects the buffer of the keywords after it
	LegacyModifier                  // moves the content before it to another buffer
	ContentModifier                 // changes the content before it
	Transform                       // changes the selected buffer before it is matched
	BufferMatch                     // a step of the selected buffer's chain
	PacketMatch                     // looks at a packet's headers
	FlowMatch                       // looks at a flow or host and its state
	TxMatch                         // looks at a property of a transaction
	FileMatch                       // looks at a file in transfer
	EventMatch                      // looks at anomalies the decoders and parsers report
	Action                          // happens when everything else matched
)

var kinds = [...]string{Meta: "meta", StickyBuffer: "sticky buffer", LegacyModifier: "legacy modifier",
	ContentModifier: "content modifier", Transform: "transform", BufferMatch: "buffer", PacketMatch: "packet",
	FlowMatch: "flow", TxMatch: "transaction", FileMatch: "file", EventMatch: "event", Action: "action"}

// String is the kind in a word or two.
func (k Kind) String() string {
	if int(k) >= len(kinds) {
		return "unknown"
	}
	return kinds[k]
}

// Quotes is the rule for double quotes around an argument.
type Quotes uint8

const (
	NoQuotes       Quotes = iota // refused
	OptionalQuotes               // allowed
	NeedQuotes                   // demanded
)

// KeywordTrait is a bit of what a keyword implies for the rule.
type KeywordTrait uint8

const (
	NeedsPacket  KeywordTrait = 1 << iota // the rule is evaluated per packet, never on the stream
	IPOnly                                // an IP-only rule may have it
	CanPrefilter                          // `prefilter` may follow it
	Once                                  // a second one is refused
	Directed                              // takes to_server or to_client before its argument
)

// Has reports whether the keyword has all of the traits.
func (k *Keyword) Has(t KeywordTrait) bool { return k.Traits&t == t }

// keywords is the language. The slices live in table_*.go.
var keywords = slices.Concat(metaKeywords, actionKeywords, payloadKeywords, transformKeywords,
	packetKeywords, flowKeywords, fileKeywords, httpKeywords, tlsKeywords, appKeywords)

// byName finds keywords by name and alias, in lower case.
var byName = index(keywords)

func index(table []Keyword) map[string]*Keyword {
	m := make(map[string]*Keyword, 2*len(table))
	for i := range table {
		m[table[i].Name] = &table[i]
		for _, a := range table[i].Aliases {
			m[a] = &table[i]
		}
	}
	return m
}

// LookupKeyword finds a keyword by name or alias, whatever the case.
func LookupKeyword(name string) (*Keyword, bool) {
	k, ok := byName[name]
	if !ok {
		k, ok = byName[strings.ToLower(name)]
	}
	return k, ok
}

// Keywords lists the table. The caller must not change the entries.
func Keywords() []Keyword { return slices.Clone(keywords) }
