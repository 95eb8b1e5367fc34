package suricata

// Keywords that match bytes of the selected buffer.
var payloadKeywords = []Keyword{
	{Name: "content", Kind: BufferMatch, Arg: patternSyntax, Quotes: NeedQuotes, Negatable: true, Since: "1.0"},
	{Name: "pcre", Kind: BufferMatch, Arg: pcreSyntax, Quotes: OptionalQuotes, Negatable: true, Since: "1.0"},
	{Name: "isdataat", Kind: BufferMatch, Arg: isDataAtSyntax, Since: "1.0"},
	{Name: "bsize", Kind: BufferMatch, Arg: number(64), Since: "5.0"},
	{Name: "byte_test", Kind: BufferMatch, Arg: byteTestSyntax, Since: "1.0"},
	{Name: "byte_jump", Kind: BufferMatch, Arg: byteJumpSyntax, Since: "1.0"},
	{Name: "byte_extract", Kind: BufferMatch, Arg: byteExtractSyntax, Since: "2.0"},
	{Name: "byte_math", Kind: BufferMatch, Arg: byteMathSyntax, Since: "4.1"},
	{Name: "absent", Kind: BufferMatch, Arg: oneOf("or_else"), Optional: true, Since: "8.0"},
	{Name: "entropy", Kind: BufferMatch, Arg: entropySyntax, Since: "8.0"},
	{Name: "asn1", Kind: BufferMatch, Arg: textSyntax, Traits: NeedsPacket, Since: "1.0"},
	{Name: "dataset", Kind: BufferMatch, Arg: datasetSyntax, Since: "5.0"},
	{Name: "datajson", Kind: BufferMatch, Arg: datasetSyntax, Since: "8.0"},
	{Name: "datarep", Kind: BufferMatch, Arg: list(3, 8), Since: "5.0"},
	{Name: "base64_decode", Kind: BufferMatch, Arg: base64Syntax, Optional: true, Since: "2.1"},

	{Name: "pkt_data", Kind: StickyBuffer, Buffer: BufPayload, Since: "1.4"},
	{Name: "base64_data", Kind: StickyBuffer, Buffer: BufBase64, Since: "2.1"},

	{Name: "nocase", Kind: ContentModifier, Since: "1.0"},
	{Name: "depth", Kind: ContentModifier, Arg: modifierNumber(0, 65535), Since: "1.0"},
	{Name: "offset", Kind: ContentModifier, Arg: modifierNumber(0, 65535), Since: "1.0"},
	{Name: "distance", Kind: ContentModifier, Arg: modifierNumber(-maxDistance, maxDistance), Since: "1.0"},
	{Name: "within", Kind: ContentModifier, Arg: modifierNumber(-maxDistance, maxDistance), Since: "1.0"},
	{Name: "startswith", Kind: ContentModifier, Since: "5.0"},
	{Name: "endswith", Kind: ContentModifier, Since: "5.0"},
	{Name: "fast_pattern", Kind: ContentModifier, Arg: fastPatternSyntax, Optional: true, Since: "1.0"},
	{Name: "rawbytes", Kind: ContentModifier, Since: "1.0"},
}

// maxDistance is Suricata's limit on distance and within, either way.
const maxDistance = 1 << 20

// Keywords that change a buffer before it is matched.
var transformKeywords = []Keyword{
	{Name: "dotprefix", Kind: Transform, Since: "5.0"},
	{Name: "to_lowercase", Kind: Transform, Since: "7.0.2"},
	{Name: "to_uppercase", Kind: Transform, Since: "7.0.2"},
	{Name: "strip_whitespace", Kind: Transform, Since: "5.0"},
	{Name: "compress_whitespace", Kind: Transform, Since: "5.0"},
	{Name: "url_decode", Kind: Transform, Since: "6.0"},
	{Name: "xor", Kind: Transform, Arg: hexSyntax, Quotes: NeedQuotes, Since: "7.0"},
	{Name: "to_md5", Kind: Transform, Since: "5.0"},
	{Name: "to_sha1", Kind: Transform, Since: "5.0"},
	{Name: "to_sha256", Kind: Transform, Since: "5.0"},
	{Name: "pcrexform", Kind: Transform, Arg: transformRegexpSyntax, Quotes: NeedQuotes, Since: "6.0"},
	{Name: "header_lowercase", Kind: Transform, Since: "7.0"},
	{Name: "strip_pseudo_headers", Kind: Transform, Since: "7.0"},
	{Name: "domain", Kind: Transform, Since: "8.0"},
	{Name: "tld", Kind: Transform, Since: "8.0"},
	{Name: "from_base64", Kind: Transform, Arg: base64Syntax, Optional: true, Since: "8.0"},
	{Name: "gunzip", Kind: Transform, Arg: maxSizeSyntax, Optional: true, Since: "8.0"},
	{Name: "zlib_deflate", Kind: Transform, Arg: maxSizeSyntax, Optional: true, Since: "8.0"},
	{Name: "luaxform", Kind: Transform, Arg: textSyntax, Since: "8.0", Unsupported: "scripts cannot be bounded in time and memory"},
}
