package sensor

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/hauberk/hauberk/sensor/internal/app"
	"github.com/hauberk/hauberk/sensor/internal/app/file"
	"github.com/hauberk/hauberk/sensor/internal/decode"
	"github.com/hauberk/hauberk/sensor/internal/detect"
	"github.com/hauberk/hauberk/sensor/internal/eve"
	"github.com/hauberk/hauberk/sensor/internal/filestore"
	"github.com/hauberk/hauberk/sensor/internal/flow"
	"github.com/hauberk/hauberk/sensor/internal/yamlconf"
)

// fileStore is the output that keeps files.
type fileStore struct {
	*filestore.Store
	force bool // All, whether rules want them or not.
	// info writes an event beside each file; nil: none.
	info *eve.Encoder
	errs uint64 // Of those.
}

// openFileStore reads the output file-store.
func openFileStore(n *yamlconf.Node, dir string, opts eve.Options) (*fileStore, error) {
	folder := value(n, "dir", "filestore")
	if !filepath.IsAbs(folder) {
		folder = filepath.Join(dir, folder)
	}
	most, err := strconv.Atoi(value(n, "max-open-files", "1000"))
	if err != nil {
		return nil, fmt.Errorf("file-store: max-open-files: %w", err)
	}
	s := &fileStore{force: yamlconf.IsTrue(value(n, "force-filestore", "no"))}
	if s.Store, err = filestore.Open(folder, cmp.Or(most, 1<<20)); err != nil {
		return nil, err
	}
	if yamlconf.IsTrue(value(n, "write-fileinfo", "no")) {
		s.info = eve.New(opts)
	}
	return s, nil
}

// wantFiles says what is made of files from now on: what the logs want, and
// the rules.
func (pl *pipeline) wantFiles() {
	c := pl.registry.Files()
	*c = pl.settings.files
	if pl.engine != nil {
		md5, sha1, sha256 := pl.engine.Rules().Hashes()
		c.MD5, c.SHA1, c.SHA256 = c.MD5 || md5, c.SHA1 || sha1, c.SHA256 || sha256
	}
	if s := pl.out.store; s != nil && (s.force || pl.engine != nil && pl.engine.Rules().StoresFiles()) {
		c.SHA256 = true
		c.Keep = func() file.Keeper { return s.Begin() }
	}
}

// wantStored notes that a rule wants files kept.
func (pl *pipeline) wantStored(in *detect.Packet, a *detect.Alert, tx app.Tx) {
	o := a.Rule.Find("filestore")
	if o == nil || pl.out.store == nil {
		return
	}
	dirs, scope := [2]bool{}, "file"
	dirs[in.Dir] = true
	if o.Value != nil {
		which, what, _ := strings.Cut(strings.ReplaceAll(o.Value.String(), " ", ""), ",")
		switch which {
		case "request", "to_server":
			dirs = [2]bool{true, false}
		case "response", "to_client":
			dirs = [2]bool{false, true}
		case "both":
			dirs = [2]bool{true, true}
		}
		scope = cmp.Or(what, scope)
	}
	flow := scope == "ssn" || scope == "flow"
	for d, want := range dirs {
		if !want {
			continue
		}
		if flow && in.Flow != nil {
			pl.of(in.Flow).stored[d] = true
		}
		if tx == nil {
			continue
		}
		c := tx.Common()
		c.Stored[d] = c.Stored[d] || scope != "file"
		for _, x := range c.Files[d] {
			if scope != "file" || !x.Logged {
				x.Stored = true
				x.SIDs = append(x.SIDs, a.Rule.SID)
			}
		}
	}
}

// store keeps or forgets a file that ended, before it is logged.
func (pl *pipeline) store(p *decode.Packet, f *flow.Flow, dir app.Dir, c *app.State, x *file.File, pseudo bool) {
	s := pl.out.store
	if s == nil || x.Kept() == nil {
		x.Stored = false
		return
	}
	item := x.Kept()
	if !s.force && !x.Stored && !c.Stored[dir] && !pl.of(f).stored[dir] {
		item.Drop()
		return
	}
	x.Stored = true
	path, ok := item.Store(x.SHA256())
	x.Stored = ok
	if !ok || s.info == nil {
		return
	}
	s.info.Reset()
	s.info.File(p, f, flow.Dir(dir), c.ID, pseudo, c.Protocol.Name, x, nil)
	name := fmt.Sprintf("%s.%d.%d.json", path, p.Time/int64(time.Second), x.ID)
	if err := os.WriteFile(name, s.info.Bytes(), 0o640); err != nil {
		s.errs++
	}
}
