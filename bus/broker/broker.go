// Package broker is the embedded broker: franz-go's kfake with a data folder,
// behind a Unix socket of mode 0600. It is the only importer of kfake, and
// nothing but the Kafka protocol reaches it.
//
// kfake by itself deletes by size and age without looking at consumer groups.
// Here its own retention is off and the janitor below deletes instead, never
// past the slowest registered group, and refuses what would exceed the cap.
package broker

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/hauberk/hauberk/bus"
	"github.com/hauberk/hauberk/internal/conf"
	"github.com/hauberk/hauberk/internal/obs"
	"github.com/hauberk/hauberk/internal/run"
	"github.com/hauberk/hauberk/internal/sock"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
	"golang.org/x/sys/unix"
)

// Config of the embedded broker; restart-only.
type Config struct {
	// Dir holds the log; Socket is where clients connect. Both absolute; the
	// folders are made with mode 0700.
	Dir    string `yaml:"dir"`
	Socket string `yaml:"socket"`
	// RetentionBytes caps all topics together, 16 MiB to 1,800 MiB; the disk
	// holds up to one more segment (bus.SegmentBytes) per partition.
	RetentionBytes int64 `yaml:"retention_bytes"`
	// RetentionTime is how long messages that all registered groups have
	// committed are kept for replay, 1 min to 30 days.
	RetentionTime time.Duration `yaml:"retention_time"`
	// DiskReserve is the free space, in bytes, below which publishing is
	// refused. The gateway's own, larger reserve stops ingest before.
	DiskReserve int64 `yaml:"disk_reserve"`
	// Sync makes every batch durable before its acknowledgement. Without it
	// nothing is lost by kill -9, but up to 30 s by a power failure.
	Sync bool `yaml:"sync"`
}

// DefaultConfig has neither folder nor socket: cmd fills them in.
func DefaultConfig() Config {
	return Config{RetentionBytes: 512 << 20, RetentionTime: time.Hour, DiskReserve: 64 << 20}
}

// maxRetention leaves room for a segment per partition below 2 GiB.
const maxRetention = 1800 << 20

// maxSocketPath is what sockaddr_un holds on Linux, less the zero byte and
// the suffix while opening.
const maxSocketPath = 107 - len(openingSuffix)

const openingSuffix = ".new"

// Validate reports all problems.
func (c *Config) Validate() error {
	var p conf.Problems
	for key, path := range map[string]string{"dir": c.Dir, "socket": c.Socket} {
		if !filepath.IsAbs(path) {
			p.Addf("%s: %q is not an absolute path", key, path)
		}
	}
	if len(c.Socket) > maxSocketPath {
		p.Addf("socket: %q is longer than %d bytes", c.Socket, maxSocketPath)
	}
	p.Between("retention_bytes", c.RetentionBytes, 16<<20, maxRetention)
	p.DurationBetween("retention_time", c.RetentionTime, time.Minute, 30*24*time.Hour)
	p.Between("disk_reserve", c.DiskReserve, 1<<20, 1<<40)
	return p.Err()
}

// Deps are what the broker needs from outside; each may be nil.
type Deps struct {
	Log      *slog.Logger
	Counters *obs.Registry
	// Ready is called once, when the socket accepts clients and all declared
	// topics exist.
	Ready func()
}

// Run serves until ctx ends, then saves and closes. The socket appears when
// everything is ready; a second broker on the same folder is refused.
//
// Steps: lock the folder; open the log (sequential, reads all of it); make
// the topics; show the socket; run the janitor beside the serving goroutines.
func Run(ctx context.Context, config Config, deps Deps) error {
	if err := config.Validate(); err != nil {
		return fmt.Errorf("broker config: %w", err)
	}
	if deps.Log == nil {
		deps.Log = slog.New(slog.DiscardHandler)
	}
	if deps.Counters == nil {
		deps.Counters = &obs.Registry{}
	}
	for _, dir := range []string{config.Dir, filepath.Dir(config.Socket)} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("open broker: %w", err)
		}
	}
	unlock, err := lock(filepath.Join(config.Dir, "lock"))
	if err != nil {
		return err
	}
	defer unlock()
	opening := config.Socket + openingSuffix
	cluster, err := open(ctx, config, opening, deps.Log)
	if err != nil {
		return err
	}
	defer cluster.Close()
	j, err := prepare(ctx, opening, config, deps, cluster)
	if err != nil {
		return err
	}
	if err := os.Rename(opening, config.Socket); err != nil {
		return fmt.Errorf("show broker socket: %w", err)
	}
	defer removeSocket(config.Socket, deps.Log)
	// Opening read the whole log; give that memory back.
	debug.FreeOSMemory()
	if deps.Ready != nil {
		deps.Ready()
	}
	return j.run(ctx)
}

