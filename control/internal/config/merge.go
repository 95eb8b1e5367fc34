// Package config keeps the centre's part of the nodes' configuration: scopes
// of partial YAML overrides, each with a selector and all its versions.
// Merging and choosing are pure; Store keeps them in etcd.
package config

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"sort"

	"go.yaml.in/yaml/v3"
)

// MaxBody bounds the YAML of one version, in bytes.
const MaxBody = 128 << 10

// parse reads a partial override: a mapping, or nothing. Anchors and tags
// are refused: who reads an override shall see what it says.
func parse(body []byte) (*yaml.Node, error) {
	if len(body) > MaxBody {
		return nil, fmt.Errorf("config has %d bytes, limit %d", len(body), MaxBody)
	}
	var document yaml.Node
	d := yaml.NewDecoder(bytes.NewReader(body))
	if err := d.Decode(&document); err != nil {
		if len(bytes.TrimSpace(body)) == 0 || document.Kind == 0 && onlyComments(body) {
			return &yaml.Node{Kind: yaml.MappingNode}, nil
		}
		return nil, fmt.Errorf("config is no YAML: %w", err)
	}
	var second yaml.Node
	if d.Decode(&second) == nil {
		return nil, errors.New("config holds more than one YAML document")
	}
	root := document.Content[0]
	if root.Kind == yaml.ScalarNode && root.ShortTag() == "!!null" {
		return &yaml.Node{Kind: yaml.MappingNode}, nil
	}
	if root.Kind != yaml.MappingNode {
		return nil, fmt.Errorf("config, line %d: want keys and values, not a list or a single value", root.Line)
	}
	if err := checkNode(root); err != nil {
		return nil, err
	}
	return root, nil
}

func onlyComments(body []byte) bool {
	for line := range bytes.Lines(body) {
		if line = bytes.TrimSpace(line); len(line) > 0 && line[0] != '#' {
			return false
		}
	}
	return true
}

func checkNode(n *yaml.Node) error {
	if n.Kind == yaml.AliasNode || n.Anchor != "" {
		return fmt.Errorf("config, line %d: anchors and aliases are not taken; write the value out", n.Line)
	}
	if n.Style&yaml.TaggedStyle != 0 {
		return fmt.Errorf("config, line %d: tag %s is not taken", n.Line, n.Tag)
	}
	if n.Kind == yaml.MappingNode {
		seen := map[string]int{}
		for i := 0; i < len(n.Content); i += 2 {
			key := n.Content[i]
			if key.Kind != yaml.ScalarNode || key.Value == "<<" {
				return fmt.Errorf("config, line %d: a key must be plain text", key.Line)
			}
			if line, ok := seen[key.Value]; ok {
				return fmt.Errorf("config, line %d: key %q was already given on line %d", key.Line, key.Value, line)
			}
			seen[key.Value] = key.Line
		}
	}
	for _, kid := range n.Content {
		if err := checkNode(kid); err != nil {
			return err
		}
	}
	return nil
}

// merge lays over onto base: mappings key by key, everything else replaces; a
// null removes what is below it, so that the node's own default shows again.
func merge(base, over *yaml.Node) *yaml.Node {
	out := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	keys := map[string][2]*yaml.Node{}
	for layer, n := range []*yaml.Node{base, over} {
		for i := 0; i < len(n.Content); i += 2 {
			pair := keys[n.Content[i].Value]
			pair[layer] = n.Content[i+1]
			keys[n.Content[i].Value] = pair
		}
	}
	names := make([]string, 0, len(keys))
	for name := range keys {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		value := keys[name][1]
		if value == nil {
			value = keys[name][0]
		}
		if value.ShortTag() == "!!null" {
			continue
		}
		if value.Kind == yaml.MappingNode {
			below := keys[name][0]
			if below == nil || below == value || below.Kind != yaml.MappingNode {
				below = &yaml.Node{Kind: yaml.MappingNode}
			}
			value = merge(below, value)
		} else {
			value = plain(value)
		}
		out.Content = append(out.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: name}, value)
	}
	return out
}

// plain copies a node without comments and layout, so that equal configs
// print alike.
func plain(n *yaml.Node) *yaml.Node {
	out := &yaml.Node{Kind: n.Kind, Tag: n.ShortTag(), Value: n.Value}
	for _, kid := range n.Content {
		out.Content = append(out.Content, plain(kid))
	}
	return out
}

// Merge returns the overrides laid over each other, the last on top, as
// canonical YAML: keys sorted, no comments. Empty if nothing is left.
func Merge(bodies ...[]byte) ([]byte, error) {
	out := &yaml.Node{Kind: yaml.MappingNode}
	for _, body := range bodies {
		over, err := parse(body)
		if err != nil {
			return nil, err
		}
		out = merge(out, over)
	}
	if len(out.Content) == 0 {
		return nil, nil
	}
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(out); err != nil {
		return nil, fmt.Errorf("print merged config: %w", err)
	}
	return b.Bytes(), nil
}

// Hash returns the hexadecimal SHA-256 of a body.
func Hash(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}
