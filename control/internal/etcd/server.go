// Package etcd is the control plane's consistent store: an embedded etcd on
// a private Unix socket, a client for it or for an external cluster, and
// Follow, which keeps a copy of a prefix.
package etcd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3rpc"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"

	"github.com/hauberk/hauberk/internal/run"
	"github.com/hauberk/hauberk/internal/sock"
)

// ServerConfig is the embedded etcd's.
type ServerConfig struct {
	Dir    string // made if absent, mode 0700
	Socket string // Unix socket, mode 0600; its folder must exist
	// Quota bounds the database, in bytes; etcd refuses writes beyond.
	Quota int64
	// NoSync leaves out fsync, for tests.
	NoSync bool
}

const (
	// tick and election suit one member: there is nobody to lose an election
	// against, and the election is most of the time to ready.
	tick     = 100 * time.Millisecond
	election = 500 * time.Millisecond
	// Entries of the raft log kept in memory; a single member has no slow
	// follower to catch up.
	snapshotCount  = 5000
	catchUpEntries = 100
	// compaction keeps that much history of keys. Versions of configuration
	// are keys of their own, so history only serves watches that lag.
	compaction = "10m"
	// startPatience bounds waiting for the member to lead itself.
	startPatience = 30 * time.Second
	// minKeepalive is how often clients may ping; they ask every 10 s.
	minKeepalive = 5 * time.Second
)

// Serve runs the embedded etcd until the context ends. ready is called when
// clients can be served. Nothing listens on any TCP port: etcd's own
// listeners are not used.
func Serve(ctx context.Context, c ServerConfig, log *slog.Logger, ready func()) error {
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return fmt.Errorf("make etcd folder: %w", err)
	}
	unlock, err := lock(filepath.Join(c.Dir, "lock"))
	if err != nil {
		return fmt.Errorf("lock etcd folder %s: %w", c.Dir, err)
	}
	defer unlock()
	e, err := embed.StartEtcd(embedded(c, log))
	if err != nil {
		return fmt.Errorf("start etcd in %s: %w", c.Dir, err)
	}
	defer e.Close()
	patience := time.NewTimer(startPatience)
	defer patience.Stop()
	select {
	case <-e.Server.ReadyNotify():
	case <-e.Server.StopNotify():
		return errors.New("etcd stopped while starting; see its log")
	case <-patience.C:
		return fmt.Errorf("etcd in %s was not ready within %s", c.Dir, startPatience)
	case <-ctx.Done():
		return nil
	}
	l, err := sock.Listen(ctx, c.Socket)
	if err != nil {
		return err
	}
	defer os.Remove(c.Socket)
	server := v3rpc.Server(e.Server, nil, nil,
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: minKeepalive}))
	g, _ := run.NewGroup(ctx)
	g.Go("serve etcd clients", func(context.Context) error { return server.Serve(l) })
	g.Go("watch etcd", func(ctx context.Context) error {
		// Stop, not GracefulStop: watches never end by themselves.
		defer server.Stop()
		select {
		case <-ctx.Done():
			return nil
		case <-e.Server.StopNotify():
			return errors.New("etcd stopped by itself; see its log")
		}
	})
	ready()
	return g.Wait()
}

func embedded(c ServerConfig, log *slog.Logger) *embed.Config {
	e := embed.NewConfig()
	e.Name = "hauberk"
	e.Dir = filepath.Join(c.Dir, "member-data")
	// The peer URL is only a name: a single member has no peers.
	e.ListenPeerUrls, e.ListenClientUrls, e.AdvertiseClientUrls = nil, nil, nil
	e.InitialCluster = e.InitialClusterFromName(e.Name)
	e.TickMs, e.ElectionMs = uint(tick.Milliseconds()), uint(election.Milliseconds())
	e.SnapshotCount, e.SnapshotCatchUpEntries = snapshotCount, catchUpEntries
	e.AutoCompactionMode, e.AutoCompactionRetention = embed.CompactorModePeriodic, compaction
	e.QuotaBackendBytes = c.Quota
	e.BackendFreelistType = "map"
	e.MaxTxnOps = 256
	e.UnsafeNoFsync = c.NoSync
	e.EnableGRPCGateway = false
	e.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zapTo(log))
	return e
}

// lock holds a folder against a second server, which would steal the socket
// and then wait for the database without a word.
func lock(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = errors.New("another process uses it")
		}
		return nil, err
	}
	return func() { f.Close() }, nil
}