// prepare makes the declared topics, takes back commits beyond the end of a
// log that lost its tail, and measures, all through the not yet public socket.
func prepare(ctx context.Context, socket string, config Config, deps Deps, cluster *kfake.Cluster) (*janitor, error) {
	client, err := connect(ctx, socket, deps.Log)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	if err := client.CreateTopics(ctx); err != nil {
		return nil, err
	}
	moved, err := client.RewindCommits(ctx)
	if err != nil {
		return nil, err
	}
	if moved > 0 {
		deps.Log.Warn("broker log lost its end in a crash, groups go back to it", "partitions", moved)
	}
	j := newJanitor(config, deps, cluster)
	if err := j.pass(ctx, client); err != nil {
		return nil, err
	}
	cluster.ControlKey(int16(kmsg.Produce), j.admit)
	return j, nil
}

func connect(ctx context.Context, socket string, log *slog.Logger) (*bus.Client, error) {
	config := bus.DefaultConfig()
	config.Brokers = []string{"unix:" + socket}
	config.ClientID = "hauberk-broker"
	return bus.Open(ctx, config, log, nil)
}

// lock takes the folder for this process; the kernel gives it back when the
// process dies.
func lock(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock broker folder: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock broker folder %s: another broker runs on it: %w", filepath.Dir(path), err)
	}
	return func() { f.Close() }, nil
}

// open starts kfake on the socket.
func open(ctx context.Context, config Config, socket string, log *slog.Logger) (*kfake.Cluster, error) {
	listen := func(string, string) (net.Listener, error) {
		l, err := sock.Listen(ctx, socket)
		if err != nil {
			return nil, err
		}
		l.SetUnlinkOnClose(false) // it is renamed when ready
		return listener{l}, nil
	}
	opts := []kfake.Opt{
		kfake.NumBrokers(1),
		kfake.ClusterID(bus.EmbeddedClusterID),
		kfake.ListenFn(listen),
		kfake.DataDir(config.Dir),
		kfake.WithLogger(logger{log}),
		kfake.BrokerConfigs(brokerConfigs(config)),
	}
	if config.Sync {
		opts = append(opts, kfake.SyncWrites())
	}
	cluster, err := kfake.NewCluster(opts...)
	if err != nil {
		return nil, fmt.Errorf("open broker log %s: %w", config.Dir, err)
	}
	return cluster, nil
}

// brokerConfigs states the retention for clients (Fill) and turns off what
// would delete without looking at groups; topics carry their own -1.
func brokerConfigs(config Config) map[string]string {
	const never = 100 * 365 * 24 * 60 // minutes
	return map[string]string{
		"log.retention.bytes":       strconv.FormatInt(config.RetentionBytes, 10),
		"log.retention.ms":          "-1",
		"offsets.retention.minutes": strconv.Itoa(never),
		"state.log.compact.bytes":   strconv.Itoa(1 << 20),
		"message.max.bytes":         strconv.Itoa(bus.MaxMessageBytes),
	}
}

// listener is the private Unix socket. Its address reads as host:port,
// because kfake advertises it; bus.EmbeddedAddress resolves nowhere.
type listener struct{ *net.UnixListener }

type advertised struct{}

func (advertised) Network() string { return "tcp" }
func (advertised) String() string  { return bus.EmbeddedAddress }

func (listener) Addr() net.Addr { return advertised{} }

func (l listener) Accept() (net.Conn, error) {
	conn, err := l.UnixListener.Accept()
	if err != nil {
		return nil, err
	}
	return &bounded{Conn: conn}, nil
}

