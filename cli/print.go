package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// clean makes text from outside safe for a terminal: control and format
// characters, invalid UTF-8 and bidirectional overrides are written as
// escapes, so that a hostile argv cannot move the cursor or hide itself.
func clean(s string) string {
	if !strings.ContainsFunc(s, unsafeRune) && utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case unsafeRune(r):
			quoted := strconv.QuoteRuneToASCII(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		default:
			b.WriteRune(r)
		}
		i += size
	}
	return b.String()
}

func unsafeRune(r rune) bool {
	return unicode.Is(unicode.C, r) || r == '\u2028' || r == '\u2029'
}

// printer writes a command's output.
type printer struct {
	out   io.Writer
	color bool
	now   func() time.Time
}

func (s *session) printer(c *cobra.Command) *printer {
	p := &printer{out: c.OutOrStdout(), now: s.options.Now}
	if f, ok := p.out.(*os.File); ok {
		p.color = !s.noColor && term.IsTerminal(int(f.Fd()))
	}
	return p
}

// Colours of ECMA-48.
const (
	bold   = "1"
	dim    = "2"
	red    = "31"
	yellow = "33"
	green  = "32"
	cyan   = "36"
)

// paint colours text on a terminal.
func (p *printer) paint(color, text string) string {
	if !p.color || text == "" {
		return text
	}
	return "\x1b[" + color + "m" + text + "\x1b[0m"
}

// severityColor is the colour of a severity or of a node's state.
func severityColor(word string) string {
	switch word {
	case "critical", "high", "failed", "offline", "down":
		return red
	case "medium", "degraded", "unknown", "refused":
		return yellow
	case "online", "ready", "active", "done":
		return green
	}
	return dim
}

// jsonLine prints an object of the API on one line.
func (p *printer) jsonLine(raw json.RawMessage) error {
	var b bytes.Buffer
	if err := json.Compact(&b, raw); err != nil {
		return fmt.Errorf("object of the server: %w", err)
	}
	b.WriteByte('\n')
	_, err := p.out.Write(b.Bytes())
	return err
}

// jsonValue prints a value on one line.
func (p *printer) jsonValue(v any) error { return json.NewEncoder(p.out).Encode(v) }

// table prints rows aligned. Cells are cleaned; the last column is never
// padded. paint may colour a padded cell.
type table struct {
	head  []string
	rows  [][]string
	paint func(column int, cell, padded string) string
}

func (t *table) add(cells ...string) {
	for i := range cells {
		cells[i] = clean(cells[i])
	}
	t.rows = append(t.rows, cells)
}

func (p *printer) table(t *table) error {
	width := make([]int, len(t.head))
	for i, h := range t.head {
		width[i] = len(h)
		for _, row := range t.rows {
			width[i] = max(width[i], utf8.RuneCountInString(row[i]))
		}
	}
	var b strings.Builder
	line := func(cells []string, paint func(int, string, string) string) {
		for i, cell := range cells {
			padded := cell
			if i < len(cells)-1 {
				padded += strings.Repeat(" ", width[i]-utf8.RuneCountInString(cell)+2)
			}
			if paint != nil {
				padded = paint(i, cell, padded)
			}
			b.WriteString(padded)
		}
		b.WriteByte('\n')
	}
	line(t.head, func(_ int, _, padded string) string { return p.paint(dim, padded) })
	for _, row := range t.rows {
		line(row, t.paint)
	}
	_, err := io.WriteString(p.out, b.String())
	return err
}

// list prints the items of a list: as they come with --json, else as a table
// whose rows decode makes; empty says what an empty list means.
func (s *session) list(c *cobra.Command, path string, query map[string][]string, limit int, t *table, empty string, row func(json.RawMessage) error) error {
	api, err := s.dial()
	if err != nil {
		return err
	}
	p := s.printer(c)
	if s.json {
		return api.list(c.Context(), path, query, limit, p.jsonLine)
	}
	if err := api.list(c.Context(), path, query, limit, row); err != nil {
		return err
	}
	if len(t.rows) == 0 {
		_, err := fmt.Fprintln(c.ErrOrStderr(), empty)
		return err
	}
	return p.table(t)
}

// decode reads an object of the API.
func decode[T any](raw json.RawMessage) (T, error) {
	var v T
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber() // as the server wrote them: a float cannot hold every identity
	if err := d.Decode(&v); err != nil {
		return v, fmt.Errorf("object of the server: %w", err)
	}
	return v, nil
}

// instant is a time of the API: Unix nanoseconds, or RFC 3339. 0 is none.
type instant struct{ time.Time }

func (t *instant) UnmarshalJSON(data []byte) error {
	if n, err := strconv.ParseInt(string(data), 10, 64); err == nil {
		if n != 0 {
			t.Time = time.Unix(0, n)
		}
		return nil
	}
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return err
	}
	if text == "" {
		return nil
	}
	at, err := time.Parse(time.RFC3339Nano, text)
	t.Time = at
	return err
}

// clock is a time for people, in their zone; "-" for none.
func (t instant) clock() string {
	if t.IsZero() {
		return "-"
	}
	return t.Local().Format("2006-01-02 15:04:05")
}

// ago is how long before now, in the largest fitting unit; "-" for none.
func (p *printer) ago(t instant) string {
	if t.IsZero() {
		return "-"
	}
	d := p.now().Sub(t.Time)
	if d < 0 {
		return "in " + span(-d)
	}
	return span(d) + " ago"
}

func span(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}

// size is bytes for people, in powers of 1024.
func size(n uint64) string {
	const units = "KMGTPE"
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	v, unit := float64(n)/1024, 0
	for v >= 1024 && unit < len(units)-1 {
		v, unit = v/1024, unit+1
	}
	return fmt.Sprintf("%.1f %ciB", v, units[unit])
}

// pairs prints a map as k=v, sorted by key.
func pairs(m map[string]string) string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k+"="+m[k])
	}
	slices.Sort(keys)
	return strings.Join(keys, " ")
}
