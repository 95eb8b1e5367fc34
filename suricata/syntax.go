package suricata

import (
	"fmt"
	"strings"
)

// A Syntax is how an argument is written and read.
type Syntax struct {
	// Doc is the grammar in a line: [optional], "or" between choices.
	Doc   string
	parse func(arg) (Value, error)
}

// The syntaxes that have no parameters, by name.
var (
	appProtoSyntax        = &Syntax{`[!]protocol[,final or original or either or to_server or to_client]`, parseAppProto}
	base64Syntax          = &Syntax{`[bytes n][, offset n][, relative][, mode rfc4648 or rfc2045 or strict]`, parseBase64}
	byteExtractSyntax     = &Syntax{`bytes, offset, name[, relative][, multiplier n][, big or little or dce][, string][, hex or dec or oct][, align 2 or 4][, bitmask m]`, parseByteExtract}
	byteJumpSyntax        = &Syntax{`bytes, offset[, relative][, multiplier n][, big or little or dce][, string][, hex or dec or oct][, align][, from_beginning or from_end][, post_offset n][, bitmask m]`, parseByteJump}
	byteMathSyntax        = &Syntax{`bytes n, offset n, oper + - * / << >>, rvalue n, result name[, relative][, endian big or little or dce][, string hex or dec or oct][, bitmask m]`, parseByteMath}
	byteTestSyntax        = &Syntax{`bytes, [!]< > = <= >= & ^, value, offset[, relative][, big or little or dce][, string][, hex or dec or oct][, bitmask m]`, parseByteTest}
	classtypeSyntax       = &Syntax{`class of classification.config`, parseClasstype}
	datasetSyntax         = &Syntax{`set or unset or isset or isnotset, name[, type t][, load f or save f or state f][, memcap n][, hashsize n][, format f][, value_key k][, array_key k][, context_key k][, remove_key]`, parseDataset}
	detectionFilterSyntax = &Syntax{`track by_src or by_dst or by_both or by_rule or by_flow, count n, seconds n`, parseDetectionFilter}
	entropySyntax         = &Syntax{`[bytes n, ][offset n, ]value comparison`, parseEntropy}
	fastPatternSyntax     = &Syntax{`only, or offset,length`, parseFastPattern}
	flowCountSyntax       = &Syntax{`toserver or toclient or either or both, number`, parseFlowCount}
	flowIntSyntax         = &Syntax{`name, + - = == != < <= > >= number or name, or isset or isnotset`, parseFlowInt}
	flowSyntax            = &Syntax{`established or not_established or stateless, to_server or to_client, only_stream or no_stream, only_frag or no_frag`, parseFlow}
	flowbitsSyntax        = &Syntax{`set or unset or toggle, name; isset or isnotset, name|name; noalert`, parseFlowbits}
	hexSyntax             = &Syntax{`"hex"`, transformHex}
	hostbitsSyntax        = &Syntax{`set or unset or toggle or isset or isnotset, name[, src or dst or both]`, parseHostbits}
	http2SettingSyntax    = &Syntax{`setting[comparison]`, parseHTTP2Setting}
	ifaceSyntax           = &Syntax{`UUID[,version][,any_frag]`, parseIface}
	ipProtoSyntax         = &Syntax{`[! < >]number or name`, parseIPProto}
	isDataAtSyntax        = &Syntax{`[!]offset[,relative][,rawbytes]`, parseIsDataAt}
	maxSizeSyntax         = &Syntax{`[max-size n]`, parseMaxSize}
	metadataSyntax        = &Syntax{`key value, several with commas`, parseMetadata}
	numbersSyntax         = &Syntax{`number or range, several with commas`, numbers}
	patternSyntax         = &Syntax{`"text and |hex|"`, parsePattern}
	pcreSyntax            = &Syntax{`"/pattern/flags[, flow:name or pkt:name or alert:name]"`, parsePCRE}
	referenceSyntax       = &Syntax{`system,id`, parseReference}
	reputationSyntax      = &Syntax{`any or src or dst or both, category, < > = number; or isset or isnotset`, parseReputation}
	requiresSyntax        = &Syntax{`version >= v[ < v][ | ...][, feature f][, keyword k]`, parseRequires}
	signedSyntax          = &Syntax{`signed number`, parseSigned}
	streamSizeSyntax      = &Syntax{`server or client or both or either, operator, number`, parseStreamSize}
	tagSyntax             = &Syntax{`session or host[, count, packets or bytes or seconds[, src or dst]]`, parseTag}
	textSyntax            = &Syntax{`text`, text}
	thresholdSyntax       = &Syntax{`type limit or threshold or both or backoff, track by_..., count n, seconds n or multiplier n`, parseThreshold}
	tosSyntax             = &Syntax{`number, hex after x`, parseTOS}
	transformRegexpSyntax = &Syntax{`"pattern with a group"`, parseTransformRegexp}
	uriLenSyntax          = &Syntax{`number[,raw or norm]`, parseURILen}
	xbitsSyntax           = &Syntax{`set or unset or toggle or isset or isnotset, name, track ip_src or ip_dst or ip_pair or tx[, expire seconds]`, parseXbits}
)

