package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
)

// RuleReport is what a check of a folder of rules found. It marshals to JSON.
type RuleReport interface {
	// WriteText writes it for people; with all, the supported rules too.
	WriteText(w io.Writer, all bool) error
	// Lines returns one JSON object for each rule.
	Lines() []any
	// Bad returns how many rules were refused.
	Bad() int
}

func (s *session) rulesCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "rules",
		Short: "Check Sigma rules, and list those in force",
		Example: `  hauberk rules check /etc/hauberk/rules
  hauberk rules list --json`,
	}
	var all bool
	check := &cobra.Command{
		Use:   "check DIR",
		Short: "Say of every Sigma rule below DIR whether it is supported, and why not",
		Long: `Say of every Sigma rule below DIR whether it is supported, and why not, with file
and line. Needs no server. Exits with 1 if a rule is refused.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if s.options.CheckRules == nil {
				return errors.New("this build cannot check rules")
			}
			report, err := s.options.CheckRules(args[0])
			if err != nil {
				return err
			}
			p := s.printer(c)
			if s.json {
				for _, line := range report.Lines() {
					if err := p.jsonValue(line); err != nil {
						return err
					}
				}
			} else if err := report.WriteText(p.out, all); err != nil {
				return err
			}
			if n := report.Bad(); n > 0 {
				return fmt.Errorf("%d rules are refused", n)
			}
			return nil
		},
	}
	check.Flags().BoolVar(&all, "all", false, "list the supported rules too")
	list := &cobra.Command{
		Use: "list", Short: "List the rules in force", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			t := &table{head: []string{"LEVEL", "TECHNIQUES", "RULE", "SOURCE", "ID"}}
			return s.list(c, "/api/v1/rules", nil, 0, t, "no rules are in force", func(raw json.RawMessage) error {
				r, err := decode[struct {
					ID         string   `json:"id"`
					Title      string   `json:"title"`
					Level      string   `json:"level"`
					Techniques []string `json:"techniques"`
					Source     string   `json:"source"`
				}](raw)
				if err == nil {
					techniques := ""
					if len(r.Techniques) > 0 {
						techniques = r.Techniques[0]
					}
					t.add(r.Level, techniques, r.Title, r.Source, r.ID)
				}
				return err
			})
		},
	}
	c.AddCommand(check, list)
	return c
}

// status is the API's Status.
type status struct {
	Roles []struct {
		Name   string `json:"name"`
		State  string `json:"state"`
		Detail string `json:"detail"`
	} `json:"roles"`
	Ingest struct {
		Stopped bool   `json:"stopped"`
		Reason  string `json:"reason"`
	} `json:"ingest"`
	Addresses struct {
		Console string `json:"console"`
		Nodes   string `json:"nodes"`
	} `json:"addresses"`
	Disk struct {
		Free    uint64 `json:"free"`
		Total   uint64 `json:"total"`
		Reserve uint64 `json:"reserve"`
	} `json:"disk"`
	Counters map[string]uint64 `json:"counters"`
	OK       bool              `json:"ok"`
	Problems []string          `json:"problems"`
	Version  string            `json:"version"`
	Started  instant           `json:"started"`
	Events   *struct {
		Rows       uint64            `json:"rows"`
		Bytes      uint64            `json:"bytes"`
		Produced   uint64            `json:"produced"`
		Stored     uint64            `json:"stored"`
		Rejected   map[string]uint64 `json:"rejected"`
		Dropped    map[string]uint64 `json:"dropped"`
		Difference int64             `json:"difference"`
	} `json:"events"`
	Nodes *struct {
		Seen   uint64 `json:"seen"`
		Online uint64 `json:"online"`
	} `json:"nodes"`
}

func (s *session) statusCommand() *cobra.Command {
	var counters bool
	c := &cobra.Command{
		Use:   "status",
		Short: "Say whether the platform is well",
		Long:  "Say whether the platform is well: its roles, whether events are taken, and whether\nevery event is accounted for. Exits with 1 and the reasons if something is wrong.",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			api, err := s.dial()
			if err != nil {
				return err
			}
			var raw json.RawMessage
			if err := api.call(c.Context(), http.MethodGet, "/api/v1/status", nil, nil, &raw); err != nil {
				return err
			}
			now, err := decode[status](raw)
			if err != nil {
				return err
			}
			p := s.printer(c)
			if s.json {
				err = p.jsonLine(raw)
			} else {
				err = p.status(now, counters)
			}
			if err != nil {
				return err
			}
			if len(now.Problems) > 0 {
				return errors.New(clean(strings.Join(now.Problems, "; ")))
			}
			return nil
		},
	}
	c.Flags().BoolVar(&counters, "counters", false, "show every counter that is not zero too")
	return c
}

func (p *printer) status(now status, counters bool) error {
	t := &table{head: []string{"ROLE", "STATE", "DETAIL"}}
	t.paint = func(column int, cell, padded string) string {
		if column == 1 {
			return p.paint(severityColor(cell), padded)
		}
		return padded
	}
	for _, r := range now.Roles {
		t.add(r.Name, r.State, r.Detail)
	}
	if err := p.table(t); err != nil {
		return err
	}
	ingest := "events are taken"
	if now.Ingest.Stopped {
		ingest = "stopped: " + now.Ingest.Reason
	}
	fmt.Fprintln(p.out)
	p.fact("ingest", ingest)
	if e := now.Events; e != nil {
		p.fact("events", fmt.Sprintf("%d stored, %s on disk", e.Rows, size(e.Bytes)))
		account := fmt.Sprintf("%d produced = %d stored", e.Produced, e.Stored)
		for _, lost := range []struct {
			what string
			why  map[string]uint64
		}{{"rejected", e.Rejected}, {"dropped by nodes", e.Dropped}} {
			for _, reason := range sortedKeys(lost.why) {
				account += fmt.Sprintf(" + %d %s (%s)", lost.why[reason], lost.what, reason)
			}
		}
		p.fact("account", fmt.Sprintf("%s + %d on their way (as of some seconds ago)", account, e.Difference))
	}
	if now.Nodes != nil {
		p.fact("nodes", fmt.Sprintf("%d online, %d ever seen", now.Nodes.Online, now.Nodes.Seen))
	}
	p.fact("console", now.Addresses.Console)
	p.fact("nodes connect to", now.Addresses.Nodes)
	if now.Disk.Total > 0 {
		p.fact("disk", fmt.Sprintf("%s of %s free; ingest stops at %s", size(now.Disk.Free), size(now.Disk.Total), size(now.Disk.Reserve)))
	}
	if counters {
		p.section("counters")
		for _, name := range sortedKeys(now.Counters) {
			if n := now.Counters[name]; n != 0 {
				fmt.Fprintf(p.out, "  %12d  %s\n", n, clean(name))
			}
		}
	}
	return nil
}

func (s *session) auditCommand() *cobra.Command {
	var who, action, since string
	var limit int
	c := &cobra.Command{
		Use:   "audit",
		Short: "Show who changed what, newest first",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			query := url.Values{}
			set(query, "who", who)
			set(query, "action", action)
			if err := s.setSince(query, since); err != nil {
				return err
			}
			t := &table{head: []string{"WHEN", "WHO", "VIA", "FROM", "ACTION", "OUTCOME", "WHAT"}}
			return s.list(c, "/api/v1/audit", query, limit, t, "nothing was changed", func(raw json.RawMessage) error {
				e, err := decode[struct {
					Time    instant `json:"time"`
					Who     string  `json:"who"`
					Via     string  `json:"via"`
					From    string  `json:"from"`
					Action  string  `json:"action"`
					Target  string  `json:"target"`
					Detail  string  `json:"detail"`
					Outcome string  `json:"outcome"`
				}](raw)
				if err == nil {
					t.add(e.Time.clock(), e.Who, e.Via, e.From, e.Action, e.Outcome, short(e.Target+" "+e.Detail, 80))
				}
				return err
			})
		},
	}
	f := c.Flags()
	f.StringVar(&who, "who", "", "only this user")
	f.StringVar(&action, "action", "", "only this operation (operationId of the API)")
	f.StringVar(&since, "since", "", "within this time (1h, 7d) or after this instant (RFC 3339)")
	f.IntVar(&limit, "limit", 100, "at most so many, 0 for all")
	return c
}

func (s *session) backupCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "backup FILE",
		Short:   "Write the state of the centre to one archive",
		Long:    "Write the state of the centre (databases, configuration, authority) to one archive,\nwhile it runs. FILE may be - for standard output. Keep it secret: it holds keys.",
		Example: "  hauberk backup /srv/backup/hauberk.tar.zst",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			ctx, stop := interruptible(c)
			defer stop()
			api, err := s.dial()
			if err != nil {
				return err
			}
			response, err := api.do(ctx, http.MethodGet, "/api/v1/backup", nil, nil)
			if err != nil {
				return err
			}
			defer response.Body.Close()
			if args[0] == "-" {
				_, err := io.Copy(c.OutOrStdout(), response.Body)
				return err
			}
			n, err := writeWhole(args[0], response.Body)
			if err != nil {
				return err
			}
			fmt.Fprintf(c.ErrOrStderr(), "wrote %s (%s)\n", args[0], size(uint64(n)))
			return nil
		},
	}
}

// writeWhole writes a file of mode 0600 that appears only when it is whole
// and on disk.
func writeWhole(path string, from io.Reader) (int64, error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".hauberk-*") // mode 0600
	if err != nil {
		return 0, fmt.Errorf("write %s: %w", path, err)
	}
	defer os.Remove(f.Name()) // fails once it is renamed
	n, err := io.Copy(f, from)
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return 0, fmt.Errorf("write %s: %w", path, err)
	}
	return n, os.Rename(f.Name(), path)
}

func (s *session) restoreCommand() *cobra.Command {
	var yes bool
	c := &cobra.Command{
		Use:   "restore FILE",
		Short: "Put the state of a backup in the place of today's",
		Long:  "Put the state of a backup in the place of today's, which is lost. Only on the\nserver's own machine. FILE may be - for standard input.",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if !yes {
				return &usageError{"restore replaces everything the centre knows; say --yes if that is meant"}
			}
			ctx, stop := interruptible(c)
			defer stop()
			api, err := s.dial()
			if err != nil {
				return err
			}
			in := c.InOrStdin()
			if args[0] != "-" {
				f, err := os.Open(args[0])
				if err != nil {
					return fmt.Errorf("read backup: %w", err)
				}
				defer f.Close()
				in = f
			}
			if err := api.call(ctx, http.MethodPost, "/api/v1/restore", nil, in, nil); err != nil {
				return err
			}
			_, err = fmt.Fprintln(c.OutOrStdout(), "restored")
			return err
		},
	}
	c.Flags().BoolVar(&yes, "yes", false, "replace today's state")
	return c
}
