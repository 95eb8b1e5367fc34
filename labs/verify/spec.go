package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// A test is a folder with a test.yaml.
type test struct {
	name string // its path below the folder of tests
	dir  string
	spec map[string]any
	err  error // of reading the spec
}

// find gives the tests with one of the words in their name, all without words.
func find(root string, words []string) ([]test, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return nil, err
	}
	var tests []test
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.Name() != "test.yaml" {
			return err
		}
		dir := filepath.Dir(path)
		name, err := filepath.Rel(root, dir)
		if err != nil {
			return err
		}
		if len(words) > 0 && !slices.ContainsFunc(words, func(w string) bool { return strings.Contains(name, w) }) {
			return nil
		}
		t := test{name: name, dir: dir}
		t.spec, t.err = readSpec(path)
		tests = append(tests, t)
		return nil
	})
	return tests, err
}

func readSpec(path string) (map[string]any, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return parseSpec(text)
}

func parseSpec(text []byte) (map[string]any, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return nil, err
	}
	if len(doc.Content) == 0 {
		return map[string]any{}, nil
	}
	v, err := resolve(doc.Content[0], 0)
	if err != nil {
		return nil, err
	}
	if v == nil {
		return map[string]any{}, nil
	}
	spec, ok := v.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("want names and values, not %T", v)
	}
	return spec, nil
}

// maxNesting bounds a spec, and aliases that contain themselves.
const maxNesting = 32

// resolve gives a node's value with the types of YAML 1.1, which upstream's
// runner reads: yes and off are booleans. Dates stay text.
func resolve(n *yaml.Node, depth int) (any, error) {
	if depth > maxNesting {
		return nil, fmt.Errorf("line %d: nested deeper than %d", n.Line, maxNesting)
	}
	switch n.Kind {
	case yaml.AliasNode:
		return resolve(n.Alias, depth+1)
	case yaml.SequenceNode:
		list := make([]any, 0, len(n.Content))
		for _, c := range n.Content {
			v, err := resolve(c, depth+1)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		return list, nil
	case yaml.MappingNode:
		m := make(map[string]any)
		for i := 0; i+1 < len(n.Content); i += 2 {
			v, err := resolve(n.Content[i+1], depth+1)
			if err != nil {
				return nil, err
			}
			m[n.Content[i].Value] = v
		}
		return m, nil
	}
	if n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) != 0 || n.Tag == "!!str" && n.Style != 0 {
		return n.Value, nil
	}
	return scalar(n.Value), nil
}

// scalar is a value written without quotes: nil, bool, int64, float64 or string.
func scalar(s string) any {
	switch s {
	case "", "~", "null", "Null", "NULL":
		return nil
	case "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON":
		return true
	case "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF":
		return false
	}
	if v, err := strconv.ParseInt(strings.ReplaceAll(s, "_", ""), 0, 64); err == nil && s[0] != '_' {
		return v
	}
	if decimal.MatchString(s) {
		if v, err := strconv.ParseFloat(s, 64); err == nil {
			return v
		}
	}
	return s
}

var decimal = regexp.MustCompile(`^[-+]?[0-9]+\.[0-9]*([eE][-+][0-9]+)?$`)

// protocols are the families that the table tells apart.
var protocols = strings.Fields(`http http1 http2 dns tls smtp smb dcerpc ftp ftp-data ftp_data ssh quic sip mqtt dhcp ntp snmp
	ike krb5 ldap nfs pgsql rdp rfb dnp3 modbus enip tftp telnet pop3 imap websocket doh2 mdns llmnr arp bittorrent_dht sdp igmp`)

var ruleHeader = regexp.MustCompile(`(?m)^\s*(?:alert|drop|pass|reject\w*|config)\s+([a-z0-9-]+)\s`)

// maxFamilies is how many protocols one test can be about.
const maxFamilies = 3

// families are the protocols that a test's rules and checks name.
func (t test) families() []string {
	set := make(map[string]bool)
	note := func(name string) {
		switch {
		case !slices.Contains(protocols, name):
		case name == "http1":
			set["http"] = true
		case name == "ftp-data" || name == "ftp_data":
			set["ftp"] = true
		default:
			set[name] = true
		}
	}
	rules, _ := filepath.Glob(filepath.Join(t.dir, "*.rules")) // the pattern is good
	for _, file := range rules {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // said when the sensor reads it
		}
		for _, m := range ruleHeader.FindAllSubmatch(text, -1) {
			note(string(m[1]))
		}
	}
	for _, c := range list(t.spec["checks"]) {
		filter, _ := object(c)["filter"].(map[string]any)
		for _, key := range []string{"event_type", "app_proto", "alert.app_proto"} {
			if name, ok := object(filter["match"])[key].(string); ok {
				note(name)
			}
		}
	}
	names := make([]string, 0, len(set))
	for name := range set {
		names = append(names, name)
	}
	switch {
	case len(names) == 0:
		names = append(names, "packet, flow, stream")
	case len(names) > maxFamilies:
		names = []string{"many protocols"} // a set of rules, not a test of each
	}
	slices.Sort(names)
	return names
}

// list and object are v as what it should be, empty if it is something else.
func list(v any) []any {
	l, _ := v.([]any)
	return l
}

func object(v any) map[string]any {
	m, _ := v.(map[string]any)
	return m
}
