package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/spf13/cobra"
)

// configVersion is the API's ConfigVersion.
type configVersion struct {
	Scope        string  `json:"scope"`
	Kind         string  `json:"kind"`
	Version      uint64  `json:"version"`
	Selector     string  `json:"selector"`
	Priority     int64   `json:"priority"`
	Body         string  `json:"body"`
	Author       string  `json:"author"`
	Time         instant `json:"time"`
	Comment      string  `json:"comment"`
	Deleted      bool    `json:"deleted"`
	RolledBackTo uint64  `json:"rolled_back_to"`
}

func (s *session) configCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "config",
		Short: "Configure the nodes from the centre, with history and roll back",
		Long: `Configure the nodes from the centre. A configuration is a partial YAML override in
a scope, for the nodes a selector names (docs/formats/selector.md). It is checked
whole before it is kept; every version is kept with author, time and comment. A
node's own file and flags win over it, and its local safety bounds always do.`,
		Example: `  hauberk config list
  hauberk config put web --selector 'role=web' --file web.yaml -m "watch the web root"
  hauberk config diff web
  hauberk config rollback web --to 3 -m "too noisy"`,
	}
	c.AddCommand(s.configList(), s.configGet(), s.configPut(), s.configHistory(), s.configDiff(), s.configRollback(), s.configDelete())
	return c
}

// kindFlag adds --kind: whose configuration it is.
func kindFlag(c *cobra.Command) *string {
	return c.Flags().String("kind", "agent", "kind of node: agent or sensor")
}

func configPath(kind, scope string) string {
	return "/api/v1/config/" + url.PathEscape(kind) + "/" + url.PathEscape(scope)
}

func configTable() *table {
	return &table{head: []string{"SCOPE", "KIND", "VERSION", "WHEN", "BY", "SELECTOR", "COMMENT"}}
}

func (t *table) addConfig(raw json.RawMessage) error {
	v, err := decode[configVersion](raw)
	if err != nil {
		return err
	}
	comment := v.Comment
	switch {
	case v.Deleted:
		comment = "deleted; " + comment
	case v.RolledBackTo > 0:
		comment = fmt.Sprintf("back to version %d; %s", v.RolledBackTo, comment)
	}
	t.add(v.Scope, v.Kind, fmt.Sprint(v.Version), v.Time.clock(), v.Author, v.Selector, comment)
	return nil
}

func (s *session) configList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the scopes with their newest version", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			t := configTable()
			return s.list(c, "/api/v1/config", nil, 0, t, "no configuration: every node runs on its defaults and its own file", t.addConfig)
		},
	}
}

func (s *session) configGet() *cobra.Command {
	var version uint64
	c := &cobra.Command{
		Use: "get SCOPE", Short: "Print a scope's YAML", Args: cobra.ExactArgs(1),
	}
	kind := kindFlag(c)
	c.Flags().Uint64Var(&version, "version", 0, "this version instead of the newest")
	c.RunE = func(c *cobra.Command, args []string) error {
		query := url.Values{}
		if version > 0 {
			query.Set("version", fmt.Sprint(version))
		}
		return s.change(c, http.MethodGet, configPath(*kind, args[0]), query, nil, func(p *printer, raw json.RawMessage) error {
			v, err := decode[configVersion](raw)
			if err == nil {
				_, err = io.WriteString(p.out, cleanLines(v.Body))
			}
			return err
		})
	}
	return c
}

// cleanLines cleans text of several lines.
func cleanLines(text string) string {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	for i := range lines {
		lines[i] = strings.ReplaceAll(clean(strings.ReplaceAll(lines[i], "\t", "\x00")), `\x00`, "\t")
	}
	return strings.Join(lines, "\n") + "\n"
}

