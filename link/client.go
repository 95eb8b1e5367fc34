package link

import (
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/hauberk/hauberk/event"
	"github.com/hauberk/hauberk/fleet"
	"github.com/hauberk/hauberk/internal/frame"
	"github.com/hauberk/hauberk/internal/obs"
	"github.com/hauberk/hauberk/internal/run"
)

// Outgoing is a batch to send: a marshalled event.Batch without node,
// incarnation, tenant and host, and what its frame says of it.
type Outgoing struct {
	Class       event.Class
	Incarnation uint32
	First, Last uint64 // sequence
	Events      int
	Payload     []byte // valid until the next call of the Source
}

// Source is where a client takes batches from, the node's spool. Its methods
// are called from the client's goroutine.
type Source interface {
	// Next hands out the next batch of a class, of at most max bytes; nil if
	// there is none. Batches of a class come in order of position.
	Next(class event.Class, max int) (*Outgoing, error)
	// Ready receives when Next may have something after it had nothing.
	Ready() <-chan struct{}
	// Acked says that the gateway has everything of the class up to there.
	Acked(class event.Class, upTo Position)
	// Rewind makes Next begin again after the last Acked: a new connection.
	Rewind()
}

// Owner is the node a client speaks for. Its methods are called from the
// client's goroutine and must not block.
type Owner interface {
	Credentials() (*Credentials, error)
	// Renewed stores a new certificate.
	Renewed(*Renewed) error
	Hello() *Hello // without protocol and dictionaries
	Status() *Status
	Welcome(*Welcome)
	Config(*Config) *ConfigResult
	Command(*fleet.SignedCommand)
	Mode(*fleet.SignedMode)
}

// ClientConfig is the fixed part of a Client. Zero durations mean the default.
type ClientConfig struct {
	Gateways    []string      // host:port; ranked by the client
	DialTimeout time.Duration // connect, handshake and welcome. 10 s
	BackoffMin  time.Duration // 500 ms
	BackoffMax  time.Duration // 2 min
	Incarnation uint32
	Now         func() time.Time // wall clock, for certificates; time.Now
	Log         *slog.Logger
	Metrics     *obs.Registry
}

// State is what a client says of its connection.
type State struct {
	Connected bool
	Gateway   string    // address in use, or tried last
	Since     time.Time // of this state
	Error     string    // of the last failure
	Skew      time.Duration
}

// Client keeps one node connected to one of its gateways and drains its
// source. Make it with NewClient.
type Client struct {
	cfg    ClientConfig
	owner  Owner
	source Source
	out    chan *Frame   // results and whatever else the node wants to say
	nudge  chan struct{} // a status is wanted now
	n      clientCounters

	cache     tls.ClientSessionCache
	cacheOf   *x509.Certificate // whose tickets the cache holds
	gateways  []string          // of the last Welcome
	mustRenew bool              // the gateway said so
	renewed   struct {
		leaf *x509.Certificate
		at   time.Time // by the monotonic clock
	}
	compressor *Compressor
	dictionary uint32

	mu    sync.Mutex
	state State
}

type clientCounters struct {
	connects, failures, brokenProtocol, skipped *obs.Counter
	sent, sentEvents, wire, raw, resumed        *obs.Counter
}

// NewClient returns a client that has not yet connected.
func NewClient(cfg ClientConfig, owner Owner, source Source) *Client {
	setDefault(&cfg.DialTimeout, 10*time.Second)
	setDefault(&cfg.BackoffMin, 500*time.Millisecond)
	setDefault(&cfg.BackoffMax, 2*time.Minute)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Metrics == nil {
		cfg.Metrics = &obs.Registry{}
	}
	r := cfg.Metrics
	c := &Client{cfg: cfg, owner: owner, source: source, out: make(chan *Frame, 64), nudge: make(chan struct{}, 1)}
	c.n = clientCounters{
		connects:       r.Counter("hauberk_link_connects_total", "", "Connections to a gateway that were welcomed."),
		failures:       r.Counter("hauberk_link_failures_total", "", "Connections that failed or ended."),
		brokenProtocol: r.Counter("hauberk_link_protocol_errors_total", "", "Times the gateway broke the protocol."),
		skipped:        r.Counter("hauberk_link_frames_skipped_total", "", "Frames of an unknown kind, skipped."),
		sent:           r.Counter("hauberk_link_batches_sent_total", "", "Batches sent."),
		sentEvents:     r.Counter("hauberk_link_events_sent_total", "", "Events sent, resent ones counted again."),
		wire:           r.Counter("hauberk_link_batch_bytes_total", "form=wire", "Bytes of batches sent."),
		raw:            r.Counter("hauberk_link_batch_bytes_total", "form=raw", "Bytes of batches sent."),
		resumed:        r.Counter("hauberk_link_resumptions_total", "", "TLS sessions resumed."),
	}
	return c
}

// State returns the state of the connection. Safe for concurrent use.
func (c *Client) State() State {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state
}

