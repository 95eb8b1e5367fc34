// Package suricata reads the rule language of Suricata 8: it parses rules,
// refuses what Suricata refuses, prints them canonically, and compiles them to
// the form an engine evaluates. It sees no packets.
//
// A rule goes through three stages:
//
//	Parse     text    -> *Rule: header and options with typed values (parse.go)
//	resolve   options -> chains: which content belongs to which buffer (chain.go, check.go)
//	Compile   *Rule   -> *Compiled: addresses, type, fast pattern (compile.go)
//
// The package pcre matches the expressions, netset holds addresses and ports,
// siteconf reads the files beside the rules.
//
// [Load] does the first two for files, and reports every problem it meets with
// file, line, column, sid and keyword; one bad rule never stops the rest. The
// package match evaluates a chain against bytes.
//
// # Adding a keyword
//
// One entry in the table is all there is (table_*.go, by protocol):
//
//	{Name: "http.method", Kind: StickyBuffer, Buffer: BufHTTPMethod, Since: "5.0"},
//	{Name: "ttl", Kind: PacketMatch, Arg: number(8), Traits: NeedsPacket | CanPrefilter, Since: "1.0"},
//
// Kind says when it is looked at, Arg how its argument is written; a new Syntax
// (syntax.go) is a line of grammar and a function from text to a Value whose
// String is the canonical text. A new buffer is one line in buffer.go. Then
// `go test -run Coverage -update` rewrites docs/formats/suricata-rules.md.
package suricata
