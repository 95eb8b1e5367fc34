package cli

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"
)

// node is the API's Node, as far as it is printed.
type node struct {
	ID       string            `json:"id"`
	Host     string            `json:"host"`
	Kind     string            `json:"kind"`
	Tenant   string            `json:"tenant"`
	Labels   map[string]string `json:"labels"`
	State    string            `json:"state"`
	Since    instant           `json:"since"`
	Heard    instant           `json:"heard"`
	Gateway  string            `json:"gateway"`
	Address  string            `json:"address"`
	Reason   string            `json:"reason"`
	Version  string            `json:"version"`
	Mode     string            `json:"mode"`
	OS       string            `json:"os"`
	Kernel   string            `json:"kernel"`
	Arch     string            `json:"arch"`
	Enrolled instant           `json:"enrolled"`
	Revoked  bool              `json:"revoked"`
	Config   nodeConfig        `json:"config"`
	Sensors  []sensor          `json:"sensors"`
	Counters []counter         `json:"counters"`
}

type nodeConfig struct {
	Version uint64 `json:"version"`
	Hash    string `json:"hash"`
	Error   string `json:"error"`
}

type sensor struct {
	Name   string `json:"name"`
	Method string `json:"method"`
	State  string `json:"state"`
	Reason string `json:"reason"`
}

type counter struct {
	Name  string `json:"name"`
	Label string `json:"label"`
	Value uint64 `json:"value"`
}

func (s *session) nodesCommand() *cobra.Command {
	var tenant, state string
	c := &cobra.Command{
		Use:   "nodes",
		Short: "List the machines that joined, and what watches them",
		Example: `  hauberk nodes
  hauberk nodes show ID                 sensors, counters, labels
  hauberk nodes label ID env=prod role=web
  hauberk nodes revoke ID               it may never come back`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			query := url.Values{}
			set(query, "tenant", tenant)
			set(query, "state", state)
			t := &table{head: []string{"HOST", "STATE", "HEARD", "KIND", "WATCHES", "VERSION", "LABELS", "ID"}}
			p := s.printer(c)
			t.paint = func(column int, cell, padded string) string {
				if column == 1 {
					return p.paint(severityColor(cell), padded)
				}
				return padded
			}
			return s.list(c, "/api/v1/nodes", query, 0, t, "no nodes; `hauberk token create` makes a token to join with", func(raw json.RawMessage) error {
				n, err := decode[node](raw)
				if err != nil {
					return err
				}
				t.add(n.Host, n.word(), p.ago(n.Heard), n.Kind, n.watches(), n.Version, pairs(n.Labels), n.ID)
				return nil
			})
		},
	}
	c.Flags().StringVar(&tenant, "tenant", "", "only this tenant's")
	c.Flags().StringVar(&state, "state", "", "only online, offline or unknown")
	c.AddCommand(s.nodeShow(), s.nodeLabel(), s.nodeRevoke())
	return c
}

// word is the node's state in one word.
func (n node) word() string {
	switch {
	case n.Revoked:
		return "revoked"
	case n.State == "online" && n.Mode != "" && n.Mode != "run":
		return n.Mode
	}
	return n.State
}

// watches names the active sensors, and how many are not. A node that is
// stopped or away watches nothing, or nothing that we would hear of.
func (n node) watches() string {
	if word := n.word(); word == "stopped" || word == "offline" {
		return "-"
	}
	var active []string
	missing := 0
	for _, s := range n.Sensors {
		if s.State == "active" {
			active = append(active, s.Name)
		} else {
			missing++
		}
	}
	text := strings.Join(active, ",")
	if missing > 0 {
		text += fmt.Sprintf(" (%d not)", missing)
	}
	return text
}

func (s *session) nodeShow() *cobra.Command {
	return &cobra.Command{
		Use:   "show ID",
		Short: "Show one machine: what is watched by which method, counters, versions",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return s.change(c, http.MethodGet, "/api/v1/nodes/"+url.PathEscape(args[0]), nil, nil, func(p *printer, raw json.RawMessage) error {
				n, err := decode[node](raw)
				if err != nil {
					return err
				}
				return p.node(n)
			})
		},
	}
}

func (p *printer) node(n node) error {
	fmt.Fprintf(p.out, "%s  %s\n", p.paint(bold, clean(n.Host)), p.paint(severityColor(n.State), clean(n.word())))
	p.fact("id", n.ID)
	p.fact("kind", n.Kind)
	p.fact("tenant", n.Tenant)
	p.fact("labels", pairs(n.Labels))
	p.fact("why", n.Reason)
	p.fact("since", n.Since.clock())
	p.fact("heard", p.ago(n.Heard))
	p.fact("address", n.Address)
	p.fact("gateway", n.Gateway)
	p.fact("version", n.Version)
	p.fact("system", strings.TrimSpace(n.OS+", "+n.Kernel+" "+n.Arch))
	p.fact("enrolled", n.Enrolled.clock())
	if n.Config.Version > 0 {
		p.fact("config version", fmt.Sprint(n.Config.Version))
	}
	p.fact("config refused", n.Config.Error)
	p.section("watches")
	t := &table{head: []string{"  WHAT", "METHOD", "STATE", "WHY NOT"}}
	t.paint = func(column int, cell, padded string) string {
		if column == 2 {
			return p.paint(severityColor(cell), padded)
		}
		return padded
	}
	for _, s := range n.Sensors {
		t.add("  "+s.Name, s.Method, s.State, s.Reason)
	}
	if err := p.table(t); err != nil {
		return err
	}
	if len(n.Counters) > 0 {
		p.section("counters")
		for _, c := range n.Counters {
			name := c.Name
			if c.Label != "" {
				name += "{" + c.Label + "}"
			}
			fmt.Fprintf(p.out, "  %12d  %s\n", c.Value, clean(name))
		}
	}
	return nil
}

func (s *session) nodeLabel() *cobra.Command {
	return &cobra.Command{
		Use:   "label ID KEY=VALUE... [KEY-]",
		Short: "Set labels of a machine, or take them away with KEY-",
		Args:  cobra.MinimumNArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			api, err := s.dial()
			if err != nil {
				return err
			}
			path := "/api/v1/nodes/" + url.PathEscape(args[0])
			var n node
			if err := api.call(c.Context(), http.MethodGet, path, nil, nil, &n); err != nil {
				return err
			}
			labels := map[string]string{}
			for k, v := range n.Labels {
				labels[k] = v
			}
			for _, arg := range args[1:] {
				if key, value, ok := strings.Cut(arg, "="); ok && key != "" {
					labels[key] = value
				} else if key, ok := strings.CutSuffix(arg, "-"); ok && key != "" {
					delete(labels, key)
				} else {
					return &usageError{fmt.Sprintf("label %q: want KEY=VALUE, or KEY- to take it away", arg)}
				}
			}
			return s.change(c, http.MethodPut, path+"/labels", nil, map[string]any{"labels": labels}, said("%s: %s", n.Host, pairs(labels)))
		},
	}
}

func (s *session) nodeRevoke() *cobra.Command {
	return &cobra.Command{
		Use:   "revoke ID",
		Short: "End a machine's membership: its connection closes and its certificate is refused",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return s.change(c, http.MethodPost, "/api/v1/nodes/"+url.PathEscape(args[0])+"/revoke", nil, struct{}{},
				said("%s is revoked; to let it in again, enrol it anew", args[0]))
		},
	}
}
