package cli

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"

	"github.com/spf13/cobra"
)

func (s *session) queryCommand() *cobra.Command {
	var since, until, tenant string
	var limit int
	var follow bool
	c := &cobra.Command{
		Use:   "query [LOGSQL]",
		Short: "Search what the nodes saw",
		Long: `Search events in LogsQL, newest first. Fields have their ECS names
(docs/formats/fields.md). Words alone look in every field; without a query all
events of the time are shown.`,
		Example: `  hauberk query 'process.executable:"/usr/bin/curl"' --since 24h
  hauberk query 'event.category:network destination.port:4444'
  hauberk query 'host.name:web-1 process.command_line:~"base64.*-d"' --json
  hauberk query 'event.type:start | stats by (process.executable) count() n | sort by (n) desc | limit 10'
  hauberk query --follow 'user.name:www-data'`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			query := url.Values{"query": {strings.Join(args, "")}}
			set(query, "tenant", tenant)
			ctx, stop := interruptible(c)
			defer stop()
			api, err := s.dial()
			if err != nil {
				return err
			}
			p := s.printer(c)
			show := func(raw json.RawMessage) error {
				if s.json {
					return p.jsonLine(raw)
				}
				row, err := decode[map[string]any](raw)
				if err == nil {
					p.event(row)
				}
				return err
			}
			if follow {
				note := func(text string) { fmt.Fprintln(c.ErrOrStderr(), "hauberk:", text, "- trying again") }
				return api.follow(ctx, "/api/v1/events/live", query, note, show)
			}
			if limit > 0 {
				query.Set("limit", fmt.Sprint(limit))
			}
			if err := s.setSince(query, since); err != nil {
				return err
			}
			if err := s.setInstant(query, "until", until); err != nil {
				return err
			}
			return api.stream(ctx, "/api/v1/events/query", query, show)
		},
	}
	f := c.Flags()
	f.StringVar(&since, "since", "1h", "how far back (15m, 7d), or an instant (RFC 3339)")
	f.StringVar(&until, "until", "", "up to this long ago, or this instant")
	f.StringVar(&tenant, "tenant", "", "only this tenant's")
	f.IntVar(&limit, "limit", 1000, "at most so many rows (the server allows 100,000 as a rule)")
	f.BoolVarP(&follow, "follow", "f", false, "show events as they come (a filter without pipes)")
	return c
}

// longestCommand is where a command line is cut for people, in runes; --json
// has all of it.
const longestCommand = 300

// event prints a row: what is always there first, then the rest by name.
func (p *printer) event(row map[string]any) {
	text := func(name string) string {
		v, ok := row[name]
		if !ok {
			return ""
		}
		delete(row, name)
		return clean(fmt.Sprint(v))
	}
	stamp := text("@timestamp")
	delete(row, "_time")
	if stamp == "" {
		// A row of a pipe such as stats has fields of its own.
		var cells []string
		for _, name := range sortedKeys(row) {
			cells = append(cells, p.paint(dim, clean(name)+"=")+clean(fmt.Sprint(row[name])))
		}
		fmt.Fprintln(p.out, strings.Join(cells, "  "))
		return
	}
	line := []string{p.paint(dim, stamp), p.paint(cyan, text("host.name")), p.paint(bold, text("event.action"))}
	if command := text("process.command_line"); command != "" {
		line = append(line, short(command, longestCommand))
		delete(row, "process.args")
		delete(row, "process.executable")
	}
	for _, name := range shownFields {
		if v := text(name); v != "" {
			line = append(line, p.paint(dim, name+"=")+v)
		}
	}
	fmt.Fprintln(p.out, strings.Join(line, "  "))
}

// shownFields are the fields of an event a line shows besides; --json has all.
var shownFields = []string{
	"process.executable", "process.pid", "user.name", "process.parent.executable", "file.path", "source.ip", "source.port",
	"destination.ip", "destination.port", "hauberk.denied.operation", "event.outcome", "container.id", "message", "rule.name",
}
