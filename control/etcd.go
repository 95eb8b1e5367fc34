package control

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/hauberk/hauberk/control/internal/etcd"
	"github.com/hauberk/hauberk/internal/conf"
)

// EtcdConfig is the embedded etcd's, of the bus role. It is restart-only.
type EtcdConfig struct {
	Dir    string `yaml:"dir"`    // absolute; made if absent
	Socket string `yaml:"socket"` // absolute; Unix socket of mode 0600, its folder exists
	// Quota bounds the database, in bytes, 16 MiB to 8 GiB. A node takes 400
	// bytes of it for its enrolment.
	Quota int64 `yaml:"quota"`
}

// DefaultEtcdConfig has no folder and socket: cmd fills in those of the data
// folder.
func DefaultEtcdConfig() EtcdConfig { return EtcdConfig{Quota: 1 << 30} }

// maxSocket is the longest name of a Unix socket (unix(7)).
const maxSocket = 107

// Validate reports all problems.
func (c *EtcdConfig) Validate() error {
	var p conf.Problems
	if !filepath.IsAbs(c.Dir) {
		p.Addf("dir: %q: want an absolute path", c.Dir)
	}
	if !filepath.IsAbs(c.Socket) || len(c.Socket) > maxSocket {
		p.Addf("socket: %q: want an absolute path of at most %d bytes", c.Socket, maxSocket)
	}
	p.Between("quota", c.Quota, 16<<20, 8<<30)
	return p.Err()
}

// RunEtcd runs the embedded etcd until the context ends. ready is called when
// it serves clients. It listens on the socket only, on no TCP port.
func RunEtcd(ctx context.Context, c EtcdConfig, log *slog.Logger, ready func()) error {
	if err := c.Validate(); err != nil {
		return fmt.Errorf("etcd config: %w", err)
	}
	return etcd.Serve(ctx, etcd.ServerConfig{Dir: c.Dir, Socket: c.Socket, Quota: c.Quota}, log, ready)
}

// Etcd says which etcd to use: the embedded one's socket or an external
// cluster. The same code serves both.
type Etcd = etcd.ClientConfig

// Dial connects to etcd and waits until it answers or the context ends. The
// caller closes the client.
func Dial(ctx context.Context, c Etcd, log *slog.Logger) (*clientv3.Client, error) {
	return etcd.Dial(ctx, c, log)
}