func (s *session) configPut() *cobra.Command {
	var file, selector, comment string
	var priority int64
	c := &cobra.Command{
		Use: "put SCOPE", Short: "Keep a new version of a scope; nodes get it at once", Args: cobra.ExactArgs(1),
		Example: `  hauberk config put default --file agent.yaml -m "first version"
  echo 'log: {level: debug}' | hauberk config put canary --selector 'percent(canary) < 5' --file -`,
	}
	kind := kindFlag(c)
	f := c.Flags()
	f.StringVarP(&file, "file", "f", "-", "YAML file, - for standard input")
	f.StringVar(&selector, "selector", "", "which nodes; empty keeps the scope's, a new scope's is all")
	f.StringVarP(&comment, "comment", "m", "", "why")
	f.Int64Var(&priority, "priority", 0, "of scopes that name the same node, the higher wins")
	c.RunE = func(c *cobra.Command, args []string) error {
		var body []byte
		var err error
		if file == "-" {
			body, err = io.ReadAll(c.InOrStdin())
		} else {
			body, err = os.ReadFile(file)
		}
		if err != nil {
			return fmt.Errorf("read configuration: %w", err)
		}
		in := map[string]any{"selector": selector, "body": string(body), "comment": comment, "priority": priority}
		return s.change(c, http.MethodPut, configPath(*kind, args[0]), nil, in, sayVersion)
	}
	return c
}

func sayVersion(p *printer, raw json.RawMessage) error {
	v, err := decode[configVersion](raw)
	if err == nil {
		_, err = fmt.Fprintf(p.out, "%s is at version %d\n", clean(v.Scope), v.Version)
	}
	return err
}

func (s *session) configHistory() *cobra.Command {
	c := &cobra.Command{Use: "history SCOPE", Short: "List a scope's versions, with author, time and comment", Args: cobra.ExactArgs(1)}
	kind := kindFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		t := configTable()
		return s.list(c, configPath(*kind, args[0])+"/versions", nil, 0, t, "no such scope", t.addConfig)
	}
	return c
}

func (s *session) configDiff() *cobra.Command {
	var from, to uint64
	c := &cobra.Command{Use: "diff SCOPE", Short: "Show what changed between two versions (default: the newest two)", Args: cobra.ExactArgs(1)}
	kind := kindFlag(c)
	c.Flags().Uint64Var(&from, "from", 0, "older version")
	c.Flags().Uint64Var(&to, "to", 0, "newer version")
	c.RunE = func(c *cobra.Command, args []string) error {
		query := url.Values{}
		if from > 0 {
			query.Set("from", fmt.Sprint(from))
		}
		if to > 0 {
			query.Set("to", fmt.Sprint(to))
		}
		return s.change(c, http.MethodGet, configPath(*kind, args[0])+"/diff", query, nil, func(p *printer, raw json.RawMessage) error {
			answer, err := decode[struct {
				Diff string `json:"diff"`
			}](raw)
			if err != nil {
				return err
			}
			for line := range strings.Lines(answer.Diff) {
				text := strings.TrimSuffix(cleanLines(line), "\n")
				switch {
				case strings.HasPrefix(text, "+"):
					text = p.paint(green, text)
				case strings.HasPrefix(text, "-"):
					text = p.paint(red, text)
				}
				fmt.Fprintln(p.out, text)
			}
			return nil
		})
	}
	return c
}

func (s *session) configRollback() *cobra.Command {
	var to uint64
	var comment string
	c := &cobra.Command{Use: "rollback SCOPE", Short: "Make an earlier version the newest again", Args: cobra.ExactArgs(1)}
	kind := kindFlag(c)
	c.Flags().Uint64Var(&to, "to", 0, "the version to go back to; 0 is the one before the newest")
	c.Flags().StringVarP(&comment, "comment", "m", "", "why")
	c.RunE = func(c *cobra.Command, args []string) error {
		in := map[string]any{"to": to, "comment": comment}
		return s.change(c, http.MethodPost, configPath(*kind, args[0])+"/rollback", nil, in, sayVersion)
	}
	return c
}

func (s *session) configDelete() *cobra.Command {
	var comment string
	c := &cobra.Command{Use: "delete SCOPE", Short: "Take a scope out of force; its history is kept", Args: cobra.ExactArgs(1)}
	kind := kindFlag(c)
	c.Flags().StringVarP(&comment, "comment", "m", "", "why")
	c.RunE = func(c *cobra.Command, args []string) error {
		query := url.Values{}
		set(query, "comment", comment)
		return s.change(c, http.MethodDelete, configPath(*kind, args[0]), query, nil, said("%s is deleted", args[0]))
	}
	return c
}