func (c *Client) setState(change func(*State)) {
	c.mu.Lock()
	change(&c.state)
	c.mu.Unlock()
}

// Result queues a command's result. It fails if too many wait unsent.
func (c *Client) Result(r *fleet.CommandResult) error {
	return c.say(&Frame{Body: &Frame_Result{Result: r}})
}

// ConfigResult queues what became of a config that could not be judged when
// it arrived.
func (c *Client) ConfigResult(r *ConfigResult) error {
	return c.say(&Frame{Body: &Frame_ConfigResult{ConfigResult: r}})
}

func (c *Client) say(f *Frame) error {
	select {
	case c.out <- f:
		return nil
	default:
		return errors.New("too many frames wait for the gateway")
	}
}

// Nudge asks for a Status now instead of at the next heartbeat.
func (c *Client) Nudge() {
	select {
	case c.nudge <- struct{}{}:
	default:
	}
}

// settled is how long a connection must last for the backoff to start over.
const settled = 30 * time.Second

// Run stays connected until the context ends. It fails only if the node has
// no credentials.
func (c *Client) Run(ctx context.Context) error {
	creds, err := c.owner.Credentials()
	if err != nil {
		return err
	}
	defer c.dropCompressor()
	backoff := NewBackoff(c.cfg.BackoffMin, c.cfg.BackoffMax, creds.Identity.Node, c.cfg.Incarnation)
	for try := 0; ctx.Err() == nil; try++ {
		gateways := c.ranked(creds.Identity.Node)
		address := gateways[try%len(gateways)]
		began := time.Now()
		welcomed, err := c.session(ctx, address, backoff)
		if ctx.Err() != nil {
			return nil
		}
		if errors.Is(err, errAgain) {
			try--
			continue
		}
		if welcomed {
			try = -1 // the favourite first
		}
		if welcomed && time.Since(began) > settled {
			backoff.Reset()
		}
		pause := c.failed(address, err, backoff)
		if run.Sleep(ctx, pause) != nil {
			return nil
		}
	}
	return nil
}

// useDictionary makes sure that there is a compressor with that dictionary.
func (c *Client) useDictionary(id uint32) error {
	if c.compressor != nil && c.dictionary == id {
		return nil
	}
	c.dropCompressor()
	compressor, err := NewCompressor(id)
	if err != nil {
		return err
	}
	c.compressor, c.dictionary = compressor, id
	return nil
}

// dropCompressor gives back what the compressor keeps, close to 1 MB.
func (c *Client) dropCompressor() {
	if c.compressor != nil {
		c.compressor.Close()
		c.compressor = nil
	}
}

func (c *Client) ranked(node event.NodeID) []string {
	if len(c.gateways) > 0 {
		return c.gateways
	}
	return Rank(node, c.cfg.Gateways)
}

// failed notes why a connection ended and returns how long to wait.
func (c *Client) failed(address string, err error, backoff *Backoff) time.Duration {
	c.n.failures.Inc()
	if errors.Is(err, ErrProtocol) {
		c.n.brokenProtocol.Inc()
	}
	pause := backoff.Next()
	var refusal *Refusal
	if errors.As(err, &refusal) {
		// The hint is a floor; the backoff on top of it keeps nodes apart.
		pause += refusal.Retry
	}
	c.setState(func(s *State) {
		*s = State{Gateway: address, Since: time.Now(), Error: describe(err), Skew: s.Skew}
	})
	c.cfg.Log.Warn("not connected", "gateway", address, "cause", err, "retry_in", pause.Round(time.Millisecond))
	return pause
}

// errAgain ends a session that shall be followed by another at once.
var errAgain = errors.New("connect again")

