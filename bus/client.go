package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/hauberk/hauberk/internal/obs"
	"github.com/hauberk/hauberk/internal/run"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Client publishes, consumes and administers. It is safe for concurrent use.
type Client struct {
	config Config
	log    *slog.Logger
	common []kgo.Opt
	kafka  *kgo.Client // publishes and administers; consumers have their own
	admin  *kadm.Client
	count  counters

	registry *obs.Registry

	mu     sync.Mutex
	groups map[string]map[topicPartition]*progress
	budget *budget // asked for once: it is fixed while a broker runs
}

type topicPartition struct {
	topic     string
	partition int32
}

// progress is how far a group's consumer in this process got.
type progress struct {
	delivered int64 // next offset that was never delivered here
	behind    int64 // messages after the last delivered
}

type counters struct {
	published, bytes                    *obs.Counter
	full, unavailable, tooLarge, failed *obs.Counter
	consumed, redelivered               *obs.Counter
	handleFailed, commitFailed          *obs.Counter
	fetchFailed, dataLost, aborted      *obs.Counter
}

func newCounters(r *obs.Registry) counters {
	failed := func(reason string) *obs.Counter {
		return r.Counter("hauberk_bus_publish_failures_total", "reason="+reason, "messages that were not acknowledged")
	}
	trouble := func(reason string) *obs.Counter {
		return r.Counter("hauberk_bus_consume_failures_total", "reason="+reason, "failures while consuming")
	}
	return counters{
		published:    r.Counter("hauberk_bus_published_messages_total", "", "messages acknowledged by the broker"),
		bytes:        r.Counter("hauberk_bus_published_bytes_total", "", "bytes of key and value acknowledged by the broker"),
		full:         failed("full"),
		unavailable:  failed("unavailable"),
		tooLarge:     failed("too_large"),
		failed:       failed("other"),
		consumed:     r.Counter("hauberk_bus_consumed_messages_total", "", "messages handed to a consumer"),
		redelivered:  r.Counter("hauberk_bus_redelivered_messages_total", "", "messages handed to a consumer of this process more than once"),
		handleFailed: trouble("handle"),
		commitFailed: trouble("commit"),
		fetchFailed:  trouble("fetch"),
		dataLost:     trouble("data_loss"),
		aborted:      trouble("transaction_aborted"),
	}
}

// How the client waits. Long polls make an idle consumer nearly free: the
// broker answers a fetch as soon as one byte is there. A fetch that waits
// holds up the next one on its connection after a rebalance or an aborted
// transaction, so it must not wait long.
const (
	fetchMaxWait      = 500 * time.Millisecond
	fetchMaxBytes     = 8 << 20
	retryMin          = 50 * time.Millisecond
	retryMax          = time.Second
	metadataMinAge    = 250 * time.Millisecond
	dialTimeout       = 5 * time.Second
	closeTimeout      = 5 * time.Second
	maxBufferedCount  = 100_000
	requestOverheadIn = 10 * time.Second
)

// Open connects and waits until a broker answers or ctx ends. The log and the
// registry may be nil.
func Open(ctx context.Context, config Config, log *slog.Logger, registry *obs.Registry) (*Client, error) {
	if err := config.Validate(); err != nil {
		return nil, fmt.Errorf("bus config: %w", err)
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if registry == nil {
		registry = &obs.Registry{}
	}
	c := &Client{
		config:   config,
		log:      log,
		count:    newCounters(registry),
		groups:   map[string]map[topicPartition]*progress{},
		registry: registry,
	}
	var err error
	if c.common, err = config.options(log); err != nil {
		return nil, err
	}
	// Time-outs and cancelled contexts end a message even when it may be on
	// its way; ErrUnavailable says that it may have been written.
	publish := append(c.publishOptions(), kgo.AllowIdempotentProduceCancellation())
	if c.kafka, err = kgo.NewClient(append(publish, c.common...)...); err != nil {
		return nil, fmt.Errorf("open bus: %w", err)
	}
	c.admin = kadm.NewClient(c.kafka)
	backoff := run.Backoff{Min: retryMin, Max: retryMax}
	for {
		err := c.kafka.Ping(ctx)
		if err == nil {
			return c, nil
		}
		if err = classify(err); errors.Is(err, ErrDenied) {
			c.kafka.Close()
			return nil, fmt.Errorf("open bus %v: %w", config.Brokers, err)
		}
		if run.Sleep(ctx, backoff.Next()) != nil {
			c.kafka.Close()
			return nil, fmt.Errorf("open bus %v: %w: %w", config.Brokers, ErrUnavailable, err)
		}
	}
}

// options are what every connection of this client shares.
func (c *Config) options(log *slog.Logger) ([]kgo.Opt, error) {
	opts := []kgo.Opt{
		kgo.ClientID(c.ClientID),
		kgo.WithLogger(logger{log}),
		kgo.MetadataMinAge(metadataMinAge),
		kgo.RequestTimeoutOverhead(requestOverheadIn),
		kgo.RetryBackoffFn(func(n int) time.Duration {
			backoff := run.Backoff{Min: retryMin, Max: retryMax}
			d := backoff.Next()
			for range min(n, 8) {
				d = backoff.Next()
			}
			return d
		}),
		kgo.DisableClientMetrics(),
	}
	if path := c.socket(); path != "" {
		// The embedded broker advertises a name that cannot be resolved;
		// whatever address the protocol hands out, it is this socket.
		dialer := &net.Dialer{Timeout: dialTimeout}
		return append(opts,
			kgo.SeedBrokers(EmbeddedAddress),
			kgo.Dialer(func(ctx context.Context, _, _ string) (net.Conn, error) {
				return dialer.DialContext(ctx, "unix", path)
			})), nil
	}
	opts = append(opts, kgo.SeedBrokers(c.Brokers...), kgo.DialTimeout(dialTimeout))
	if c.TLS.Enabled {
		tlsConfig, err := c.TLS.config()
		if err != nil {
			return nil, err
		}
		opts = append(opts, kgo.DialTLSConfig(tlsConfig))
	}
	if m := c.SASL.mechanism(); m != nil {
		opts = append(opts, kgo.SASL(m))
	}
	return opts, nil
}

// EmbeddedAddress is what the embedded broker advertises: a name of the
// reserved domain .invalid (RFC 2606), so that a client without the socket
// reaches nobody.
const EmbeddedAddress = "bus.hauberk.invalid:9092"

func (c *Client) publishOptions() []kgo.Opt {
	opts := []kgo.Opt{
		kgo.ProducerLinger(c.config.Linger),
		kgo.RecordDeliveryTimeout(c.config.PublishTimeout),
		kgo.MaxBufferedRecords(maxBufferedCount),
		kgo.MaxBufferedBytes(int(c.config.BufferBytes)),
		kgo.ProducerBatchMaxBytes(MaxMessageBytes),
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)),
		kgo.UnknownTopicRetries(4),
	}
	if c.config.AtMostOnce {
		opts = append(opts, kgo.DisableIdempotentWrite(), kgo.RequiredAcks(kgo.LeaderAck()), kgo.RecordRetries(0), kgo.MaxProduceRequestsInflightPerBroker(1))
	}
	return opts
}

