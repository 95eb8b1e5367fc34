package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// banner is what `up` says when everything runs.
type banner struct {
	out          io.Writer
	data         string
	ready        time.Duration
	status       addresses
	password     string
	node         string
	sensors      []sensor
	agentProblem error
}

func (b *banner) print() {
	var text strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&text, format+"\n", args...) }
	line("")
	line("  console   %s", b.status.Console)
	if b.password != "" {
		line("  user      admin")
		line("  password  %s    (one-time: the first log-in replaces it)", b.password)
	}
	line("  nodes     connect to %s", b.status.Nodes)
	line("  data      %s", b.data)
	line("")
	b.watched(line)
	if os.Geteuid() != 0 {
		line("  not root: what needs privilege is not watched; start as root for all of it")
		line("")
	}
	line("ready after %.1f s. See alerts: hauberk alerts --follow%s. Ctrl-C stops everything and keeps the data.", b.ready.Seconds(), dataDirFlag(b.data))
	io.WriteString(b.out, text.String())
}

// watched prints what is watched by which method, and what is not and why.
func (b *banner) watched(line func(string, ...any)) {
	if b.agentProblem != nil {
		line("  this host is not watched: %v", b.agentProblem)
		line("")
		return
	}
	var active, missing []sensor
	for _, s := range b.sensors {
		if s.State == "active" {
			active = append(active, s)
		} else {
			missing = append(missing, s)
		}
	}
	for i, s := range active {
		title := ""
		if i == 0 {
			title = "watches"
		}
		line("  %-9s %-12s by %s", title, s.Name, s.Method)
	}
	for i, s := range missing {
		title := ""
		if i == 0 {
			title = "but not"
		}
		reason := s.Reason
		if reason == "" {
			reason = s.State
		}
		line("  %-9s %-12s by %s: %s", title, s.Name, s.Method, strings.ReplaceAll(reason, "\n", "; "))
	}
	line("")
}

// dataDirFlag is the flag the other commands need to find this platform.
func dataDirFlag(data string) string {
	if data == defaultDataDir() {
		return ""
	}
	return " --data-dir " + data
}
