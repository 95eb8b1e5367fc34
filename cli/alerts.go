package cli

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// alert is the API's Alert, as far as it is printed.
type alert struct {
	ID             string        `json:"id"`
	RuleID         string        `json:"rule_id"`
	RuleName       string        `json:"rule_name"`
	Severity       string        `json:"severity"`
	State          string        `json:"state"`
	Count          uint64        `json:"count"`
	FirstSeen      instant       `json:"first_seen"`
	LastSeen       instant       `json:"last_seen"`
	Node           string        `json:"node"`
	Host           string        `json:"host"`
	Techniques     []string      `json:"techniques"`
	TechniqueNames []string      `json:"technique_names"`
	Tactics        []string      `json:"tactics"`
	Summary        string        `json:"summary"`
	Version        int64         `json:"version"`
	Description    string        `json:"description"`
	FalsePositives []string      `json:"false_positives"`
	References     []string      `json:"references"`
	Tree           []processNode `json:"tree"`
	Evidence       []evidence    `json:"evidence"`
	History        []change      `json:"history"`
}

type processNode struct {
	PID              uint32   `json:"pid"`
	Name             string   `json:"name"`
	Executable       string   `json:"executable"`
	Args             []string `json:"args"`
	WorkingDirectory string   `json:"working_directory"`
	UID              uint32   `json:"uid"`
	User             string   `json:"user"`
	ContainerID      string   `json:"container_id"`
}

type evidence struct {
	ID    string         `json:"id"`
	Time  instant        `json:"time"`
	Event map[string]any `json:"event"`
}

type change struct {
	Action  string  `json:"action"`
	By      string  `json:"by"`
	At      instant `json:"at"`
	Comment string  `json:"comment"`
}

func (s *session) alertsCommand() *cobra.Command {
	var follow bool
	var state, severity, node, rule, text, since string
	var limit int
	c := &cobra.Command{
		Use:   "alerts",
		Short: "List alerts, follow them as they come, and work on them",
		Long: `List alerts, newest first. With --follow, print each as it comes, with the tree
of the processes behind it, until Ctrl-C.`,
		Example: `  hauberk alerts                               the open ones
  hauberk alerts --follow                      as they come
  hauberk alerts --severity high --since 24h
  hauberk alerts --state all --json | jq -r .rule_name | sort | uniq -c
  hauberk alerts show ID                       everything about one
  hauberk alerts close ID --comment "my own test"
  hauberk alerts except ID --reason "nightly backup" --for 720h`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			query := url.Values{}
			set(query, "severity", severity)
			set(query, "node", node)
			set(query, "rule", rule)
			set(query, "text", text)
			if state != "all" {
				set(query, "state", state)
			}
			if err := s.setSince(query, since); err != nil {
				return err
			}
			if follow {
				return s.followAlerts(c, query)
			}
			t := &table{head: []string{"SEVERITY", "LAST SEEN", "COUNT", "HOST", "RULE", "WHAT", "STATE", "ID"}}
			p := s.printer(c)
			t.paint = func(column int, cell, padded string) string {
				if column == 0 {
					return p.paint(severityColor(cell), padded)
				}
				return padded
			}
			return s.list(c, "/api/v1/alerts", query, limit, t, "no alerts; `hauberk nodes` says what is watched", func(raw json.RawMessage) error {
				a, err := decode[alert](raw)
				if err != nil {
					return err
				}
				t.add(a.Severity, p.ago(a.LastSeen), fmt.Sprint(a.Count), a.Host, a.RuleName, short(a.Summary, 70), a.State, a.ID)
				return nil
			})
		},
	}
	f := c.Flags()
	f.BoolVarP(&follow, "follow", "f", false, "print alerts as they come, with their process tree")
	f.StringVar(&state, "state", "open,acknowledged", "open, acknowledged, closed (several by comma), or all")
	f.StringVar(&severity, "severity", "", "at least: informational, low, medium, high or critical")
	f.StringVar(&node, "node", "", "node id")
	f.StringVar(&rule, "rule", "", "rule id")
	f.StringVar(&text, "text", "", "text in rule name, summary or host")
	f.StringVar(&since, "since", "", "last seen within this time (1h, 7d) or after this instant (RFC 3339)")
	f.IntVar(&limit, "limit", 100, "at most so many, 0 for all")
	c.AddCommand(s.alertShow(), s.alertState("ack", "acknowledged", "Acknowledge alerts: somebody looks into them"),
		s.alertState("close", "closed", "Close alerts: nothing is left to do"),
		s.alertState("reopen", "open", "Open alerts again"), s.alertExcept())
	return c
}