// maxRequest bounds one request, as Kafka's socket.request.max.bytes does by
// default; kfake would allocate whatever the length prefix says.
const (
	maxRequest = 100 << 20
	minRequest = 8 // key, version, correlation id
	lengthSize = 4
)

// bounded follows the requests of a connection, each four bytes of length and
// that many more, two of them its key, and ends the connection at one that is
// too large, too short or of no known kind, at which kfake would panic.
type bounded struct {
	net.Conn
	header [6]byte
	have   int    // bytes of header
	body   uint32 // bytes after the header still to come
}

func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.Conn.Read(p)
	for rest := p[:n]; len(rest) > 0; {
		if b.body > 0 {
			skip := min(int(b.body), len(rest))
			b.body -= uint32(skip)
			rest = rest[skip:]
			continue
		}
		b.header[b.have] = rest[0]
		rest = rest[1:]
		if b.have = (b.have + 1) % len(b.header); b.have > 0 && b.have != lengthSize {
			continue
		}
		size := binary.BigEndian.Uint32(b.header[:])
		if size > maxRequest || size < minRequest {
			return 0, fmt.Errorf("request of %d bytes is outside %d to %d", size, minRequest, maxRequest)
		}
		if b.have == lengthSize {
			continue
		}
		if key := int16(binary.BigEndian.Uint16(b.header[lengthSize:])); kmsg.RequestForKey(key) == nil {
			return 0, fmt.Errorf("request of unknown kind %d", key)
		}
		b.body = size - uint32(len(b.header)-lengthSize)
	}
	return n, err
}

func removeSocket(path string, log *slog.Logger) {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		log.Warn("remove broker socket", "err", err)
	}
}

// logger hands kfake's warnings to slog.
type logger struct{ log *slog.Logger }

func (l logger) Logf(level kfake.LogLevel, format string, args ...any) {
	to := slog.LevelWarn
	switch level {
	case kfake.LogLevelError:
		to = slog.LevelError
	case kfake.LogLevelWarn:
	default:
		return
	}
	l.log.Log(context.Background(), to, "broker: "+fmt.Sprintf(format, args...))
}

// janitor keeps the log within its retention.
type janitor struct {
	config  Config
	deps    Deps
	cluster *kfake.Cluster
	kick    chan struct{}
	topics  map[string]*topicState   // by name; fixed, as the next
	byID    map[[16]byte]*topicState // newer clients publish by topic id
	diskLow atomic.Bool
	written atomic.Int64 // bytes admitted since the last pass

	trimmed, refused, refusedDisk *obs.Counter
}

// topicState is what admit needs to know, kept by the janitor.
type topicState struct {
	budget int64
	size   atomic.Int64 // bytes, of the last pass plus what came since
	fill   atomic.Int64 // per mille
}

const (
	// idlePass is how often the janitor looks when nothing is written; it
	// bounds how late messages leave by age.
	idlePass = 30 * time.Second
	// passPause bounds the cost of passes while the broker is full.
	passPause = 20 * time.Millisecond
	// passShare: a pass follows after this part of the retention was written.
	passShare = 32
	// trimAbove and trimTo, in eighths of the budget: committed messages are
	// trimmed early enough that publishing never waits for a pass.
	trimAbove, trimTo = 6, 5
)

func newJanitor(config Config, deps Deps, cluster *kfake.Cluster) *janitor {
	j := &janitor{
		config: config, deps: deps, cluster: cluster,
		kick:        make(chan struct{}, 1),
		topics:      map[string]*topicState{},
		byID:        map[[16]byte]*topicState{},
		trimmed:     deps.Counters.Counter("hauberk_bus_trimmed_messages_total", "", "messages deleted by retention, all committed by every registered group"),
		refused:     deps.Counters.Counter("hauberk_bus_refused_requests_total", "reason=full", "publish requests refused"),
		refusedDisk: deps.Counters.Counter("hauberk_bus_refused_requests_total", "reason=disk", "publish requests refused"),
	}
	for _, t := range bus.Topics() {
		s := &topicState{budget: bus.Budget(config.RetentionBytes, t)}
		j.topics[t.Name] = s
		if info := cluster.TopicInfo(t.Name); info != nil {
			j.byID[info.TopicID] = s
		}
		deps.Counters.Gauge("hauberk_bus_fill_permille", "topic="+t.Name, "share of the retention that some registered group has not committed",
			func() uint64 { return uint64(s.fill.Load()) })
		deps.Counters.Gauge("hauberk_bus_topic_bytes", "topic="+t.Name, "size of the topic's log",
			func() uint64 { return uint64(s.size.Load()) })
	}
	return j
}