// Close waits up to 5 s for what was published, then fails the rest with
// ErrClosed and disconnects.
func (c *Client) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	if err := c.kafka.Flush(ctx); err != nil {
		c.log.Warn("bus closed before everything was acknowledged", "messages", c.kafka.BufferedProduceRecords())
	}
	c.kafka.Close()
}

// Publish sends the messages and waits until the broker acknowledged all.
// Messages of one key keep their order. The error is the first one; messages
// after it may have been written.
func (c *Client) Publish(ctx context.Context, messages ...Message) error {
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		first error
	)
	wg.Add(len(messages))
	for _, m := range messages {
		c.PublishAsync(ctx, m, func(err error) {
			if err != nil {
				mu.Lock()
				if first == nil {
					first = err
				}
				mu.Unlock()
			}
			wg.Done()
		})
	}
	wg.Wait()
	return first
}

// PublishAsync buffers one message and calls done, from another goroutine,
// when it was acknowledged (nil) or failed. It blocks while the buffer is
// full. done must be short: it holds up the others. The caller leaves Key and
// Value alone until then.
func (c *Client) PublishAsync(ctx context.Context, m Message, done func(error)) {
	record := &kgo.Record{Topic: m.Topic, Key: m.Key, Value: m.Value, Timestamp: m.Time}
	if len(m.Key)+len(m.Value) > MaxMessageBytes-recordOverhead {
		c.count.tooLarge.Inc()
		done(fmt.Errorf("publish to %s: %w: %d bytes", m.Topic, ErrTooLarge, len(m.Key)+len(m.Value)))
		return
	}
	c.kafka.Produce(ctx, record, func(r *kgo.Record, err error) {
		done(c.account(r, err))
	})
}

// recordOverhead is room for the headers of a batch and of a record.
const recordOverhead = 1 << 10

// account counts the outcome of one message and names its error.
func (c *Client) account(r *kgo.Record, err error) error {
	if err == nil {
		c.count.published.Inc()
		c.count.bytes.Add(uint64(len(r.Key) + len(r.Value)))
		return nil
	}
	err = classify(err)
	switch {
	case errors.Is(err, ErrFull):
		c.count.full.Inc()
	case errors.Is(err, ErrUnavailable):
		c.count.unavailable.Inc()
	case errors.Is(err, ErrTooLarge):
		c.count.tooLarge.Inc()
	default:
		c.count.failed.Inc()
	}
	return fmt.Errorf("publish to %s: %w", r.Topic, err)
}

// logger hands franz-go's warnings to slog.
type logger struct{ log *slog.Logger }

func (l logger) Level() kgo.LogLevel {
	ctx := context.Background()
	switch {
	case l.log.Enabled(ctx, slog.LevelDebug):
		return kgo.LogLevelInfo
	case l.log.Enabled(ctx, slog.LevelWarn):
		return kgo.LogLevelWarn
	}
	return kgo.LogLevelNone
}

func (l logger) Log(level kgo.LogLevel, msg string, keyvals ...any) {
	to := slog.LevelDebug
	switch level {
	case kgo.LogLevelError:
		to = slog.LevelError
	case kgo.LogLevelWarn:
		to = slog.LevelWarn
	}
	l.log.Log(context.Background(), to, "bus: "+msg, keyvals...)
}
