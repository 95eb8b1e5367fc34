// Package sensor is the network sensor: it reads configuration and rules as
// Suricata 8 does (Check says everything that is wrong with them), follows the
// packets of a capture (Read) or an interface (OpenLive), and writes Suricata's
// logs. pipeline.go is the way of a packet.
package sensor

import (
	_ "embed" // for the built-in configuration
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/hauberk/hauberk/sensor/internal/yamlconf"
)

// builtIn is the configuration where there is none.
//
//go:embed default.yaml
var builtIn []byte

// Config is what the command line says. All else stands in the file.
type Config struct {
	// File is suricata.yaml. Where the default one is not there, a built-in
	// configuration takes its place.
	File string
	// Set are assignments (path=value) that win over the file, in order.
	Set []string
	// Rules are rule files; Exclusive says that those of the file do not count.
	Rules     []string
	Exclusive bool
	// NoDetection reads no rules at all.
	NoDetection bool
	// LogDir is where logs go; empty: where the file says.
	LogDir string
	// DataDir is where datasets are kept; empty: where the file says.
	DataDir string
	// Capture is a file to read, or a folder of them.
	Capture string
	// Interface is one to watch.
	Interface string
	// Checksums is all, none or auto: whether wrong ones count;
	// empty: of a capture as the file says, of an interface not.
	Checksums string
	// SimulateIPS judges a capture as if it were inline: streams on arrival,
	// and what rules drop is dropped.
	SimulateIPS bool
	// Strict: no run with rules that are wrong.
	Strict bool
}

// DefaultConfig is what Suricata does without options.
func DefaultConfig() Config { return Config{File: "/etc/suricata/suricata.yaml"} }

// Validate reports all problems of c itself; it does not read the file.
func (c *Config) Validate() error {
	var errs []error
	if c.File == "" {
		errs = append(errs, errors.New("config: no file"))
	}
	if _, ok := checksumModes[c.Checksums]; !ok {
		errs = append(errs, fmt.Errorf("config: checksums %q: all, none or auto", c.Checksums))
	}
	if c.NoDetection && len(c.Rules) > 0 {
		errs = append(errs, errors.New("config: rules are given, and detection is disabled"))
	}
	if c.LogDir != "" {
		if st, err := os.Stat(c.LogDir); err != nil {
			errs = append(errs, fmt.Errorf("config: log folder: %w", err))
		} else if !st.IsDir() {
			errs = append(errs, fmt.Errorf("config: log folder: %s is not a folder", c.LogDir))
		}
	}
	return errors.Join(errs...)
}

// load reads the file and applies the assignments.
func (c *Config) load() (*yamlconf.Tree, error) {
	tree, err := yamlconf.Load(c.File)
	if errors.Is(err, fs.ErrNotExist) && c.File == DefaultConfig().File {
		tree, err = yamlconf.Parse("default.yaml", builtIn)
	}
	if err != nil {
		return nil, err
	}
	for _, s := range c.Set {
		if err := tree.Set(s); err != nil {
			return nil, err
		}
	}
	return tree, nil
}

// DumpConfig prints the configuration as Suricata's --dump-config does.
func DumpConfig(c Config, w io.Writer) error {
	tree, err := c.load()
	if err != nil {
		return err
	}
	return tree.Dump(w)
}
