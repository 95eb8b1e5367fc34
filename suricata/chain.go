package suricata

// A Chain is what one buffer must satisfy: its steps are evaluated in order
// (package match does it).
type Chain struct {
	Buffer     Buffer
	Frame      string   // of BufFrame: protocol.frame
	Transforms []Option // applied to the buffer in order
	Dir        Direction
	Steps      []Step
}

// A Step is one condition of a chain: *Content, or one of the values
// *PCREStep, *IsDataAt, *ByteTest, *ByteJump, *ByteExtract, *ByteMath, *Size,
// *Absent, *Entropy, *DataStep, *Base64, *Other.
type Step interface{ step() }

// Content is a pattern with its modifiers resolved.
type Content struct {
	Pattern  []byte
	Negated  bool
	NoCase   bool
	Relative bool // distance or within is given
	// Offset, Depth: where the match may lie from the start of the buffer.
	// Depth 0 means none; else it counts from Offset.
	Offset, Depth Num
	HasDepth      bool
	HasOffset     bool
	// Distance, Within: the same from the end of the match before.
	Distance, Within Num
	HasDistance      bool
	HasWithin        bool
	StartsWith       bool
	EndsWith         bool
	Replace          []byte // put in the pattern's place when the rule fires
	// Fast is the fast_pattern option, nil if not given.
	Fast    *FastPattern
	HasFast bool

	pos int
}

// PCREStep is a regular expression with its negation.
type PCREStep struct {
	*PCRE
	Negated bool
}

// Size compares the length of the buffer (bsize, dsize of the payload, urilen).
type Size struct{ Uint }

// Absent matches a buffer that is not there; OrElse also one that is.
type Absent struct{ OrElse bool }

// DataStep looks the buffer up in a dataset or reputation list.
type DataStep struct {
	Keyword string // dataset, datajson, datarep
	Value   Value
}

// Other is a condition only its keyword knows (asn1).
type Other struct{ Option }

func (*Content) step()     {}
func (*PCREStep) step()    {}
func (*IsDataAt) step()    {}
func (*ByteTest) step()    {}
func (*ByteJump) step()    {}
func (*ByteExtract) step() {}
func (*ByteMath) step()    {}
func (*Size) step()        {}
func (*Absent) step()      {}
func (*Entropy) step()     {}
func (*DataStep) step()    {}
func (*Base64) step()      {}
func (*Other) step()       {}
