package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// command is the API's Command.
type command struct {
	ID        string            `json:"id"`
	Name      string            `json:"name"`
	Selector  string            `json:"selector"`
	Arguments map[string]string `json:"arguments"`
	NotBefore instant           `json:"not_before"`
	Expires   instant           `json:"expires"`
	Author    string            `json:"author"`
	Reason    string            `json:"reason"`
	Results   []result          `json:"results"`
}

type result struct {
	Node    string  `json:"node"`
	Host    string  `json:"host"`
	State   string  `json:"state"`
	Percent uint32  `json:"percent"`
	Output  string  `json:"output"`
	Error   string  `json:"error"`
	Time    instant `json:"time"`
}

func (s *session) commandCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "command",
		Short: "Have nodes do something, and see what came of it",
		Long: `Have nodes do something. A command is one signed document for all nodes a selector
names (docs/formats/selector.md); each does it once, before it expires. What a
node can do, docs/guide/agent.md lists.`,
		Example: `  hauberk command run ping --selector all
  hauberk command run restart-collector --selector 'host=web-*' -m "after the upgrade"
  hauberk command show ID`,
	}
	c.AddCommand(s.commandRun(), s.commandList(), s.commandShow(), s.commandCancel())
	return c
}

func (s *session) commandRun() *cobra.Command {
	var selector, reason, life string
	var arguments map[string]string
	var wait time.Duration
	c := &cobra.Command{
		Use: "run NAME", Short: "Send a command and show the answers", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if selector == "" {
				return &usageError{"--selector: say which nodes, or `all`"}
			}
			d, err := parseSpan(life)
			if err != nil {
				return &usageError{"--expires " + err.Error()}
			}
			api, err := s.dial()
			if err != nil {
				return err
			}
			in := map[string]any{"name": args[0], "selector": selector, "arguments": arguments, "reason": reason, "seconds": int64(d / time.Second)}
			var sent command
			if err := api.call(c.Context(), http.MethodPost, "/api/v1/commands", nil, in, &sent); err != nil {
				return err
			}
			fmt.Fprintf(c.ErrOrStderr(), "command %s is on its way; waiting %s for answers (Ctrl-C ends only the waiting)\n", sent.ID, wait)
			ctx, stop := interruptible(c)
			defer stop()
			ctx, cancel := context.WithTimeout(ctx, wait)
			defer cancel()
			return s.awaitResults(ctx, c, api, sent.ID)
		},
	}
	f := c.Flags()
	f.StringVar(&selector, "selector", "", "which nodes")
	f.StringVarP(&reason, "reason", "m", "", "why, for the audit log")
	f.StringToStringVar(&arguments, "arg", nil, "argument of the command, k=v")
	f.StringVar(&life, "expires", "10m", "nodes that come later do not do it")
	f.DurationVar(&wait, "wait", 10*time.Second, "how long to show answers")
	return c
}

// awaitResults prints every result once, as it changes, until the context
// ends.
func (s *session) awaitResults(ctx context.Context, c *cobra.Command, api *client, id string) error {
	p := s.printer(c)
	seen := map[string]string{}
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		var now struct {
			Results []json.RawMessage `json:"results"`
		}
		err := api.call(ctx, http.MethodGet, "/api/v1/commands/"+url.PathEscape(id), nil, nil, &now)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		for _, raw := range now.Results {
			r, err := decode[result](raw)
			if err != nil {
				return err
			}
			if state := fmt.Sprint(r.State, r.Percent); seen[r.Node] != state {
				seen[r.Node] = state
				if err := s.showResult(p, raw, r); err != nil {
					return err
				}
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

func (s *session) showResult(p *printer, raw json.RawMessage, r result) error {
	if s.json {
		return p.jsonLine(raw)
	}
	line := r.State
	if r.State == "running" {
		line += fmt.Sprintf(" %d %%", r.Percent)
	}
	_, err := fmt.Fprintf(p.out, "%s  %s  %s\n", p.paint(bold, clean(r.Host)), p.paint(severityColor(r.State), line), clean(r.Error))
	if r.Output != "" {
		fmt.Fprint(p.out, "  "+strings.ReplaceAll(strings.TrimSuffix(cleanLines(r.Output), "\n"), "\n", "\n  ")+"\n")
	}
	return err
}

func (s *session) commandList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the commands that have not expired", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			t := &table{head: []string{"ID", "COMMAND", "SELECTOR", "BY", "EXPIRES", "REASON"}}
			p := s.printer(c)
			return s.list(c, "/api/v1/commands", nil, 0, t, "no commands", func(raw json.RawMessage) error {
				v, err := decode[command](raw)
				if err == nil {
					t.add(v.ID, strings.TrimSpace(v.Name+" "+pairs(v.Arguments)), v.Selector, v.Author, p.ago(v.Expires), v.Reason)
				}
				return err
			})
		},
	}
}

func (s *session) commandShow() *cobra.Command {
	return &cobra.Command{
		Use: "show ID", Short: "Show a command and its results", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return s.change(c, http.MethodGet, "/api/v1/commands/"+url.PathEscape(args[0]), nil, nil, func(p *printer, raw json.RawMessage) error {
				v, err := decode[command](raw)
				if err != nil {
					return err
				}
				fmt.Fprintf(p.out, "%s %s\n", p.paint(bold, clean(v.Name)), clean(pairs(v.Arguments)))
				p.fact("selector", v.Selector)
				p.fact("by", v.Author)
				p.fact("reason", v.Reason)
				p.fact("expires", v.Expires.clock())
				for _, r := range v.Results {
					if err := s.showResult(p, nil, r); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
}

func (s *session) commandCancel() *cobra.Command {
	return &cobra.Command{
		Use: "cancel ID", Short: "Take a command back: nodes that have not got it will not", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return s.change(c, http.MethodDelete, "/api/v1/commands/"+url.PathEscape(args[0]), nil, nil, said("%s is cancelled", args[0]))
		},
	}
}

func (s *session) stopCommand() *cobra.Command {
	return s.modeCommand("stop", true, `Stop nodes: their sensors end, the nodes stay connected and say so. It is state, not
an event: nodes that connect later obey it too, until `+"`hauberk resume`"+` with the same
selector.`)
}

func (s *session) resumeCommand() *cobra.Command {
	return s.modeCommand("resume", false, "Let stopped nodes run again: their sensors start, and nodes that connect later are no\nlonger told to stop.")
}

func (s *session) modeCommand(use string, stopped bool, long string) *cobra.Command {
	var reason string
	c := &cobra.Command{
		Use: use + " SELECTOR", Short: strings.Split(long, ":")[0], Long: long, Args: cobra.ExactArgs(1),
		Example: "  hauberk " + use + " all -m \"maintenance\"\n  hauberk " + use + " 'role=web'",
		RunE: func(c *cobra.Command, args []string) error {
			in := map[string]any{"selector": args[0], "stopped": stopped, "reason": reason}
			return s.change(c, http.MethodPut, "/api/v1/mode", nil, in, func(p *printer, raw json.RawMessage) error {
				m, err := decode[struct {
					Epoch uint64 `json:"epoch"`
				}](raw)
				if err == nil {
					_, err = fmt.Fprintf(p.out, "%s %s, epoch %d\n", use, clean(args[0]), m.Epoch)
				}
				return err
			})
		},
	}
	c.Flags().StringVarP(&reason, "reason", "m", "", "why")
	return c
}
