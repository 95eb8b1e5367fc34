package yamlconf

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

const (
	// maxDepth bounds nesting, with that of includes: Suricata's own limit.
	maxDepth = 128
	// maxNodes bounds what aliases can blow a file up to.
	maxNodes = 1 << 20
)

// Load reads a file and what it includes. A relative include is looked for
// beside the file that the tree began with.
func Load(path string) (*Tree, error) {
	t := &Tree{root: Node{Null: true}}
	l := loader{tree: t, dir: filepath.Dir(path)}
	if err := l.file(&t.root, path, 0); err != nil {
		return nil, err
	}
	return t, nil
}

// Parse reads one document that includes nothing.
func Parse(name string, text []byte) (*Tree, error) {
	t := &Tree{root: Node{Null: true}}
	l := loader{tree: t}
	if err := l.text(&t.root, name, text, 0); err != nil {
		return nil, err
	}
	return t, nil
}

// A loader carries what one load has seen.
type loader struct {
	tree  *Tree
	dir   string // where includes are looked for; none if empty
	nodes int
}

func (l *loader) file(into *Node, path string, depth int) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read configuration: %w", err)
	}
	return l.text(into, path, text, depth)
}

func (l *loader) text(into *Node, name string, text []byte, depth int) error {
	if !strings.HasPrefix(string(text), "%YAML 1.1") {
		return fmt.Errorf("read %s: the first line must be %%YAML 1.1", name)
	}
	var doc yaml.Node
	err := yaml.Unmarshal(text, &doc)
	if errors.Is(err, io.EOF) || err == nil && len(doc.Content) == 0 {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	top := doc.Content[0]
	if top.Kind == yaml.ScalarNode && top.Value == "" {
		return nil
	}
	if top.Kind != yaml.MappingNode {
		return fmt.Errorf("read %s: line %d: want names and values", name, top.Line)
	}
	return l.mapping(into, name, top, depth)
}

// mapping adds the keys of a mapping to a node. A key that comes again wins
// over the first, and is warned of; dots in a key are a path.
func (l *loader) mapping(into *Node, file string, y *yaml.Node, depth int) error {
	seen := make(map[string]int)
	for i := 0; i+1 < len(y.Content); i += 2 {
		key, val := y.Content[i], y.Content[i+1]
		if key.Kind != yaml.ScalarNode {
			return fmt.Errorf("read %s: line %d: a name must be plain text", file, key.Line)
		}
		if key.Value == "include" && key.Style == 0 {
			if err := l.include(into, file, val, depth); err != nil {
				return err
			}
			continue
		}
		if first, again := seen[key.Value]; again {
			l.warn(file, key.Line, fmt.Sprintf("%q was given in line %d already: this one counts", key.Value, first))
		}
		seen[key.Value] = key.Line
		n := into
		for part := range strings.SplitSeq(key.Value, ".") {
			n = n.child(l.name(n, file, key.Line, part))
		}
		*n = Node{Name: n.Name, Null: true, File: file, Line: key.Line}
		if err := l.value(n, file, val, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// name is a name with the dashes that old files wrote as underscores. Variables
// keep theirs.
func (l *loader) name(parent *Node, file string, line int, name string) string {
	if parent.Name == "address-groups" || parent.Name == "port-groups" || !strings.Contains(name, "_") {
		return name
	}
	dashed := strings.ReplaceAll(name, "_", "-")
	l.warn(file, line, fmt.Sprintf("%q is read as %q", name, dashed))
	return dashed
}

func (l *loader) value(n *Node, file string, y *yaml.Node, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("read %s: line %d: nested deeper than %d", file, y.Line, maxDepth)
	}
	if l.nodes++; l.nodes > maxNodes {
		return fmt.Errorf("read %s: line %d: more than %d values", file, y.Line, maxNodes)
	}
	switch y.Kind {
	case yaml.AliasNode:
		return l.value(n, file, y.Alias, depth+1)
	case yaml.MappingNode:
		return l.mapping(n, file, y, depth)
	case yaml.SequenceNode:
		return l.list(n, file, y, depth)
	}
	if y.Tag == "!include" {
		return l.load(n, file, y, depth)
	}
	n.Value, n.Null = y.Value, false
	return nil
}

func (l *loader) list(n *Node, file string, y *yaml.Node, depth int) error {
	n.List = true
	for i, item := range y.Content {
		e := &Node{Name: strconv.Itoa(i), Null: true, File: file, Line: item.Line}
		n.Children = append(n.Children, e)
		if err := l.value(e, file, item, depth+1); err != nil {
			return err
		}
		if e.Null && !e.List && len(e.Children) > 0 {
			e.Value, e.Null = e.Children[0].Name, false
		}
	}
	return nil
}

// include adds the names of one file or of a list of them to a node.
func (l *loader) include(into *Node, file string, y *yaml.Node, depth int) error {
	files := []*yaml.Node{y}
	if y.Kind == yaml.SequenceNode {
		files = y.Content
	}
	for _, f := range files {
		if f.Kind != yaml.ScalarNode || f.Value == "" {
			return fmt.Errorf("read %s: line %d: include wants the name of a file", file, f.Line)
		}
		if err := l.load(into, file, f, depth); err != nil {
			return err
		}
	}
	return nil
}

func (l *loader) load(into *Node, file string, y *yaml.Node, depth int) error {
	if l.dir == "" {
		return fmt.Errorf("read %s: line %d: nothing can be included here", file, y.Line)
	}
	if depth >= maxDepth {
		return fmt.Errorf("read %s: line %d: files include each other", file, y.Line)
	}
	path := y.Value
	if !filepath.IsAbs(path) {
		path = filepath.Join(l.dir, path)
	}
	if err := l.file(into, path, depth+1); err != nil {
		return fmt.Errorf("read %s: line %d: include: %w", file, y.Line, err)
	}
	return nil
}

func (l *loader) warn(file string, line int, text string) {
	l.tree.Warnings = append(l.tree.Warnings, Warning{file, line, text})
}