func (s *session) followAlerts(c *cobra.Command, query url.Values) error {
	ctx, stop := interruptible(c)
	defer stop()
	api, err := s.dial()
	if err != nil {
		return err
	}
	p := s.printer(c)
	note := func(text string) { fmt.Fprintln(c.ErrOrStderr(), "hauberk:", text, "- trying again") }
	return api.follow(ctx, "/api/v1/alerts/live", query, note, func(raw json.RawMessage) error {
		a, err := decode[alert](raw)
		if err != nil {
			return err
		}
		query.Set("after", fmt.Sprint(a.Version)) // where to go on after a reconnect
		if s.json {
			return p.jsonLine(raw)
		}
		p.alertHead(a)
		p.tree(a.Tree)
		fmt.Fprintln(p.out)
		return nil
	})
}

// alertHead prints the first lines of an alert.
func (p *printer) alertHead(a alert) {
	repeats := ""
	if a.Count > 1 {
		repeats = fmt.Sprintf("  x%d", a.Count)
	}
	fmt.Fprintf(p.out, "%s  %s  %s  %s%s\n", p.paint(dim, a.LastSeen.clock()), p.paint(bold+";"+severityColor(a.Severity), strings.ToUpper(clean(a.Severity))),
		p.paint(bold, clean(a.RuleName)), p.paint(cyan, clean(a.Host)), repeats)
	if a.Summary != "" {
		fmt.Fprintln(p.out, "  "+clean(a.Summary))
	}
	fmt.Fprintln(p.out, "  "+p.paint(dim, clean(strings.Join(append(a.Techniques, a.ID), "  "))))
}

// tree prints processes, the oldest ancestor first, each deeper.
func (p *printer) tree(processes []processNode) {
	for i, n := range processes {
		branch := "  "
		if i > 0 {
			branch = "  " + strings.Repeat("   ", i-1) + "└─ "
		}
		command := strings.Join(n.Args, " ")
		if command == "" {
			command = n.Executable
		}
		if command == "" {
			command = n.Name
		}
		who := n.User
		if who == "" && n.UID == 0 {
			who = "root"
		} else if who == "" {
			who = fmt.Sprintf("uid %d", n.UID)
		}
		line := clean(short(command, 300))
		if i == len(processes)-1 {
			line = p.paint(bold, line)
		}
		fmt.Fprintf(p.out, "%s%s %s\n", branch, line, p.paint(dim, fmt.Sprintf("(%d, %s)", n.PID, clean(who))))
	}
}

// short cuts text for a table, at n runes.
func short(s string, n int) string {
	runes := []rune(s)
	if len(runes) <= n {
		return s
	}
	return string(runes[:n-1]) + "…"
}

func (s *session) alertShow() *cobra.Command {
	return &cobra.Command{
		Use:   "show ID",
		Short: "Show one alert with its process tree, evidence and history",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			api, err := s.dial()
			if err != nil {
				return err
			}
			var raw json.RawMessage
			if err := api.call(c.Context(), http.MethodGet, "/api/v1/alerts/"+url.PathEscape(args[0]), nil, nil, &raw); err != nil {
				return err
			}
			p := s.printer(c)
			if s.json {
				return p.jsonLine(raw)
			}
			a, err := decode[alert](raw)
			if err != nil {
				return err
			}
			p.alertDetail(a)
			return nil
		},
	}
}

func (p *printer) alertDetail(a alert) {
	p.alertHead(a)
	p.tree(a.Tree)
	p.section("what it is")
	p.fact("description", strings.TrimSpace(a.Description))
	p.fact("techniques", strings.Join(named(a.Techniques, a.TechniqueNames), ", "))
	p.fact("tactics", strings.Join(a.Tactics, ", "))
	p.fact("rule", a.RuleID)
	p.fact("harmless if", strings.Join(a.FalsePositives, "; "))
	p.fact("read", strings.Join(a.References, " "))
	p.section("when")
	p.fact("state", a.State)
	p.fact("first seen", a.FirstSeen.clock())
	p.fact("last seen", a.LastSeen.clock())
	p.fact("times", fmt.Sprint(a.Count))
	p.fact("node", a.Node)
	for _, h := range a.History {
		p.fact(h.At.clock(), strings.TrimSpace(h.Action+" by "+h.By+" "+h.Comment))
	}
	for _, e := range a.Evidence {
		p.section("evidence " + e.ID)
		for _, name := range sortedKeys(e.Event) {
			fmt.Fprintf(p.out, "  %-34s %s\n", clean(name), clean(fmt.Sprint(e.Event[name])))
		}
	}
}

