package sensor

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/hauberk/hauberk/sensor/internal/detect"
	"github.com/hauberk/hauberk/sensor/internal/detect/state"
	"github.com/hauberk/hauberk/sensor/internal/yamlconf"
)

// dataDir is where Suricata keeps what it learns, by default.
const dataDir = "/var/lib/suricata/data"

// readData reads the lists of reputation and the datasets that the
// configuration defines. Sets that rules change live on from the rules before,
// which may be nil.
func (r *Report) readData(c Config, tree *yamlconf.Tree, before *detect.Ruleset) {
	config := state.Config{
		Dir:           c.DataDir,
		ForbidWrite:   !tree.Bool("datasets.rules.allow-write", true),
		AllowAbsolute: tree.Bool("datasets.rules.allow-absolute-filenames", false),
	}
	if config.Dir == "" {
		config.Dir = tree.String("default-data-dir", dataDir)
	}
	size := func(path string) uint64 {
		n, err := tree.Size(path, 0)
		r.add(true, "datasets", err)
		return n
	}
	config.Memcap = size("datasets.defaults.memcap")
	config.HashSize = uint32(size("datasets.defaults.hashsize"))
	config.MaxHashSize = uint32(size("datasets.limits.single-hashsize"))
	config.MaxHashSizes = uint32(size("datasets.limits.total-hashsizes"))
	r.data = state.New(config)
	if before != nil {
		r.data.Inherit(before.Data())
	}
	r.reputation(tree)
	if sets := tree.Node("datasets"); sets != nil {
		for _, n := range sets.Children {
			r.add(true, "datasets", r.define(n))
		}
	}
}

// define makes a dataset of the configuration; a node without a type is none.
func (r *Report) define(n *yamlconf.Node) error {
	var options []string
	for _, key := range []string{"type", "state", "load", "memcap", "hashsize"} {
		if v := value(n, key, ""); v != "" {
			options = append(options, key+" "+v)
		}
	}
	if n.Child("type") == nil {
		return nil
	}
	return r.data.DefineByName(n.Name, options)
}

// reputation reads the categories and the lists of reputation.
func (r *Report) reputation(tree *yamlconf.Tree) {
	categories := tree.String("reputation-categories-file", "")
	if categories == "" {
		return
	}
	dir := tree.String("default-reputation-path", "/etc/suricata/iprep")
	path := func(file string) string {
		if filepath.IsAbs(file) {
			return file
		}
		return filepath.Join(dir, file)
	}
	read := func(file string, parse func([]byte, string) error) error {
		text, err := os.ReadFile(path(file))
		if errors.Is(err, os.ErrNotExist) {
			text, err = os.ReadFile(file)
		}
		if err != nil {
			return fmt.Errorf("read reputation: %w", err)
		}
		return parse(text, file)
	}
	r.add(true, "reputation", read(categories, r.data.Reputation.ReadCategories))
	list := tree.Node("reputation-files")
	if list == nil {
		return
	}
	files := []string{list.Value}
	if len(list.Children) > 0 {
		files = nil
		for _, n := range list.Children {
			files = append(files, n.Value)
		}
	}
	for _, f := range files {
		if f != "" {
			r.add(false, "reputation", read(f, r.data.Reputation.ReadList))
		}
	}
}
