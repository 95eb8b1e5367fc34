// Package yamlconf reads suricata.yaml the way Suricata does: not as typed
// YAML but as a tree of named nodes whose values are all text. The words yes,
// on and true are one value to a getter and stay what was written to a dump;
// an element of a list is a node named by its index, and has the name of its
// first key as its value, so that outputs.1.eve-log.enabled is a path.
//
//	tree, err := yamlconf.Load(path)        file and what it includes
//	tree.Set("stream.midstream=true")       as --set does
//	tree.Bool("stream.midstream", false)    typed, with a default
//	tree.Dump(w)                            as --dump-config prints
package yamlconf

import (
	"bufio"
	"fmt"
	"io"
	"strings"
)

// A Node is a place of the configuration. Its children are in the order of
// the file.
type Node struct {
	Name  string
	Value string
	// Null says that the node has children or nothing, and no value of its own.
	Null bool
	// List says that the children are the elements of a list.
	List     bool
	Children []*Node
	// File and Line say where it was written; Line is 0 for what --set gave.
	File string
	Line int
}

// A Warning is something odd that stops nobody.
type Warning struct {
	File string
	Line int
	Text string
}

func (w Warning) String() string { return fmt.Sprintf("%s:%d: %s", w.File, w.Line, w.Text) }

// A Tree is a whole configuration.
type Tree struct {
	root     Node
	Warnings []Warning
}

// Child is the child of that name, or nil. A nil node has no children.
func (n *Node) Child(name string) *Node {
	if n == nil {
		return nil
	}
	for _, c := range n.Children {
		if c.Name == name {
			return c
		}
	}
	return nil
}

// child is the child of that name, made if it is not there.
func (n *Node) child(name string) *Node {
	if c := n.Child(name); c != nil {
		return c
	}
	c := &Node{Name: name, Null: true}
	n.Children = append(n.Children, c)
	return c
}

// Lookup follows a dotted path below n, or gives nil.
func (n *Node) Lookup(path string) *Node {
	for name := range strings.SplitSeq(path, ".") {
		n = n.Child(name)
	}
	return n
}

// Node is the node at a dotted path, or nil.
func (t *Tree) Node(path string) *Node { return t.root.Lookup(path) }

// Set applies the argument of --set: a dotted path, "=", and a value. An
// element of a list is named by its index, as .N or as [N]; what is not there
// is made.
func (t *Tree) Set(assignment string) error {
	path, value, ok := strings.Cut(assignment, "=")
	path = strings.TrimSpace(path)
	if !ok || path == "" {
		return fmt.Errorf("set %q: want name=value", assignment)
	}
	n := &t.root
	for name := range strings.SplitSeq(indexes.Replace(path), ".") {
		if name == "" {
			return fmt.Errorf("set %q: a part of the name is empty", assignment)
		}
		n = n.child(name)
	}
	n.Value, n.Null, n.File, n.Line = strings.TrimLeft(value, " \t"), false, "--set", 0
	return nil
}

// indexes turns name[3] into name.3.
var indexes = strings.NewReplacer("[", ".", "]", "")

// Dump writes a line for each node, parents first: its path and its value, or
// (null) where it has none.
func (t *Tree) Dump(w io.Writer) error {
	b := bufio.NewWriter(w)
	dump(b, "", &t.root)
	return b.Flush()
}

func dump(b *bufio.Writer, prefix string, n *Node) {
	for _, c := range n.Children {
		path := prefix + c.Name
		value := c.Value
		if c.Null {
			value = "(null)"
		}
		fmt.Fprintf(b, "%s = %s\n", path, value)
		dump(b, path+".", c)
	}
}
