package main

import (
	"bytes"
	"encoding/hex"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/hauberk/hauberk/suricata/multi"
)

var option = regexp.MustCompile(`([a-z_.0-9]+)(?::((?:"(?:\\.|[^"\\])*"|[^;"]|\\;)*))?;`)

// fastPatterns returns the distinct fast patterns of the enabled rules below
// folder: the content marked so, or else the longest that is not negated.
func fastPatterns(folder string) ([]multi.Pattern, error) {
	files, err := filepath.Glob(filepath.Join(folder, "*.rules"))
	if err != nil {
		return nil, err
	}
	var out []multi.Pattern
	seen := map[string]bool{}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(string(data)) {
			_, body, ok := strings.Cut(line, "(")
			if !ok || strings.HasPrefix(line, "#") {
				continue
			}
			p := fastPattern(body)
			key := string(p.Text) + map[bool]string{false: "0", true: "1"}[p.Fold]
			if len(p.Text) > 0 && !seen[key] {
				seen[key] = true
				out = append(out, p)
			}
		}
	}
	return out, nil
}

func fastPattern(options string) multi.Pattern {
	var best, current multi.Pattern
	chosen := false
	take := func() {
		if !chosen && len(current.Text) > len(best.Text) {
			best = current
		}
	}
	for _, m := range option.FindAllStringSubmatch(options, -1) {
		switch m[1] {
		case "content":
			take()
			current = multi.Pattern{}
			if value := strings.TrimSpace(m[2]); strings.HasPrefix(value, `"`) {
				current.Text = content(strings.Trim(value, `"`))
			}
		case "nocase":
			current.Fold = true
		case "fast_pattern":
			if len(current.Text) > 0 {
				best, chosen = current, true
			}
			// Options of the same content may follow, which only nocase is about.
		}
		if chosen && m[1] == "nocase" && bytes.Equal(best.Text, current.Text) {
			best.Fold = true
		}
	}
	take()
	return best
}

// content decodes |41 42| and backslashes.
func content(s string) []byte {
	var out []byte
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s):
			i++
			out = append(out, s[i])
		case s[i] == '|':
			text, _, _ := strings.Cut(s[i+1:], "|")
			b, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
			if err != nil {
				return nil
			}
			out = append(out, b...)
			i += len(text) + 1
		default:
			out = append(out, s[i])
		}
	}
	return out
}