// named joins each id with its name, where there is one.
func named(ids, names []string) []string {
	list := slices.Clone(ids)
	for i := range list {
		if i < len(names) && names[i] != "" {
			list[i] += " " + names[i]
		}
	}
	return list
}

func (p *printer) section(name string) {
	fmt.Fprintf(p.out, "\n%s\n", p.paint(bold, clean(name)))
}

// fact prints a name and its value, unless that is empty.
func (p *printer) fact(name, value string) {
	if value != "" {
		fmt.Fprintf(p.out, "  %-24s %s\n", clean(name), clean(value))
	}
}

func (s *session) alertState(use, state, what string) *cobra.Command {
	var comment string
	c := &cobra.Command{
		Use:   use + " ID...",
		Short: what,
		Args:  cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, ids []string) error {
			api, err := s.dial()
			if err != nil {
				return err
			}
			p := s.printer(c)
			for _, id := range ids {
				var raw json.RawMessage
				body := map[string]string{"state": state, "comment": comment}
				if err := api.call(c.Context(), http.MethodPost, "/api/v1/alerts/"+url.PathEscape(id)+"/state", nil, body, &raw); err != nil {
					return fmt.Errorf("alert %s: %w", clean(id), err)
				}
				if s.json {
					err = p.jsonLine(raw)
				} else {
					_, err = fmt.Fprintf(p.out, "%s is %s\n", clean(id), state)
				}
				if err != nil {
					return err
				}
			}
			return nil
		},
	}
	c.Flags().StringVarP(&comment, "comment", "m", "", "why, for whoever reads the history")
	return c
}

// exceptionFlags are the conditions of an exception.
type exceptionFlags struct {
	Executable  string            `json:"executable,omitempty"`
	Parent      string            `json:"parent,omitempty"`
	User        string            `json:"user,omitempty"`
	CommandLine string            `json:"command_line,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"`
	Tenant      string            `json:"tenant,omitempty"`
	Rule        string            `json:"rule,omitempty"`
	Reason      string            `json:"reason"`
	Seconds     int64             `json:"seconds"`

	life string
}

func (e *exceptionFlags) register(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&e.Executable, "executable", "", "only for this executable (glob: * and ?)")
	f.StringVar(&e.Parent, "parent", "", "only below this executable (glob)")
	f.StringVar(&e.User, "user", "", "only for this user (glob)")
	f.StringVar(&e.CommandLine, "command-line", "", "only for this command line (glob)")
	f.StringToStringVar(&e.Labels, "label", nil, "only on nodes with this label, k=v")
	f.StringVar(&e.life, "for", "", "how long (30d, 12h); without it, for ever")
	f.StringVarP(&e.Reason, "reason", "m", "", "why; whoever finds the exception later will ask")
	_ = c.MarkFlagRequired("reason") // fails only for a flag that does not exist
}

func (e *exceptionFlags) finish() error {
	if e.life == "" {
		return nil
	}
	d, err := parseSpan(e.life)
	if err != nil {
		return &usageError{"--for " + err.Error()}
	}
	e.Seconds = int64(d / time.Second)
	return nil
}

func (s *session) alertExcept() *cobra.Command {
	var e exceptionFlags
	c := &cobra.Command{
		Use:   "except ID",
		Short: "Make an exception of what caused an alert, and close the alert",
		Long: `Make an exception: the alert's rule is silent from now on for what the conditions
name, and the alert is closed. Without conditions they are taken from the alert:
its executable and its parent's.`,
		Example: `  hauberk alerts except ID --reason "our backup reads /etc/shadow" --for 90d
  hauberk alerts except ID --parent /usr/bin/ansible-playbook --reason "deployment"`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if err := e.finish(); err != nil {
				return err
			}
			return s.change(c, http.MethodPost, "/api/v1/alerts/"+url.PathEscape(args[0])+"/exception", nil, &e, func(p *printer, raw json.RawMessage) error {
				made, err := decode[exception](raw)
				if err == nil {
					_, err = fmt.Fprintf(p.out, "exception %s: %s\nthe alert is closed\n", made.ID, clean(made.conditions()))
				}
				return err
			})
		},
	}
	e.register(c)
	return c
}