// session connects and serves one connection to its end.
func (c *Client) session(ctx context.Context, address string, backoff *Backoff) (welcomed bool, err error) {
	creds, err := c.owner.Credentials()
	if err != nil {
		return false, err
	}
	if c.cacheOf != creds.Leaf {
		// A ticket resumes the identity it was made with: a new certificate
		// starts with none.
		c.cache, c.cacheOf = tls.NewLRUClientSessionCache(4), creds.Leaf
	}
	dialCtx, cancel := context.WithTimeout(ctx, c.cfg.DialTimeout)
	defer cancel()
	t, err := dial(dialCtx, address, clientTLS(&creds.Certificate, c.cache, func(chain []*x509.Certificate) error {
		return verifyGateway(chain, creds.Roots, creds.Identity.Domain, c.cfg.Now())
	}))
	if err != nil {
		return false, err
	}
	defer t.NetConn().Close()
	stop := context.AfterFunc(ctx, func() { farewellTo(t) })
	defer stop()
	if t.ConnectionState().DidResume {
		c.n.resumed.Inc()
	}
	t.SetDeadline(time.Now().Add(c.cfg.DialTimeout))
	if c.mustRenew || c.cfg.Now().After(creds.Leaf.NotAfter) && c.mayRenew(creds) {
		return false, c.renewFirst(t, creds)
	}
	hello := c.owner.Hello()
	hello.Protocol, hello.Dictionaries = Protocol, dictionaries
	in, err := ask(t, &Frame{Body: &Frame_Hello{Hello: hello}})
	if err != nil {
		var refusal *Refusal
		if errors.As(err, &refusal) && refusal.Reason == Reason_REASON_RENEW_ONLY {
			c.mustRenew = true
		}
		return false, err
	}
	welcome, ok := in.Body.(*Frame_Welcome)
	if !ok {
		return false, broken("gateway answered hello with %T", in.Body)
	}
	t.SetDeadline(time.Time{})
	s, err := c.newSession(t, creds, welcome.Welcome)
	if err != nil {
		return false, err
	}
	if w := welcome.Welcome; w.MaxBackoff > 0 {
		backoff.Max = max(c.cfg.BackoffMin, time.Duration(w.MaxBackoff)*time.Millisecond)
	}
	c.n.connects.Inc()
	c.setState(func(st *State) {
		*st = State{Connected: true, Gateway: address, Since: time.Now(), Skew: time.Duration(welcome.Welcome.Time - c.cfg.Now().UnixNano())}
	})
	c.cfg.Log.Info("connected", "gateway", address, "id", welcome.Welcome.Gateway)
	return true, s.serve(ctx)
}

// farewellTo says that the node shuts down and closes.
func farewellTo(t *tls.Conn) {
	t.SetWriteDeadline(time.Now().Add(farewell))
	writeFrame(t, &Frame{Body: &Frame_Goaway{Goaway: &Goaway{Reason: Reason_REASON_SHUTDOWN}}})
	t.NetConn().Close()
}

// renewFirst renews an expired certificate, the only thing it is good for.
func (c *Client) renewFirst(t *tls.Conn, creds *Credentials) error {
	request, err := renewRequest(creds)
	if err != nil {
		return err
	}
	in, err := ask(t, request)
	if err != nil {
		return fmt.Errorf("renew certificate: %w", err)
	}
	renewed, ok := in.Body.(*Frame_Renewed)
	if !ok {
		return broken("gateway answered renew with %T", in.Body)
	}
	c.mustRenew = false
	return c.store(renewed.Renewed)
}

// renewPause is how long a certificate just renewed is not renewed again, even
// if it looks expired: then this machine's clock is wrong.
const renewPause = time.Hour

func (c *Client) mayRenew(creds *Credentials) bool {
	return c.renewed.leaf != creds.Leaf || time.Since(c.renewed.at) > renewPause
}

// store stores a renewed certificate and asks for a connection with it.
func (c *Client) store(r *Renewed) error {
	if err := c.owner.Renewed(r); err != nil {
		return fmt.Errorf("store renewed certificate: %w", err)
	}
	creds, err := c.owner.Credentials()
	if err != nil {
		return err
	}
	c.renewed.leaf, c.renewed.at = creds.Leaf, time.Now()
	if c.cfg.Now().After(creds.Leaf.NotAfter) || c.cfg.Now().Before(creds.Leaf.NotBefore) {
		c.cfg.Log.Error("the new certificate is not valid by this machine's clock: is the clock right?",
			"from", creds.Leaf.NotBefore, "until", creds.Leaf.NotAfter, "clock", c.cfg.Now())
	}
	return errAgain
}

func renewRequest(creds *Credentials) (*Frame, error) {
	csr, err := NewCSR(creds.Certificate.PrivateKey.(crypto.Signer)) // NewCredentials took no other
	if err != nil {
		return nil, err
	}
	return &Frame{Body: &Frame_Renew{Renew: &RenewRequest{Csr: csr}}}, nil
}

// writeFrame writes one frame in one TLS write.
func writeFrame(w io.Writer, f *Frame) error {
	n := f.SizeVT()
	if n > MaxFrame {
		return fmt.Errorf("write frame: %w: %d bytes", frame.ErrTooLarge, n)
	}
	buf := getBuffer()
	defer putBuffer(buf)
	b := frame.AppendHeader((*buf)[:0], n)
	if cap(b) < len(b)+n {
		b = append(make([]byte, 0, len(b)+n), b...)
	}
	b = b[:frame.HeaderSize+n]
	*buf = b
	if _, err := f.MarshalToSizedBufferVT(b[frame.HeaderSize:]); err != nil {
		return fmt.Errorf("write frame: %w", err)
	}
	_, err := w.Write(b)
	return err
}

// readFrame reads one frame; it owns its memory.
func readFrame(r io.Reader) (*Frame, error) {
	buf := getBuffer()
	defer putBuffer(buf)
	body, err := frame.Read(r, *buf, MaxFrame)
	*buf = body
	if err != nil {
		if errors.Is(err, frame.ErrTooLarge) {
			return nil, broken("%v", err)
		}
		return nil, err
	}
	return Decode(body)
}
