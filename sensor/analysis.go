package sensor

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/hauberk/hauberk/suricata"
)

// A ruleAnalysis is a line of rules.json. The names are the original's, which
// says more of each rule than these.
type ruleAnalysis struct {
	Raw  string `json:"raw"` // in canonical form
	ID   uint32 `json:"id"`
	GID  uint32 `json:"gid"`
	Rev  uint32 `json:"rev"`
	Msg  string `json:"msg"`
	Type string `json:"type"`
}

// Analyse does what Check does, and writes what each rule that would run has
// become to rules.json in the log folder.
func Analyse(c Config) (*Report, error) {
	if c.LogDir == "" {
		return nil, errors.New("analyse rules: no log folder is given")
	}
	r, err := Check(c)
	if err != nil {
		return nil, err
	}
	if err := writeAnalysis(filepath.Join(c.LogDir, "rules.json"), r.compiled); err != nil {
		return nil, err
	}
	return r, r.writeNotes(filepath.Join(c.LogDir, "rules_analysis.txt"))
}

// writeNotes writes for people what each rule is, and what is doubtful of it.
func (r *Report) writeNotes(path string) error {
	var b strings.Builder
	for _, c := range r.compiled {
		fmt.Fprintf(&b, "== Sid: %d ==\n%s\n    Rule is of type %s.\n", c.SID, c.String(), c.Type)
		if c.Fast != nil {
			fmt.Fprintf(&b, "    Fast Pattern %q on %q buffer.\n", c.Fast.Bytes, c.Chains()[c.Fast.Chain].Buffer)
		}
		if r.noStore(c) {
			b.WriteString("    Warning: Rule requires file-store but the output file-store is not enabled.\n")
		}
		b.WriteByte('\n')
	}
	return os.WriteFile(path, []byte(b.String()), 0o640)
}

// noStore says whether a rule wants files kept, and they are not.
func (r *Report) noStore(c *suricata.Compiled) bool {
	return !r.storesFiles && c.Find("filestore") != nil
}

func writeAnalysis(path string, rules []*suricata.Compiled) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	b := bufio.NewWriter(f)
	enc := json.NewEncoder(b)
	enc.SetEscapeHTML(false)
	for _, r := range rules {
		line := ruleAnalysis{Raw: r.String(), ID: r.SID, GID: r.GID, Rev: r.Rev, Msg: r.Msg, Type: r.Type.String()}
		if err := enc.Encode(line); err != nil {
			return err
		}
	}
	return b.Flush()
}
