package ruleset

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hauberk/hauberk/suricata/netset"
)

// Config is what an update needs. Files that are named and not there are errors.
type Config struct {
	DataDir      string   // sources, cache and the set before are in its folder update
	Output       string   // folder of the rule file
	URLs         []string // beside the enabled sources
	Local        []string // files, folders, archives, patterns
	ETOpen       bool     // Emerging Threats Open beside the others; alone it is the default
	Disable      string   // files of the operator's
	Enable       string
	Drop         string
	Modify       string
	Ignore       []string // patterns of rule files that are left out
	ThresholdIn  string   // template
	ThresholdOut string   // where the threshold file goes
	SIDMap       string   // where sid-msg.map goes; "": nowhere
	Strict       bool     // a source that cannot be fetched, or a wrong line or rule, fails the update
	Offline      bool
	Force        bool // fetch what is new already, and accept a set that is much smaller
	Client       *http.Client
	Agent        string
	Vars         *netset.Vars // those a rule may ask for; nil: any
	// Check judges the new set before it is switched to; the file's folder has
	// what rules refer to. nil: it is not judged.
	Check func(rules string) error
	Say   func(format string, args ...any)
}

// RuleFile is the name of the rule file in the output folder.
const RuleFile = "suricata.rules"

// A Result says what an update did.
type Result struct {
	Counts
	Added    int      `json:"added"`
	Removed  int      `json:"removed"`
	Changed  int      `json:"changed"`
	Switched bool     `json:"switched"` // false: nothing is new
	Problems []string `json:"problems,omitempty"`
}

// Sources are the installation's.
func (c *Config) Sources() Sources {
	return Sources{Dir: filepath.Join(c.DataDir, "update", "sources"), Index: filepath.Join(c.cache(), "index.yaml")}
}

// Fetcher fetches for the installation.
func (c *Config) Fetcher() *Fetcher {
	return &Fetcher{Cache: c.cache(), Client: c.Client, Agent: c.Agent, Offline: c.Offline, Force: c.Force, Now: time.Now, Say: c.Say}
}

func (c *Config) cache() string { return filepath.Join(c.DataDir, "update", "cache") }

// Update fetches, tunes, checks and switches. Whatever goes wrong before the
// switch leaves the set in use as it is.
func Update(ctx context.Context, c *Config) (*Result, error) {
	unlock, err := c.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	var problems []error
	files, some, err := c.fetch(ctx)
	problems = append(problems, some...)
	if err != nil {
		return nil, err
	}
	tuning, some, err := c.tuning()
	problems = append(problems, some...)
	if err != nil {
		return nil, err
	}
	set := Build(files, tuning, c.Vars)
	next := &snapshot{Rules: set.Text(), Classes: set.Classes, Beside: set.Beside}
	if c.ThresholdIn != "" {
		text, err := os.ReadFile(c.ThresholdIn)
		if err != nil {
			return nil, err
		}
		next.Thresholds, some = set.Thresholds(File{c.ThresholdIn, text})
		problems = append(problems, some...)
	}
	problems = append(problems, set.Problems...)
	r := &Result{Counts: set.Counts}
	for _, p := range problems {
		r.Problems = append(r.Problems, p.Error())
	}
	if c.Strict && len(problems) > 0 {
		return r, fmt.Errorf("update rules: %d problems, the old rules are kept", len(problems))
	}
	return r, c.change(set, next, r)
}

// fetch gets all sources. One that fails is used as it was the time before;
// without that the update fails, as the set would be smaller in silence.
func (c *Config) fetch(ctx context.Context) (files []File, problems []error, err error) {
	remotes, problems, err := c.Sources().enabled()
	if err != nil {
		return nil, nil, err
	}
	for _, u := range c.URLs {
		u, err := expand(u, nil)
		if err != nil {
			return nil, nil, err
		}
		remotes = append(remotes, Remote{URL: u, Sum: true})
	}
	if c.ETOpen || len(remotes)+len(c.Local) == 0 {
		u, err := expand(etOpenURL, nil)
		if err != nil {
			return nil, nil, err
		}
		remotes = append(remotes, Remote{URL: u, Sum: true})
	}
	fetcher, seen := c.Fetcher(), map[string]bool{}
	for _, r := range remotes {
		if seen[r.URL] {
			continue
		}
		seen[r.URL] = true
		some, err := fetcher.Remote(ctx, r)
		switch {
		case err != nil && (some == nil || ctx.Err() != nil):
			return nil, problems, err
		case err != nil:
			problems = append(problems, fmt.Errorf("%w; its rules of the time before are used", err))
		}
		files = append(files, some...)
	}
	for _, p := range c.Local {
		some, err := Local(p)
		if err != nil {
			return nil, problems, err
		}
		files = append(files, some...)
	}
	return files, problems, nil
}