// admit sees every publish request before kfake does, on kfake's one
// goroutine: it lets the request through or answers it with POLICY_VIOLATION,
// which bus.Client knows as ErrFull.
func (j *janitor) admit(request kmsg.Request) (kmsg.Response, error, bool) {
	j.cluster.KeepControl()
	produce := request.(*kmsg.ProduceRequest)
	var bytes int64
	full := false
	for i := range produce.Topics {
		t := &produce.Topics[i]
		var size int64
		for k := range t.Partitions {
			size += int64(len(t.Partitions[k].Records))
		}
		bytes += size
		s := j.topics[t.Topic]
		if s == nil {
			s = j.byID[t.TopicID]
		}
		if s != nil && s.size.Add(size) > s.budget {
			s.size.Add(-size)
			full = true
		}
	}
	if j.written.Add(bytes) > j.config.RetentionBytes/passShare || full || j.diskLow.Load() {
		select {
		case j.kick <- struct{}{}:
		default:
		}
	}
	switch {
	case j.diskLow.Load():
		j.refusedDisk.Inc()
	case full:
		j.refused.Inc()
	default:
		return nil, nil, false
	}
	return refuse(produce), nil, true
}

func refuse(produce *kmsg.ProduceRequest) kmsg.Response {
	response := produce.ResponseKind().(*kmsg.ProduceResponse)
	if produce.Acks == 0 {
		return nil
	}
	for _, t := range produce.Topics {
		out := kmsg.NewProduceResponseTopic()
		out.Topic, out.TopicID = t.Topic, t.TopicID
		for _, p := range t.Partitions {
			answer := kmsg.NewProduceResponseTopicPartition()
			answer.Partition, answer.ErrorCode = p.Partition, kerr.PolicyViolation.Code
			out.Partitions = append(out.Partitions, answer)
		}
		response.Topics = append(response.Topics, out)
	}
	return response
}

// run makes a pass when kicked or due, until ctx ends.
func (j *janitor) run(ctx context.Context) error {
	client, err := connect(ctx, j.config.Socket, j.deps.Log)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	defer client.Close()
	due := time.NewTicker(idlePass)
	defer due.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-due.C:
		case <-j.kick:
		}
		if err := run.Protect(func() error { return j.pass(ctx, client) }); err != nil && ctx.Err() == nil {
			j.deps.Log.Error("broker retention pass failed", "err", err)
		}
		if run.Sleep(ctx, passPause) != nil {
			return nil
		}
	}
}

// pass measures, trims and publishes the state that admit reads.
func (j *janitor) pass(ctx context.Context, client *bus.Client) error {
	j.written.Store(0)
	if err := j.checkDisk(); err != nil {
		return err
	}
	usage, err := client.Usage(ctx)
	if err != nil {
		return err
	}
	for _, u := range usage {
		n, err := client.Trim(ctx, u, bus.Limit{
			Above: u.Budget / 8 * trimAbove,
			To:    u.Budget / 8 * trimTo,
			Age:   j.config.RetentionTime,
		})
		if err != nil {
			return err
		}
		j.trimmed.Add(uint64(n))
	}
	if usage, err = client.Usage(ctx); err != nil {
		return err
	}
	for _, u := range usage {
		s := j.topics[u.Topic]
		s.size.Store(u.Bytes())
		s.fill.Store(int64(u.Fill() * 1000))
	}
	return nil
}

func (j *janitor) checkDisk() error {
	var st unix.Statfs_t
	if err := unix.Statfs(j.config.Dir, &st); err != nil {
		return fmt.Errorf("measure free space of %s: %w", j.config.Dir, err)
	}
	j.diskLow.Store(int64(st.Bavail)*st.Bsize < j.config.DiskReserve)
	return nil
}
