package suricata

// Keywords of files in transfer, whatever carries them.
var fileKeywords = []Keyword{
	{Name: "file.data", Aliases: []string{"file_data"}, Kind: StickyBuffer, Buffer: BufFileData, Optional: true, Traits: Directed, Since: "5.0"},
	{Name: "file.name", Kind: StickyBuffer, Buffer: BufFileName, Optional: true, Traits: Directed, Since: "5.0"},
	{Name: "file.magic", Kind: StickyBuffer, Buffer: BufFileMagic, Optional: true, Traits: Directed, Since: "5.0"},
	{Name: "filename", Kind: BufferMatch, Arg: textSyntax, Quotes: OptionalQuotes, Negatable: true, Buffer: BufFileName, Since: "1.2"},
	{Name: "fileext", Kind: BufferMatch, Arg: textSyntax, Quotes: OptionalQuotes, Negatable: true, Buffer: BufFileName, Since: "1.2"},
	{Name: "filemagic", Kind: BufferMatch, Arg: textSyntax, Quotes: NeedQuotes, Negatable: true, Buffer: BufFileMagic, Since: "1.2"},
	{Name: "filesize", Kind: FileMatch, Arg: number(64), Traits: Directed, Since: "1.2"},
	{Name: "filemd5", Kind: FileMatch, Arg: textSyntax, Negatable: true, Since: "2.0"},
	{Name: "filesha1", Kind: FileMatch, Arg: textSyntax, Negatable: true, Since: "3.2"},
	{Name: "filesha256", Kind: FileMatch, Arg: textSyntax, Negatable: true, Since: "3.2"},
}
