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
	"github.com/hauberk/hauberk/sensor/internal/detect"
)

// Summary is what a run did.
type Summary struct {
	Files, Packets, Bytes, Alerts uint64
	Rules                         int
}

// Read reads a capture, or all captures of a folder, to its end: it writes the
// logs that the configuration asks for. Problems of single rules are told to
// report and leave those rules out.
func Read(ctx context.Context, c Config, report func(Problem)) (Summary, error) {
	var sum Summary
	if err := c.Validate(); err != nil {
		return sum, err
	}
	tree, err := c.load()
	if err != nil {
		return sum, err
	}
	s, err := readSettings(tree)
	if err != nil {
		return sum, fmt.Errorf("config %s: %w", c.File, err)
	}
	if c.Checksums != "" {
		s.pcapChecksums = map[string]string{"all": "yes", "none": "no", "auto": "auto"}[c.Checksums]
	}
	s.ips = c.SimulateIPS
	s.stream.Inline = s.stream.Inline || s.ips
	loaded := &Report{}
	vars := variables(tree)
	loaded.site(tree, vars)
	if !c.NoDetection {
		loaded.rules(ruleFiles(c, tree), vars)
	}
	for _, p := range loaded.Problems {
		report(p)
	}
	if loaded.Fatal() && c.Strict {
		return sum, errors.New("rules or configuration have errors")
	}
	registry := newRegistry(tree)
	var rules *detect.Ruleset
	if !c.NoDetection {
		var problems []error
		rules, problems = detect.Compile(loaded.compiled, detect.Site{Thresholds: loaded.thresholds, Classes: loaded.classes})
		for _, err := range problems {
			report(Problem{Part: "detect", Text: err.Error()})
		}
		if err := rules.AddProtocols(registry.Protocols()); err != nil {
			return sum, err
		}
		sum.Rules = rules.Len()
	}
	dir := c.LogDir
	if dir == "" {
		dir = tree.String("default-log-dir", "/var/log/suricata")
	}
	out, err := openOutputs(tree, dir, loaded.classes, c.Capture)
	if err != nil {
		return sum, err
	}
	pl := newPipeline(s, registry, rules, loaded.classes, out)
	files, err := captures(c.Capture)
	if err == nil {
		for _, path := range files {
			if err = pl.read(ctx, path, &sum); err != nil {
				break
			}
			sum.Files++
		}
	}
	err = errors.Join(err, pl.finish(), out.close())
	sum.Alerts = pl.alerts
	return sum, err
}

// captures are the files to read: one, or those of a folder by name.
func captures(path string) ([]string, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read capture: %w", err)
	}
	if !st.IsDir() {
		return []string{path}, nil
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, fmt.Errorf("read captures: %w", err)
	}
	var list []string
	for _, e := range entries {
		file := filepath.Join(path, e.Name())
		if st, err := os.Stat(file); err == nil && st.Mode().IsRegular() && !strings.HasPrefix(e.Name(), ".") {
			list = append(list, file)
		}
	}
	slices.Sort(list)
	return list, nil
}

func (pl *pipeline) read(ctx context.Context, path string, sum *Summary) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("read capture: %w", err)
	}
	defer f.Close()
	r, err := pcap.NewReader(f)
	if err != nil {
		return fmt.Errorf("read capture %s: %w", path, err)
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
			return fmt.Errorf("read capture %s: %w", path, err)
		}
		sum.Packets++
		sum.Bytes += uint64(len(p.Data))
		if err := pl.take(p.Link, sum.Packets, p.Time, p.Data); err != nil {
			return err
		}
	}
}
