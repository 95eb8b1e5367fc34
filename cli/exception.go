package cli

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"
)

// exception is the API's Exception.
type exception struct {
	ID          string            `json:"id"`
	Rule        string            `json:"rule"`
	Executable  string            `json:"executable"`
	Parent      string            `json:"parent"`
	User        string            `json:"user"`
	CommandLine string            `json:"command_line"`
	Labels      map[string]string `json:"labels"`
	Created     instant           `json:"created"`
	Expires     instant           `json:"expires"`
	Author      string            `json:"author"`
	Reason      string            `json:"reason"`
}

// conditions says what it silences.
func (e exception) conditions() string {
	list := []string{"rule " + e.Rule}
	for _, c := range []struct{ name, value string }{
		{"executable", e.Executable}, {"parent", e.Parent}, {"user", e.User}, {"command line", e.CommandLine}, {"on", pairs(e.Labels)},
	} {
		if c.value != "" {
			list = append(list, c.name+" "+c.value)
		}
	}
	return strings.Join(list, ", ")
}

func (s *session) exceptionCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "exception",
		Short: "Silence rules for what is known to be harmless",
		Long: `Silence rules for what is known to be harmless. All conditions of an exception must
hold; patterns are globs. The usual way is from an alert: hauberk alerts except ID.`,
		Example: `  hauberk exception list
  hauberk exception add --rule 5b4a... --executable /usr/bin/restic --reason "backup" --for 90d
  hauberk exception delete ID`,
	}
	list := &cobra.Command{
		Use: "list", Short: "List the exceptions in force", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			t := &table{head: []string{"ID", "SILENCES", "BY", "EXPIRES", "REASON"}}
			return s.list(c, "/api/v1/exceptions", nil, 0, t, "no exceptions", func(raw json.RawMessage) error {
				e, err := decode[exception](raw)
				if err == nil {
					expires := "never"
					if !e.Expires.IsZero() {
						expires = e.Expires.clock()
					}
					t.add(e.ID, e.conditions(), e.Author, expires, e.Reason)
				}
				return err
			})
		},
	}
	var e exceptionFlags
	add := &cobra.Command{
		Use: "add", Short: "Make an exception", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := e.finish(); err != nil {
				return err
			}
			return s.change(c, http.MethodPost, "/api/v1/exceptions", nil, &e, func(p *printer, raw json.RawMessage) error {
				made, err := decode[exception](raw)
				if err == nil {
					_, err = fmt.Fprintf(p.out, "exception %s: %s\n", made.ID, clean(made.conditions()))
				}
				return err
			})
		},
	}
	add.Flags().StringVar(&e.Rule, "rule", "", "id of the rule, * for every rule")
	_ = add.MarkFlagRequired("rule") // fails only for a flag that does not exist
	e.register(add)
	remove := &cobra.Command{
		Use: "delete ID", Short: "Let the rule speak again", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return s.change(c, http.MethodDelete, "/api/v1/exceptions/"+url.PathEscape(args[0]), nil, nil, said("%s is deleted", args[0]))
		},
	}
	c.AddCommand(list, add, remove)
	return c
}
