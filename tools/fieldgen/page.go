package main

import (
	"bytes"
	"fmt"
	"strings"
)

// page gives docs/formats/fields.md.
func (t *table) page() []byte {
	var b bytes.Buffer
	b.WriteString(`# Fields

Made by tools/fieldgen from the comments of proto/event.proto; change them there and run ` + "`make generate`" + `.

These are the names that search, rules, exceptions and JSON use: Elastic Common Schema 9 where it has one, ` + "`hauberk.*`" + ` where it
has none. The OCSF path is where the export puts the value. A field without a value is absent; a number 0, an empty text and a false
bool are absence, except where the note says "0 counts". Where several protobuf fields share one name, the first one listed
that has a value wins: what the body says goes before what the process says. Labels have free names: ` + "`labels.<name>`" + `.

| ECS name | kind | OCSF path | from | note |
|---|---|---|---|---|
`)
	for _, f := range t.fields {
		var from, paths []string
		zero := false
		for _, s := range f.sources {
			from = append(from, s.place)
			paths = appendNew(paths, s.ocsf)
			zero = zero || s.opts.zero
		}
		if f.derived != nil {
			from = append(from, "derived")
			paths = appendNew(paths, f.derived.ocsf)
		}
		note := strings.Join(f.notes, "; ")
		if zero {
			note = strings.TrimPrefix(note+"; 0 counts", "; ")
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", f.ecs, strings.ToLower(f.kind), strings.Join(paths, ", "),
			strings.Join(from, ", "), strings.ReplaceAll(note, "|", "\\|"))
	}
	return b.Bytes()
}

func appendNew(list []string, s string) []string {
	for _, old := range list {
		if old == s {
			return list
		}
	}
	return append(list, s)
}
