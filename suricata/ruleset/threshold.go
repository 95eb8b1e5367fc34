package ruleset

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/hauberk/hauberk/suricata/pcre"
)

// Thresholds makes a threshold file of a template: a line with re:EXPRESSION
// in the place of "gen_id N, sig_id N" becomes one line for each rule of the
// set that is on and that the expression matches. Lines that are wrong are told and left out.
func (s *Set) Thresholds(f File) (out []byte, problems []error) {
	var b bytes.Buffer
	n := 0
	for line := range strings.Lines(string(f.Data)) {
		n++
		line = strings.TrimRight(line, "\r\n \t")
		from, to, expr := thresholdExpression(line)
		if expr == "" || strings.HasPrefix(strings.TrimSpace(line), "#") {
			b.WriteString(line + "\n")
			continue
		}
		re, err := pcre.Compile(expr, pcre.Caseless)
		if err != nil {
			problems = append(problems, fmt.Errorf("%s:%d: expression %q: %w", f.Name, n, expr, err))
			continue
		}
		m := expression{re}
		for _, r := range s.Rules {
			if r.Enabled && m.match(r) {
				fmt.Fprintf(&b, "# %s\n%sgen_id %d, sig_id %d%s\n", r.msg(), line[:from], r.ID.GID, r.ID.SID, line[to:])
			}
		}
	}
	return b.Bytes(), problems
}

// thresholdExpression finds re:"EXPRESSION" or re:EXPRESSION, which ends at a comma or with the line.
func thresholdExpression(line string) (from, to int, expr string) {
	from = strings.Index(line, " re:") + 1
	if from == 0 {
		return 0, 0, ""
	}
	rest := line[from+len("re:"):]
	if quoted, ok := strings.CutPrefix(rest, `"`); ok {
		if end := strings.LastIndexByte(quoted, '"'); end >= 0 {
			return from, from + len(`re:""`) + end, quoted[:end]
		}
	}
	end := strings.IndexByte(rest, ',')
	if end < 0 {
		end = len(rest)
	}
	return from, from + len("re:") + end, strings.TrimSpace(rest[:end])
}
