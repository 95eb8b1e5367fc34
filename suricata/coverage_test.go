package suricata_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/hauberk/hauberk/suricata"
)

var update = flag.Bool("update", false, "rewrite docs/formats/suricata-rules.md")

const coverageFile = "../docs/formats/suricata-rules.md"

// TestCoverage: the page about the rule language says what the table says.
func TestCoverage(t *testing.T) {
	want := coverage()
	if *update {
		if err := os.WriteFile(coverageFile, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(coverageFile)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is not current: run go test ./suricata -run Coverage -update", coverageFile)
	}
}

// coverage writes the page.
func coverage() []byte {
	var b bytes.Buffer
	all := suricata.Keywords()
	refused := slices.DeleteFunc(slices.Clone(all), func(k suricata.Keyword) bool { return k.Unsupported == "" })
	fmt.Fprintf(&b, `# The Suricata rule language

What the package `+"`suricata`"+` reads: the language of Suricata %s. This page is made from its keyword table by
`+"`go test ./suricata -run Coverage -update`"+`; a test keeps it current.

%d keywords, %d of them refused with a reason; %d buffers. A rule that uses an unknown or refused keyword is reported with
file, line, column and sid, and does not stop the others.

`, suricata.Version, len(all), len(refused), suricata.NumBuffers-1)
	b.WriteString(headerText)
	for kind := suricata.Meta; kind <= suricata.Action; kind++ {
		fmt.Fprintf(&b, "\n## Keywords: %s\n\n| keyword | argument | buffer or protocol | since | note |\n|---|---|---|---|---|\n", kind)
		rows := slices.DeleteFunc(slices.Clone(all), func(k suricata.Keyword) bool { return k.Kind != kind })
		slices.SortFunc(rows, func(a, b suricata.Keyword) int { return strings.Compare(a.Name, b.Name) })
		for i := range rows {
			writeKeyword(&b, &rows[i])
		}
	}
	b.WriteString("\n## Buffers\n\nOf buffers with a smaller priority the fast pattern is chosen first. *multi*: one transaction has several, and each\nselection in a rule is matched on its own.\n\n| buffer | content | protocols | direction | priority | traits |\n|---|---|---|---|---|---|\n")
	for i := 1; i < suricata.NumBuffers; i++ {
		info := suricata.Buffer(i).Info()
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %d | %s |\n", info.Name, info.Doc, strings.Join(info.Protos, ", "), info.Dir, info.Priority, traits(info))
	}
	return b.Bytes()
}

const headerText = `## Header

` + "`action protocol source port -> destination port (options)`" + `

- **action**: alert, drop, pass, reject, rejectsrc, rejectdst, rejectboth, config; accept in firewall rules. drop, pass,
  reject and accept may have a scope (` + "`drop:flow`" + `).
- **protocol**: a transport (tcp, tcp-pkt, tcp-stream, udp, icmp, icmpv4, icmpv6, sctp, ip, ipv4, ipv6, pkthdr) or an application
  protocol, with a hook after a colon (` + "`http1:request_headers`, `tls:client_hello_done`, `tcp:flow_start`" + `).
- **addresses and ports**: any, a value, a range (1.2.3.4-1.2.3.9, 1024:), a prefix or netmask, a variable, and groups of these in
  brackets. ! takes away. Groups are flattened first: what is under an odd number of ! is taken away from the rest, and a group
  without positive members starts from everything.
- **direction**: ` + "`->`, `<>` (also with the ends swapped), `=>`" + ` (request and response of one transaction).

A number argument is a comparison: 5, !5, <5, >=5, 3-9 (without its ends, but where the table says inclusive), !3-9,
&0xf0=0x10, &0xf0!=0x10; decimal with kb, mb or gb, or hex after 0x. An index is any (the default), all, all1, nb and a
comparison, or a place counted from 0 or from the end (-1).
`

func writeKeyword(b *bytes.Buffer, k *suricata.Keyword) {
	name, argument, where, note := "`"+k.Name+"`", "", strings.Join(k.Protos, ", "), k.Unsupported
	for _, a := range k.Aliases {
		name += ", `" + a + "`"
	}
	if k.Arg != nil {
		argument = k.Arg.Doc
		if k.Negatable {
			argument = "[!]" + argument
		}
		if k.Optional && argument[0] != '[' {
			argument = "[" + argument + "]"
		}
	}
	if k.Buffer != suricata.NoBuffer {
		where = k.Buffer.String()
	}
	if note != "" {
		note = "refused: " + note
	} else if k.Has(suricata.NeedsPacket) {
		note = "evaluated per packet"
	}
	fmt.Fprintf(b, "| %s | %s | %s | %s | %s |\n", name, strings.NewReplacer("|", `\|`).Replace(argument), where, k.Since, note)
}

func traits(info *suricata.BufferInfo) string {
	var out []string
	for _, t := range []struct {
		trait suricata.Trait
		name  string
	}{{suricata.Multi, "multi"}, {suricata.Packet, "packet"}, {suricata.Stream, "grows"}, {suricata.File, "file"}, {suricata.Lower, "lower case"}, {suricata.MD5, "MD5"}} {
		if info.Has(t.trait) {
			out = append(out, t.name)
		}
	}
	return strings.Join(out, ", ")
}

// TestTable: names are unique, and each entry is complete.
func TestTable(t *testing.T) {
	seen := map[string]bool{}
	for _, k := range suricata.Keywords() {
		for _, name := range append(k.Aliases, k.Name) {
			if seen[name] || name != strings.ToLower(name) {
				t.Errorf("%s is not unique or not in lower case", name)
			}
			seen[name] = true
			if got, ok := suricata.LookupKeyword(strings.ToUpper(name)); !ok || got.Name != k.Name {
				t.Errorf("%s is not found", name)
			}
		}
		needsBuffer := k.Kind == suricata.StickyBuffer || k.Kind == suricata.LegacyModifier
		if k.Kind.String() == "" || k.Since == "" || needsBuffer != (k.Buffer != suricata.NoBuffer) && k.Kind != suricata.BufferMatch {
			t.Errorf("%s is incomplete", k.Name)
		}
	}
	for i := 1; i < suricata.NumBuffers; i++ {
		b := suricata.Buffer(i)
		if k, ok := suricata.LookupKeyword(b.String()); !ok || k.Buffer != b || b.Info().Doc == "" {
			t.Errorf("buffer %s has no keyword of its name", b)
		}
	}
}