// tuning reads the operator's files.
func (c *Config) tuning() (t *Tuning, problems []error, err error) {
	t = &Tuning{Ignore: c.Ignore}
	for _, f := range []struct{ kind, path string }{{"disable", c.Disable}, {"enable", c.Enable}, {"drop", c.Drop}, {"modify", c.Modify}} {
		if f.path == "" {
			continue
		}
		text, err := os.ReadFile(f.path)
		if err != nil {
			return nil, problems, fmt.Errorf("read %s file: %w", f.kind, err)
		}
		problems = append(problems, t.Read(f.kind, File{f.path, text})...)
	}
	return t, problems, nil
}

// change switches from the set in use to the next, if it is another.
func (c *Config) change(set *Set, next *snapshot, r *Result) error {
	use := c.place()
	now, err := use.read()
	if err != nil {
		return err
	}
	was := compare(now, set, r)
	if now.has(next) {
		return c.sidMap(set)
	}
	if r.Enabled == 0 || r.Enabled < was/2 && !c.Force {
		return fmt.Errorf("update rules: the new set has %d rules that are on, the old one %d; it is kept. --force takes a smaller set, never an empty one", r.Enabled, was)
	}
	if err := c.check(next); err != nil {
		return fmt.Errorf("update rules: the new rules do not pass, the old ones are kept: %w", err)
	}
	if err := c.previous().write(now); err != nil {
		return fmt.Errorf("keep the old rules: %w", err)
	}
	if err := use.write(next); err != nil {
		return fmt.Errorf("switch rules: %w", errors.Join(err, use.write(now)))
	}
	r.Switched = true
	return errors.Join(use.prune(next, now), c.previous().prune(now), c.sidMap(set))
}

// compare counts what differs between the set in use and the new one, and
// returns how many rules are on now.
func compare(now *snapshot, set *Set, r *Result) (on int) {
	old := map[ID]string{}
	for _, rule := range parseFile(File{Data: now.Rules}) {
		old[rule.ID] = rule.String()
		if rule.Enabled {
			on++
		}
	}
	for _, rule := range set.Rules {
		text, had := old[rule.ID]
		switch {
		case !had:
			r.Added++
		case text != rule.String():
			r.Changed++
		}
		delete(old, rule.ID)
	}
	r.Removed = len(old)
	return on
}

// check writes the set to a folder of its own and has it judged there.
func (c *Config) check(next *snapshot) error {
	if c.Check == nil {
		return nil
	}
	staged := place{dir: filepath.Join(c.DataDir, "update", "staged")}
	if err := os.RemoveAll(staged.dir); err != nil {
		return err
	}
	if err := staged.write(next); err != nil {
		return err
	}
	return errors.Join(c.Check(filepath.Join(staged.dir, RuleFile)), os.RemoveAll(staged.dir))
}

// sidMap writes sid-msg.map: sid || message || reference || reference.
func (c *Config) sidMap(set *Set) error {
	if c.SIDMap == "" {
		return nil
	}
	var out bytes.Buffer
	for _, r := range set.Rules {
		fmt.Fprintf(&out, "%d || %s", r.ID.SID, strings.NewReplacer(`\;`, ";", `\"`, `"`, `\:`, ":").Replace(r.msg()))
		for name, arg := range r.options {
			if name == "reference" {
				out.WriteString(" || " + arg)
			}
		}
		out.WriteByte('\n')
	}
	return replace(c.SIDMap, out.Bytes())
}

// Rollback switches back to the set before the last update; doing it twice
// goes forward again.
func Rollback(c *Config) error {
	unlock, err := c.lock()
	if err != nil {
		return err
	}
	defer unlock()
	use, before := c.place(), c.previous()
	old, err := before.read()
	if err != nil {
		return err
	}
	if len(old.Rules) == 0 {
		return errors.New("roll back rules: no update has kept any yet")
	}
	now, err := use.read()
	if err != nil {
		return err
	}
	if err := use.write(old); err != nil {
		return fmt.Errorf("roll back rules: %w", errors.Join(err, use.write(now)))
	}
	if err := before.write(now); err != nil {
		return fmt.Errorf("keep the rules rolled back from: %w", err)
	}
	return errors.Join(use.prune(old, now), before.prune(now))
}

func (c *Config) place() place { return place{c.Output, c.ThresholdOut} }

func (c *Config) previous() place {
	return place{dir: filepath.Join(c.DataDir, "update", "previous")}
}

// lock keeps updates apart.
func (c *Config) lock() (unlock func(), err error) {
	dir := filepath.Join(c.DataDir, "update")
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("update rules: %w; --data-dir names another folder", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o640)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("update rules: another update of %s is under way", c.DataDir), f.Close())
	}
	return func() { f.Close() }, nil
}

func readIfThere(path string) ([]byte, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return data, err
}
