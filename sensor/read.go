package sensor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hauberk/hauberk/packet/pcap"
	"github.com/hauberk/hauberk/sensor/internal/app"
	"github.com/hauberk/hauberk/sensor/internal/detect"
	"github.com/hauberk/hauberk/sensor/internal/eve"
	"github.com/hauberk/hauberk/sensor/internal/yamlconf"
)

// Summary is what a run did.
type Summary struct {
	Files, Packets, Bytes, Alerts uint64
	Dropped                       uint64 // By the kernel, because the ring was full.
	Rules                         int
}

// Read reads a capture, or all captures of a folder, to its end: it writes the
// logs that the configuration asks for. Problems of single rules are told to
// report and leave those rules out.
func Read(ctx context.Context, c Config, report func(Problem)) (Summary, error) {
	var sum Summary
	pl, err := open(c, report)
	if err != nil {
		return sum, err
	}
	files, folder, err := captures(c.Capture)
	for _, path := range files {
		var unread *unreadable
		err = pl.read(ctx, path, &sum)
		if errors.As(err, &unread) && (folder || unread.begun) {
			// The rest of a folder, and of the packets, is worth having.
			p := Problem{Part: "pcap", Text: err.Error()}
			report(p)
			pl.out.journal.problem(p)
			err = nil
		}
		if err != nil {
			break
		}
		sum.Files++
	}
	err = errors.Join(err, pl.finish(), pl.out.close())
	sum.Alerts, sum.Rules = pl.alerts, pl.rules()
	return sum, err
}

// open reads configuration and rules, opens the logs, and makes a pipeline.
func open(c Config, report func(Problem)) (*pipeline, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	tree, err := c.load()
	if err != nil {
		return nil, err
	}
	s, err := c.settings(tree)
	if err != nil {
		return nil, err
	}
	dir := c.LogDir
	if dir == "" {
		dir = tree.String("default-log-dir", "/var/log/suricata")
	}
	j, err := openJournal(tree, dir)
	if err != nil {
		return nil, err
	}
	registry := newRegistry(tree)
	rules, err := loadRules(c, tree, registry, nil, j, report)
	if err != nil {
		return nil, errors.Join(err, j.close())
	}
	out, err := openOutputs(tree, dir, c)
	if err != nil {
		return nil, errors.Join(err, j.close())
	}
	out.journal = j
	return newPipeline(s, registry, rules, out), nil
}

// settings are those of the configuration, and what the command line says of them.
func (c *Config) settings(tree *yamlconf.Tree) (settings, error) {
	s, err := readSettings(tree)
	if err != nil {
		return s, fmt.Errorf("config %s: %w", c.File, err)
	}
	if c.Checksums != "" {
		s.pcapChecksums = checksumModes[c.Checksums]
	}
	s.ips = c.SimulateIPS
	s.stream.Inline = s.stream.Inline || s.ips
	if s.policies, err = readPolicies(tree, s.ips); err != nil {
		return s, fmt.Errorf("config %s: %w", c.File, err)
	}
	s.stream.OnlyWhole = !s.policies[ofMidstream].follows()
	return s, nil
}

// loadRules reads the rules and the files beside them; nil if none are wanted.
// before is the set they will replace, nil if there is none.
func loadRules(c Config, tree *yamlconf.Tree, registry *app.Registry, before *detect.Ruleset, j *journal, report func(Problem)) (*detect.Ruleset, error) {
	r := &Report{}
	vars := variables(tree)
	r.site(tree, vars)
	r.readData(c, tree, before)
	if before != nil {
		r.known = before.Known()
	}
	if !c.NoDetection {
		r.rules(ruleFiles(c, tree), vars)
	}
	for _, p := range r.Problems {
		report(p)
		j.problem(p)
	}
	if !c.NoDetection {
		j.rules(r)
	}
	if r.Fatal() && c.Strict {
		return nil, errors.New("rules or configuration have errors")
	}
	if c.NoDetection {
		return nil, nil
	}
	rules, problems := detect.Compile(r.compiled, detect.Site{Thresholds: r.thresholds, Classes: r.classes, Data: r.data, Refused: r.Failed, Skipped: r.Skipped, Order: actionOrder(tree)}, before)
	for _, err := range problems {
		report(Problem{Part: "detect", Text: err.Error()})
	}
	return rules, rules.AddProtocols(registry.Protocols())
}

// actionOrder reads action-order.
func actionOrder(tree *yamlconf.Tree) (order []string) {
	if n := tree.Node("action-order"); n != nil {
		for _, c := range n.Children {
			order = append(order, c.Value)
		}
	}
	return order
}

// ruleCounts is what statistics say of the rules, nil if there are none.
func (pl *pipeline) ruleCounts() *eve.RuleCounts {
	if pl.engine == nil {
		return nil
	}
	rules := pl.engine.Rules()
	return &eve.RuleCounts{Loaded: rules.Len(), Failed: rules.Site().Refused, Skipped: rules.Site().Skipped, LastReload: max(pl.reloaded, pl.first)}
}

// rules is how many rules are applied.
func (pl *pipeline) rules() int {
	if pl.engine == nil {
		return 0
	}
	return pl.engine.Rules().Len()
}

// unreadable is what is wrong with a capture.
type unreadable struct {
	err   error
	begun bool // It is one: packets may have been read.
}

func (u *unreadable) Error() string { return u.err.Error() }
func (u *unreadable) Unwrap() error { return u.err }

// captures are the files to read: one, or those of a folder by name.
func captures(path string) (list []string, folder bool, err error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, false, fmt.Errorf("read capture: %w", err)
	}
	if !st.IsDir() {
		return []string{path}, false, nil
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, true, fmt.Errorf("read captures: %w", err)
	}
	for _, e := range entries {
		file := filepath.Join(path, e.Name())
		if st, err := os.Stat(file); err == nil && st.Mode().IsRegular() && !strings.HasPrefix(e.Name(), ".") {
			list = append(list, file)
		}
	}
	slices.Sort(list)
	return list, true, nil
}

func (pl *pipeline) read(ctx context.Context, path string, sum *Summary) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("read capture: %w", err)
	}
	defer f.Close()
	r, err := pcap.NewReader(f)
	if err != nil {
		return &unreadable{err: fmt.Errorf("read capture %s: %w", path, err)}
	}
	defer r.Close()
	for n := 0; ; n++ {
		if n%1024 == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		p, err := r.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return &unreadable{err: fmt.Errorf("read capture %s: %w", path, err), begun: true}
		}
		sum.Packets++
		sum.Bytes += uint64(len(p.Data))
		if pl.take(p.Link, sum.Packets, p.Time, p.Data); pl.err != nil {
			return nil // finish tells it; what follows could not be logged.
		}
	}
}
