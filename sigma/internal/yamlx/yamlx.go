// Package yamlx reads multi-document YAML files one document at a time, so
// that an error in one leaves the others alone, and keeps positions that
// count from the start of the file.
package yamlx

import (
	"bytes"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// MaxDepth bounds the nesting of a document after its aliases are followed.
const MaxDepth = 32

// MaxNodes bounds the size of a document after its aliases are followed, which
// disarms alias bombs.
const MaxNodes = 100_000

// Document is one document of a file.
type Document struct {
	Root *yaml.Node // nil when Err is set; aliases replaced by what they mean
	Line int        // of its first content, from 1
	Err  *Error
}

// Error is a syntax error and its place.
type Error struct {
	Line   int
	Column int // 0 when unknown
	Reason string
}

// Error gives the reason without the place.
func (e *Error) Error() string { return e.Reason }

// Split reads all documents; empty ones are left out.
func Split(data []byte) []Document {
	var docs []Document
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	for offset := 0; len(data) > 0; {
		piece, rest, lines := cut(data)
		if d, ok := read(piece, offset); ok {
			docs = append(docs, d)
		}
		data, offset = rest, offset+lines
	}
	return docs
}

// cut splits at the next line that begins a document ("---" in column 1) and
// counts the lines consumed.
func cut(data []byte) (piece, rest []byte, lines int) {
	for at := 0; at < len(data); {
		end := bytes.IndexByte(data[at:], '\n')
		next := len(data)
		if end >= 0 {
			next = at + end + 1
		}
		line := data[at:next]
		lines++
		if bytes.HasPrefix(line, []byte("---")) && (len(line) == 3 || strings.IndexByte(" \t\r\n", line[3]) >= 0) {
			return data[:at], data[next:], lines
		}
		at = next
	}
	return data, nil, lines
}

var lineInError = regexp.MustCompile(`^yaml: (?:line (\d+): )?(?s:(.*))$`)

// fromParser tells the messages of yaml.v3's parser, whose lines count from 0,
// from those of its scanner, whose lines count from 1.
var fromParser = regexp.MustCompile(`^did not find expected (node content|<|'-' indicator|key|',' or )`)

func read(piece []byte, offset int) (Document, bool) {
	var root yaml.Node
	dec := yaml.NewDecoder(bytes.NewReader(piece))
	err := dec.Decode(&root)
	if err == io.EOF {
		return Document{}, false
	}
	if err != nil {
		e := &Error{Line: offset + 1, Reason: "yaml: " + err.Error()}
		if m := lineInError.FindStringSubmatch(err.Error()); m != nil {
			if n, convErr := strconv.Atoi(m[1]); convErr == nil {
				e.Line = offset + n
				if fromParser.MatchString(m[2]) {
					e.Line++
				}
				// The end of the document is told as the line behind it.
				e.Line = min(e.Line, offset+bytes.Count(bytes.TrimRight(piece, "\r\n"), []byte("\n"))+1)
			}
			e.Reason = "yaml: " + m[2]
		}
		return Document{Line: offset + 1, Err: e}, true
	}
	if err := dec.Decode(new(yaml.Node)); err != io.EOF {
		return Document{Line: offset + 1, Err: &Error{Line: offset + root.Line, Reason: "yaml: a second document without a line ---"}}, true
	}
	body := &root
	if root.Kind == yaml.DocumentNode {
		body = root.Content[0]
	}
	w := walker{offset: offset, left: MaxNodes}
	clean, werr := w.clean(body, 0)
	if werr != nil {
		return Document{Line: werr.Line, Err: werr}, true
	}
	return Document{Root: clean, Line: clean.Line}, true
}

type walker struct {
	offset int
	left   int
}

func (w *walker) fail(n *yaml.Node, format string, args ...any) *Error {
	return &Error{n.Line + w.offset, n.Column, fmt.Sprintf(format, args...)}
}

// clean copies a tree with aliases replaced, positions made absolute, and
// repeated keys refused.
func (w *walker) clean(n *yaml.Node, depth int) (*yaml.Node, *Error) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if w.left--; w.left < 0 {
		return nil, w.fail(n, "document larger than %d nodes", MaxNodes)
	}
	if depth > MaxDepth {
		return nil, w.fail(n, "nested deeper than %d", MaxDepth)
	}
	out := &yaml.Node{Kind: n.Kind, Style: n.Style, Tag: n.ShortTag(), Value: n.Value, Line: n.Line + w.offset, Column: n.Column}
	for _, kid := range n.Content {
		c, err := w.clean(kid, depth+1)
		if err != nil {
			return nil, err
		}
		out.Content = append(out.Content, c)
	}
	if n.Kind == yaml.MappingNode {
		seen := make(map[string]bool, len(out.Content)/2)
		for i := 0; i+1 < len(out.Content); i += 2 {
			k := out.Content[i]
			if k.Kind != yaml.ScalarNode {
				return nil, &Error{k.Line, k.Column, "a key must be a plain value"}
			}
			if seen[k.Value] {
				return nil, &Error{k.Line, k.Column, fmt.Sprintf("key %q is given twice", k.Value)}
			}
			seen[k.Value] = true
		}
	}
	return out, nil
}
