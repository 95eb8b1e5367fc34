package suricata

// Keywords that say something about the rule.
var metaKeywords = []Keyword{
	{Name: "msg", Kind: Meta, Arg: textSyntax, Quotes: NeedQuotes, Since: "1.0"},
	{Name: "sid", Kind: Meta, Arg: count(1, 1<<32-1), Traits: Once, Since: "1.0"},
	{Name: "gid", Kind: Meta, Arg: count(0, 1<<32-1), Since: "1.0"},
	{Name: "rev", Kind: Meta, Arg: count(1, 1<<32-1), Traits: Once, Since: "1.0"},
	{Name: "classtype", Kind: Meta, Arg: classtypeSyntax, Since: "1.0"},
	{Name: "priority", Kind: Meta, Arg: count(1, 255), Since: "1.0"},
	{Name: "reference", Kind: Meta, Arg: referenceSyntax, Since: "1.0"},
	{Name: "metadata", Kind: Meta, Arg: metadataSyntax, Since: "1.0"},
	{Name: "target", Kind: Meta, Arg: oneOf("src_ip", "dest_ip"), Since: "4.0"},
	{Name: "requires", Kind: Meta, Arg: requiresSyntax, Since: "7.0.3"},
}

// Keywords that act when everything else matched, or hold the alert back.
var actionKeywords = []Keyword{
	{Name: "noalert", Kind: Action, Since: "1.0"},
	{Name: "alert", Kind: Action, Since: "8.0"},
	{Name: "threshold", Kind: Action, Arg: thresholdSyntax, Traits: IPOnly | Once, Since: "1.0"},
	{Name: "detection_filter", Kind: Action, Arg: detectionFilterSyntax, Traits: IPOnly | Once, Since: "1.0"},
	{Name: "tag", Kind: Action, Arg: tagSyntax, Traits: IPOnly, Since: "1.0"},
	{Name: "config", Kind: Action, Arg: list(1, 3), Since: "6.0"},
	{Name: "bypass", Kind: Action, Since: "3.2"},
	{Name: "replace", Kind: Action, Arg: patternSyntax, Quotes: NeedQuotes, Traits: NeedsPacket, Since: "1.0"},
	{Name: "prefilter", Kind: Action, Since: "4.0"},
	{Name: "filestore", Kind: Action, Arg: list(1, 2), Optional: true, Since: "1.2"},
	{Name: "tls.store", Aliases: []string{"tls_store"}, Kind: Action, Protos: []string{"tls"}, Since: "2.0"},
	{Name: "nfq_set_mark", Kind: Action, Arg: textSyntax, Since: "1.2"},
}
