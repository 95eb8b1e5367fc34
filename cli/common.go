package cli

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// set sets a query parameter that is not empty.
func set(query url.Values, name, value string) {
	if value != "" {
		query.Set(name, value)
	}
}

// change sends a request that changes something, and prints the answer: as it
// comes with --json, else by say.
func (s *session) change(c *cobra.Command, method, path string, query url.Values, body any, say func(*printer, json.RawMessage) error) error {
	api, err := s.dial()
	if err != nil {
		return err
	}
	var raw json.RawMessage
	if err := api.call(c.Context(), method, path, query, body, &raw); err != nil {
		return err
	}
	p := s.printer(c)
	if s.json {
		if raw == nil {
			return nil
		}
		return p.jsonLine(raw)
	}
	return say(p, raw)
}

// said returns a change's say that prints one fixed sentence.
func said(format string, args ...any) func(*printer, json.RawMessage) error {
	for i, a := range args {
		if text, ok := a.(string); ok {
			args[i] = clean(text)
		}
	}
	return func(p *printer, _ json.RawMessage) error {
		_, err := fmt.Fprintf(p.out, format+"\n", args...)
		return err
	}
}

// parseSpan reads a duration that may be in days or weeks: 90s, 15m, 12h, 7d, 2w.
func parseSpan(text string) (time.Duration, error) {
	for suffix, day := range map[string]int{"d": 1, "w": 7} {
		if number, ok := strings.CutSuffix(text, suffix); ok {
			n, err := strconv.Atoi(number)
			if err != nil || n <= 0 || n > 36500 {
				return 0, fmt.Errorf("%q: want a number of days or weeks, such as 7d", text)
			}
			return time.Duration(n*day) * 24 * time.Hour, nil
		}
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		return 0, fmt.Errorf("%q: want a duration such as 15m, 12h or 7d", text)
	}
	return d, nil
}

// setSince sets the parameter since to an instant: a duration before now, or
// RFC 3339.
func (s *session) setSince(query url.Values, text string) error {
	return s.setInstant(query, "since", text)
}

func (s *session) setInstant(query url.Values, name, text string) error {
	if text == "" {
		return nil
	}
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		query.Set(name, at.UTC().Format(time.RFC3339Nano))
		return nil
	}
	d, err := parseSpan(text)
	if err != nil {
		return &usageError{fmt.Sprintf("--%s %v, or an instant such as 2026-01-31T12:00:00Z", name, err)}
	}
	query.Set(name, s.options.Now().Add(-d).UTC().Format(time.RFC3339Nano))
	return nil
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
