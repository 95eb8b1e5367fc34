package ruleset

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/hauberk/hauberk/internal/durable"
	"github.com/hauberk/hauberk/suricata"
)

// IndexURL is where the list of public sources is kept.
const IndexURL = "https://www.openinfosecfoundation.org/rules/index.yaml"

// etOpen is the source used when there is none.
const (
	etOpen    = "et/open"
	etOpenURL = "https://rules.emergingthreats.net/open/suricata-%(__version__)s/emerging.rules.tar.gz"
)

// Sources are the remote sources of an installation: a file for each that was
// ever chosen (NAME.yaml, or NAME.yaml.disabled), and the index of those there are.
type Sources struct {
	Dir   string // of the chosen ones
	Index string // file
}

// A Source is one of them.
type Source struct {
	Name   string `yaml:"-" json:"name"`
	State  string `yaml:"-" json:"state"` // enabled, disabled, or available
	URL    string `yaml:"url" json:"url"`
	Header string `yaml:"-" json:"-"` // it may hold a secret
	// Checksum says whether URL.md5 has the sum; absent: yes.
	Checksum     *bool                `yaml:"checksum" json:"checksum,omitempty"`
	Params       map[string]string    `yaml:"-" json:"-"`
	Summary      string               `yaml:"summary" json:"summary,omitempty"`
	Vendor       string               `yaml:"vendor" json:"vendor,omitempty"`
	License      string               `yaml:"license" json:"license,omitempty"`
	SubscribeURL string               `yaml:"subscribe-url" json:"subscribe_url,omitempty"`
	Deprecated   string               `yaml:"deprecated" json:"deprecated,omitempty"`
	Obsolete     string               `yaml:"obsolete" json:"obsolete,omitempty"`
	Parameters   map[string]Parameter `yaml:"parameters" json:"parameters,omitempty"`
}

// A Parameter is what the URL of a source needs, such as a subscriber's code.
type Parameter struct {
	Prompt string `yaml:"prompt" json:"prompt"`
}

// chosen is the file of a source that was chosen.
type chosen struct {
	Source   string            `yaml:"source"`
	URL      string            `yaml:"url,omitempty"`
	Params   map[string]string `yaml:"params,omitempty"`
	Header   string            `yaml:"http-header,omitempty"`
	Checksum *bool             `yaml:"checksum,omitempty"`
}

// Refresh brings the index up to date.
func (s Sources) Refresh(ctx context.Context, f *Fetcher, from string) error {
	text, err := f.get(ctx, from, "", 16<<20)
	if err != nil {
		return err
	}
	if _, err := parseIndex(text); err != nil {
		return fmt.Errorf("read index of %s: %w; the old one is kept", from, err)
	}
	if err := os.MkdirAll(filepath.Dir(s.Index), 0o750); err != nil {
		return err
	}
	return durable.WriteFile(s.Index, text, 0o640)
}

func parseIndex(text []byte) (map[string]*Source, error) {
	var index struct {
		Sources map[string]*Source `yaml:"sources"`
	}
	if err := yaml.Unmarshal(text, &index); err != nil {
		return nil, err
	}
	if len(index.Sources) == 0 {
		return nil, errors.New("it has no sources")
	}
	for name, source := range index.Sources {
		if source == nil || source.URL == "" {
			return nil, fmt.Errorf("source %s has no url", name)
		}
		source.Name = name
	}
	return index.Sources, nil
}

// index reads the index; without one only et/open is known.
func (s Sources) index() (map[string]*Source, error) {
	text, err := os.ReadFile(s.Index)
	if errors.Is(err, fs.ErrNotExist) {
		return map[string]*Source{etOpen: {Name: etOpen, URL: etOpenURL, Summary: "Emerging Threats Open", License: "MIT"}}, nil
	}
	if err != nil {
		return nil, err
	}
	index, err := parseIndex(text)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w; 'rules update-sources' fetches it anew", s.Index, err)
	}
	return index, nil
}