// number parses a Uint of the given bits.
func number(bits int) *Syntax {
	return &Syntax{fmt.Sprintf("number of %d bits", bits), func(a arg) (Value, error) { return uintValue(parseUint(a.text, bits, nil, false)) }}
}

// inclusive parses a Uint whose ranges include both ends.
func inclusive(bits int) *Syntax {
	return &Syntax{fmt.Sprintf("number of %d bits, ranges inclusive", bits), func(a arg) (Value, error) { return uintValue(parseUint(a.text, bits, nil, true)) }}
}

// enum parses a Uint that may be written by name, whatever the case.
func enum(bits int, names map[string]uint64) *Syntax {
	return &Syntax{fmt.Sprintf("number of %d bits, or a name", bits), func(a arg) (Value, error) { return uintValue(parseUint(a.text, bits, names, false)) }}
}

// indexed parses a Uint that may be followed by an index into several values.
func indexed(bits int, names map[string]uint64) *Syntax {
	doc := fmt.Sprintf("number of %d bits[, index]", bits)
	if names != nil {
		doc = fmt.Sprintf("number of %d bits, or a name[, index]", bits)
	}
	return &Syntax{doc, func(a arg) (Value, error) { return parseIndexed(a.text, bits, names) }}
}

// uintValue keeps a nil *Uint from becoming a Value that is not nil.
func uintValue(u *Uint, err error) (Value, error) {
	if err != nil {
		return nil, err
	}
	return u, nil
}

// count parses a Count between lo and hi.
func count(lo, hi uint64) *Syntax {
	return &Syntax{fmt.Sprintf("number, %d to %d", lo, hi), func(a arg) (Value, error) { return parseCount(a.text, lo, hi) }}
}

// list splits the argument at commas and wants lo to hi parts.
func list(lo, hi int) *Syntax {
	return &Syntax{fmt.Sprintf("%d to %d parts with commas", lo, hi), func(a arg) (Value, error) { return parseList(a.text, lo, hi) }}
}

// oneOf wants one of the words.
func oneOf(words ...string) *Syntax {
	return &Syntax{strings.Join(words, " or "), func(a arg) (Value, error) { return parseWord(a.text, words) }}
}

// modifierNumber parses a number or variable of a content modifier.
func modifierNumber(lo, hi int64) *Syntax {
	return &Syntax{fmt.Sprintf("%d to %d, or a variable", lo, hi), func(a arg) (Value, error) { return parseNum(a.text, lo, hi) }}
}

// event parses the name of an event; app: with its protocol before a dot.
func event(app bool) *Syntax {
	if app {
		return &Syntax{"protocol[.event]", parseAppEvent}
	}
	return &Syntax{"event", parseEvent}
}

// flagSet parses letters of order with a mode sign; masked: and a second set
// of letters to ignore.
func flagSet(order string, masked bool) *Syntax {
	doc := "[+ * !]letters of " + order
	if masked {
		doc += "[,letters to ignore]"
	}
	return &Syntax{doc, func(a arg) (Value, error) { return parseFlags(a.text, order, masked) }}
}
