package suricata

// Keywords that match bytes of the selected buffer.
var payloadKeywords = []Keyword{
	{Name: "content", Kind: BufferMatch, Parse: parsePattern, Quotes: NeedQuotes, Negatable: true, Since: "1.0"},
	{Name: "pcre", Kind: BufferMatch, Parse: parsePCRE, Quotes: OptionalQuotes, Negatable: true, Since: "1.0"},
	{Name: "isdataat", Kind: BufferMatch, Parse: parseIsDataAt, Since: "1.0"},
	{Name: "bsize", Kind: BufferMatch, Parse: number(64), Since: "5.0"},
	{Name: "byte_test", Kind: BufferMatch, Parse: parseByteTest, Since: "1.0"},
	{Name: "byte_jump", Kind: BufferMatch, Parse: parseByteJump, Since: "1.0"},
	{Name: "byte_extract", Kind: BufferMatch, Parse: parseByteExtract, Since: "2.0"},
	{Name: "byte_math", Kind: BufferMatch, Parse: parseByteMath, Since: "4.1"},
	{Name: "absent", Kind: BufferMatch, Parse: oneOf("or_else"), Optional: true, Since: "8.0"},
	{Name: "entropy", Kind: BufferMatch, Parse: parseEntropy, Since: "8.0"},
	{Name: "asn1", Kind: BufferMatch, Parse: text, Traits: NeedsPacket, Since: "1.0"},
	{Name: "dataset", Kind: BufferMatch, Parse: parseDataset, Since: "5.0"},
	{Name: "datajson", Kind: BufferMatch, Parse: parseDataset, Since: "8.0"},
	{Name: "datarep", Kind: BufferMatch, Parse: list(3, 8), Since: "5.0"},
	{Name: "base64_decode", Kind: BufferMatch, Parse: parseBase64, Optional: true, Since: "2.1"},

	{Name: "pkt_data", Kind: StickyBuffer, Buffer: BufPayload, Since: "1.4"},
	{Name: "base64_data", Kind: StickyBuffer, Buffer: BufBase64, Since: "2.1"},

	{Name: "nocase", Kind: ContentModifier, Since: "1.0"},
	{Name: "depth", Kind: ContentModifier, Parse: modifierNumber(0, 65535), Since: "1.0"},
	{Name: "offset", Kind: ContentModifier, Parse: modifierNumber(0, 65535), Since: "1.0"},
	{Name: "distance", Kind: ContentModifier, Parse: modifierNumber(-maxDistance, maxDistance), Since: "1.0"},
	{Name: "within", Kind: ContentModifier, Parse: modifierNumber(-maxDistance, maxDistance), Since: "1.0"},
	{Name: "startswith", Kind: ContentModifier, Since: "5.0"},
	{Name: "endswith", Kind: ContentModifier, Since: "5.0"},
	{Name: "fast_pattern", Kind: ContentModifier, Parse: parseFastPattern, Optional: true, Since: "1.0"},
	{Name: "rawbytes", Kind: ContentModifier, Since: "1.0"},
}

// maxDistance is Suricata's limit on distance and within, either way.
const maxDistance = 1 << 20

func modifierNumber(lo, hi int64) parseFunc {
	return func(a arg) (Value, error) { return parseNum(a.text, lo, hi) }
}

// Keywords that change a buffer before it is matched.
var transformKeywords = []Keyword{
	{Name: "dotprefix", Kind: Transform, Since: "5.0"},
	{Name: "to_lowercase", Kind: Transform, Since: "7.0.2"},
	{Name: "to_uppercase", Kind: Transform, Since: "7.0.2"},
	{Name: "strip_whitespace", Kind: Transform, Since: "5.0"},
	{Name: "compress_whitespace", Kind: Transform, Since: "5.0"},
	{Name: "url_decode", Kind: Transform, Since: "6.0"},
	{Name: "xor", Kind: Transform, Parse: transformHex, Quotes: NeedQuotes, Since: "7.0"},
	{Name: "to_md5", Kind: Transform, Since: "5.0"},
	{Name: "to_sha1", Kind: Transform, Since: "5.0"},
	{Name: "to_sha256", Kind: Transform, Since: "5.0"},
	{Name: "pcrexform", Kind: Transform, Parse: parseTransformRegexp, Quotes: NeedQuotes, Since: "6.0"},
	{Name: "header_lowercase", Kind: Transform, Since: "7.0"},
	{Name: "strip_pseudo_headers", Kind: Transform, Since: "7.0"},
	{Name: "domain", Kind: Transform, Since: "8.0"},
	{Name: "tld", Kind: Transform, Since: "8.0"},
	{Name: "from_base64", Kind: Transform, Parse: parseBase64, Optional: true, Since: "8.0"},
	{Name: "gunzip", Kind: Transform, Parse: parseMaxSize, Optional: true, Since: "8.0"},
	{Name: "zlib_deflate", Kind: Transform, Parse: parseMaxSize, Optional: true, Since: "8.0"},
	{Name: "luaxform", Kind: Transform, Parse: text, Since: "8.0", Unsupported: "scripts cannot be bounded in time and memory"},
}
