package sigmatest

import (
	"reflect"
	"testing"

	"github.com/hauberk/hauberk/sigma"
)

const rule = `
title: t
id: one
logsource: {category: process_creation, product: linux}
detection:
    s:
        Image|endswith: /bash
        CommandLine|contains: [download, reverse]
    r: {CommandLine|re: 'ab+c'}
    condition: s or r
`

func setup(t *testing.T) ([]*sigma.Rule, *sigma.Schema, []sigma.Class) {
	t.Helper()
	rules, errs := sigma.Parse("t.yml", []byte(rule))
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	schema, err := sigma.DefaultMapping().Schema()
	if err != nil {
		t.Fatal(err)
	}
	return rules, schema, []sigma.Class{{Name: "exec", Sources: []sigma.LogSource{rules[0].LogSource}}}
}

// TestDeterministic: the same seed gives the same events and rules.
func TestDeterministic(t *testing.T) {
	rules, schema, classes := setup(t)
	a := NewGenerator(5, rules, schema, classes, sigma.DefaultMapping())
	b := NewGenerator(5, rules, schema, classes, sigma.DefaultMapping())
	for range 100 {
		x, _ := a.Next()
		y, _ := b.Next()
		if !reflect.DeepEqual(x, y) {
			t.Fatal("events differ")
		}
	}
	if !reflect.DeepEqual(Expand(5, rules, 20), Expand(5, rules, 20)) {
		t.Error("expanded sets differ")
	}
	if !reflect.DeepEqual(Typical(5, schema, 10), Typical(5, schema, 10)) {
		t.Error("typical events differ")
	}
}

// TestExpand: variants compile, are told apart, and leave the original alone.
func TestExpand(t *testing.T) {
	rules, schema, classes := setup(t)
	before := rules[0].Detection.Searches[0].Groups[0].Items[1].Values[0].Text
	set, errs, err := sigma.Compile(Expand(1, rules, 50), sigma.Options{Schema: schema, Classes: classes})
	if err != nil || len(errs) > 0 || set.Len() != 50 {
		t.Fatalf("%d rules, %v %v", set.Len(), errs, err)
	}
	if after := rules[0].Detection.Searches[0].Groups[0].Items[1].Values[0].Text; after != before {
		t.Errorf("the original has become %q", after)
	}
	texts := map[string]bool{}
	for id := range sigma.RuleID(50) {
		texts[set.Rule(id).Detection.Searches[0].Groups[0].Items[1].Values[0].Text] = true
	}
	if len(texts) < 15 {
		t.Errorf("only %d different values in 50 variants", len(texts))
	}
}
