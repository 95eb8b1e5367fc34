// Package perf records measured figures. A benchmark program measures, adds
// one Figure for each target, and Write leaves docs/perf/<area>.json for
// machines, docs/perf/<area>.md for people, and a table on the terminal.
package perf

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"sort"
	"strings"
	"time"
)

// Figure is one measured number beside a peer or floor of the same run.
type Figure struct {
	Name      string  `json:"name"`
	Value     float64 `json:"value"`
	Unit      string  `json:"unit"`
	Peer      string  `json:"peer,omitempty"`       // what it is compared with
	PeerValue float64 `json:"peer_value,omitempty"` // the peer's value in the same run
	Ratio     float64 `json:"ratio,omitempty"`      // value / peer_value
	Target    string  `json:"target"`
	Reached   bool    `json:"reached"`
	Command   string  `json:"command"`
	Note      string  `json:"note,omitempty"`
}

// Report is the figures of one area.
type Report struct {
	Area    string
	Command string // reproduces them, e.g. "make bench-agent"
	// Lessons is Markdown below the table: what was learnt, what limits it.
	// Empty keeps the section the file already has.
	Lessons string
	figures []Figure
}

// Add notes a figure, filling ratio and command.
func (r *Report) Add(f Figure) {
	if f.PeerValue != 0 && f.Ratio == 0 {
		f.Ratio = f.Value / f.PeerValue
	}
	if f.Command == "" {
		f.Command = r.Command
	}
	r.figures = append(r.figures, f)
}

const lessonsHeading = "## What was learnt, and what limits it\n"

// Write prints the table to w and writes <dir>/<area>.json and .md; dir is
// docs/perf as a rule.
func (r *Report) Write(w io.Writer, dir string) error {
	fmt.Fprint(w, r.table())
	data, err := json.MarshalIndent(r.figures, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	base := filepath.Join(dir, r.Area)
	if err := os.WriteFile(base+".json", append(data, '\n'), 0o644); err != nil {
		return err
	}
	lessons := r.Lessons
	if lessons == "" {
		if old, err := os.ReadFile(base + ".md"); err == nil {
			_, lessons, _ = strings.Cut(string(old), lessonsHeading)
		}
	}
	text := fmt.Sprintf("# Figures: %s\n\nMade by `%s` on %s (%s, %d cores). Compare ratios, not machines.\n\n%s\n%s\n%s\n",
		r.Area, r.Command, time.Now().UTC().Format("2006-01-02"), processor(), runtime.NumCPU(), r.table(), lessonsHeading, strings.TrimSpace(lessons))
	return os.WriteFile(base+".md", []byte(text), 0o644)
}

func (r *Report) table() string {
	var b strings.Builder
	b.WriteString("| figure | measured | peer or floor | ratio | target | reached |\n|---|---|---|---|---|---|\n")
	for _, f := range r.figures {
		peer, ratio := f.Peer, ""
		if f.PeerValue != 0 {
			peer = fmt.Sprintf("%s: %s %s", f.Peer, number(f.PeerValue), f.Unit)
			ratio = "x" + number(f.Ratio)
		}
		reached := "no"
		if f.Reached {
			reached = "yes"
		}
		name := f.Name
		if f.Note != "" {
			name += " (" + f.Note + ")"
		}
		fmt.Fprintf(&b, "| %s | %s %s | %s | %s | %s | %s |\n", name, number(f.Value), f.Unit, peer, ratio, f.Target, reached)
	}
	return b.String()
}

func number(v float64) string {
	switch {
	case v == float64(int64(v)) && v < 1e15 && v > -1e15:
		return fmt.Sprintf("%d", int64(v))
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	default:
		return fmt.Sprintf("%.3g", v)
	}
}

func processor() string {
	data, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(data)) {
		if name, ok := strings.CutPrefix(line, "model name"); ok {
			return strings.TrimSpace(strings.TrimLeft(name, "\t :"))
		}
	}
	return runtime.GOARCH
}

// Median returns the median of values, 0 of none. It sorts a copy.
func Median(values []float64) float64 { return Quantile(values, 0.5) }

// Quantile returns the q-quantile (0 to 1) of values by nearest rank.
func Quantile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := append([]float64(nil), values...)
	sort.Float64s(sorted)
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}