// List gives all sources known, by name.
func (s Sources) List() ([]*Source, error) {
	all, err := s.index()
	if err != nil {
		return nil, err
	}
	for _, source := range all {
		source.State = "available"
	}
	paths, err := filepath.Glob(filepath.Join(s.Dir, "*.yaml*"))
	if err != nil {
		return nil, err
	}
	for _, p := range paths {
		state := map[string]string{".yaml": "enabled", ".disabled": "disabled"}[filepath.Ext(p)]
		if state == "" {
			continue
		}
		text, err := os.ReadFile(p)
		if err != nil {
			return nil, err
		}
		var c chosen
		if err := yaml.Unmarshal(text, &c); err != nil || c.Source == "" {
			return nil, fmt.Errorf("read %s: want a source: %w", p, err)
		}
		source := cmp.Or(all[c.Source], &Source{Name: c.Source})
		source.State, source.Params, source.Header = state, c.Params, c.Header
		source.URL = cmp.Or(c.URL, source.URL)
		if c.Checksum != nil {
			source.Checksum = c.Checksum
		}
		all[c.Source] = source
	}
	list := make([]*Source, 0, len(all))
	for _, source := range all {
		list = append(list, source)
	}
	slices.SortFunc(list, func(a, b *Source) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}

func (s Sources) find(name string) (*Source, error) {
	list, err := s.List()
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(list, func(o *Source) bool { return o.Name == name })
	if i < 0 {
		return nil, fmt.Errorf("source %s is not known; 'rules list-sources' lists those there are", name)
	}
	return list[i], nil
}

// Enable chooses a source of the index, or one that was disabled. Parameters
// not given stay what they were.
func (s Sources) Enable(name string, params map[string]string) error {
	source, err := s.find(name)
	if err != nil {
		return err
	}
	all := map[string]string{}
	for _, from := range []map[string]string{source.Params, params} {
		for key, value := range from {
			all[key] = value
		}
	}
	for key, p := range source.Parameters {
		if all[key] == "" {
			return fmt.Errorf("source %s needs %s=... (%s)", name, key, p.Prompt)
		}
	}
	c := chosen{Source: name, Params: all, Header: source.Header, Checksum: source.Checksum}
	if _, known := source.indexed(s); !known {
		c.URL = source.URL
	}
	return s.write(c)
}

// indexed says whether the index has the source.
func (o *Source) indexed(s Sources) (*Source, bool) {
	index, err := s.index()
	if err != nil {
		return nil, false
	}
	in, ok := index[o.Name]
	return in, ok
}

// Add chooses a source that no index has.
func (s Sources) Add(name, url, header string, checksum bool) error {
	if _, err := s.find(name); err == nil {
		return fmt.Errorf("source %s is there already; 'rules remove-source %s' removes it", name, name)
	}
	return s.write(chosen{Source: name, URL: url, Header: header, Checksum: &checksum})
}

// write makes the source enabled. Its file may hold secrets.
func (s Sources) write(c chosen) error {
	if !sourceName.MatchString(c.Source) {
		return fmt.Errorf("source name %q: want letters, digits, / . _ or -", c.Source)
	}
	text, err := yaml.Marshal(c)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(s.Dir, 0o750); err != nil {
		return err
	}
	if err := durable.WriteFile(s.file(c.Source), text, 0o600); err != nil {
		return err
	}
	return ignoreAbsent(os.Remove(s.file(c.Source) + ".disabled"))
}

var sourceName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9/._-]*$`)

func (s Sources) file(name string) string {
	return filepath.Join(s.Dir, strings.ReplaceAll(name, "/", "-")+".yaml")
}

// Disable keeps what is known of a source, and does not fetch it any more.
func (s Sources) Disable(name string) error {
	err := os.Rename(s.file(name), s.file(name)+".disabled")
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("source %s is not enabled", name)
	}
	return err
}

// Remove forgets a source.
func (s Sources) Remove(name string) error {
	err := os.Remove(s.file(name))
	if disabled := os.Remove(s.file(name) + ".disabled"); disabled == nil {
		err = ignoreAbsent(err)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("source %s is neither enabled nor disabled", name)
	}
	return err
}

func ignoreAbsent(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// enabled gives the URLs of the enabled sources; warnings tell of those that end.
func (s Sources) enabled() (remotes []Remote, warnings []error, err error) {
	list, err := s.List()
	if err != nil {
		return nil, nil, err
	}
	for _, o := range list {
		switch {
		case o.State != "enabled":
			continue
		case o.Obsolete != "":
			warnings = append(warnings, fmt.Errorf("source %s is obsolete and not fetched: %s", o.Name, o.Obsolete))
			continue
		case o.URL == "":
			return nil, nil, fmt.Errorf("source %s is in no index any more: 'rules update-sources', or 'rules disable-source %s'", o.Name, o.Name)
		case o.Deprecated != "":
			warnings = append(warnings, fmt.Errorf("source %s is deprecated: %s", o.Name, o.Deprecated))
		}
		url, err := expand(o.URL, o.Params)
		if err != nil {
			return nil, nil, fmt.Errorf("source %s: %w", o.Name, err)
		}
		remotes = append(remotes, Remote{url, o.Header, o.Checksum == nil || *o.Checksum})
	}
	return remotes, warnings, nil
}

var placeholder = regexp.MustCompile(`%\(([^)]*)\)s`)

// expand fills %(name)s in a URL; __version__ is that of the rule language.
func expand(url string, params map[string]string) (string, error) {
	var missing error
	full := placeholder.ReplaceAllStringFunc(url, func(p string) string {
		name := p[2 : len(p)-2]
		if name == "__version__" {
			return suricata.Version
		}
		value, ok := params[name]
		if !ok {
			missing = fmt.Errorf("URL %s needs the parameter %s", url, name)
		}
		return value
	})
	return full, missing
}
