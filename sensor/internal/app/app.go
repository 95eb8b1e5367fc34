// Package app is what a parser of an application protocol and the rest of the
// sensor say to each other. One folder below it is one protocol.
//
// A [Protocol] describes itself: how it is recognised, which transports carry
// it, which buffers its transactions hand to rules, which events it can raise
// and how its transactions are logged. Its [Parser] belongs to one flow: bytes
// go in as they are acknowledged, [Tx]s come out and live until both
// directions are inspected and logged. The driver (session.go) recognises the
// protocol of a flow, feeds its parser and frees its transactions; detection
// and output only read.
//
// Adding a protocol is one folder with a Protocol value, and one line in
// package protocols.
package app

import (
	"net/netip"
	"slices"
	"strconv"

	"github.com/hauberk/hauberk/sensor/internal/app/file"
	"github.com/hauberk/hauberk/sensor/internal/jsonw"
	"github.com/hauberk/hauberk/sensor/internal/yamlconf"
	"github.com/hauberk/hauberk/suricata"
	"github.com/hauberk/hauberk/suricata/match"
)

// Dir is the direction bytes travel in, an index of arrays of two.
type Dir uint8

// The directions.
const (
	ToServer Dir = iota
	ToClient
)

// Other is the opposite direction.
func (d Dir) Other() Dir { return d ^ 1 }

// Transport is a set of transports.
type Transport uint8

// The transports that carry application protocols.
const (
	TCP Transport = 1 << iota
	UDP
)

// Verdict is what a probe says of the first bytes of a direction.
type Verdict uint8

// The verdicts of a probe.
const (
	// Unsure: more bytes are needed.
	Unsure Verdict = iota
	No
	Yes
	// Reversed: it is the protocol, and these bytes come from its other side;
	// the flow's directions are the wrong way round.
	Reversed
	// Fallback: it is the protocol, if what the other side says tells of no
	// other; until then as Unsure.
	Fallback
)

// Signature recognises a protocol by text near the start of a direction.
type Signature struct {
	Dir           Dir
	Text          string
	Fold          bool // ASCII letters match both cases
	Offset, Depth int  // the text lies in bytes [Offset, Depth)
}

// Protocol describes an application protocol. It is immutable.
type Protocol struct {
	Name      string // as rules and EVE call it
	Aliases   []string
	Transport Transport
	// Ports are those of servers at which Probe is asked first. A protocol
	// with signatures alone is found at any port.
	Ports      []uint16
	Signatures []Signature
	Probe      func(dir Dir, data []byte) Verdict // nil: signatures decide

	// Off: it is recognised only where suricata.yaml has it on.
	Off bool

	// Deep: its connections are followed beyond stream.reassembly.depth.
	Deep bool

	// ClientFirst: its server says nothing before the client has. A flow in which
	// it does is not followed.
	ClientFirst bool

	// New makes the parser of a flow; nil for a protocol that is recognised
	// and not parsed.
	New func(*Context) Parser
	// Progress names the steps of a transaction in each direction, in order;
	// the last one is complete.
	Progress [2][]string
	// Buffers are those its transactions have, with the step of progress from
	// which on each may be read in each direction.
	Buffers []Extractor
	// Events names what may be raised, by EventID.
	Events []string
	// Frames names the kinds of frames, by FrameID.
	Frames []string
	Logs   []Log
}

// Extractor says that a protocol's transactions have a buffer.
type Extractor struct {
	Buffer suricata.Buffer
	Dir    Dir
	Step   uint8 // of progress in Dir from which on it may be read
}

// Log is one kind of EVE event made from transactions.
type Log struct {
	Type string // event_type of EVE, and the name of the type in eve-log
	With string // the type in eve-log that switches it on, if not Type
	// ByPacket: its ends are those of the packet that completed it, not of the
	// flow.
	ByPacket bool
	// A transaction is logged once, when both directions reached these steps.
	Step [2]uint8
	// Append writes the members of the event below the common ones, such as
	// "http":{...}. It is also what an alert shows of its transaction.
	// options are those of the type in suricata.yaml, made by Options; nil:
	// the defaults.
	Append func(w *jsonw.Writer, tx Tx, options any)
	// Wanted says whether a transaction is logged at all; nil: yes.
	Wanted func(tx Tx, options any) bool
	// Options reads the options of the type from suricata.yaml; get returns the
	// text of a key, of a list its entries with spaces between them, false if
	// absent. nil: it has none.
	Options func(get func(key string) (string, bool)) (any, error)
}

// Switch is the type in eve-log that switches the log on.
func (l *Log) Switch() string {
	if l.With != "" {
		return l.With
	}
	return l.Type
}

// EventID is an index into Protocol.Events.
type EventID uint8

// FrameID is an index into Protocol.Frames.
type FrameID uint8

// Input is the next bytes of one direction of a flow.
type Input struct {
	Dir  Dir
	Data []byte // what the parser has not consumed yet, from Offset on
	// Offset of Data[0] in the direction's stream; 0 for datagrams.
	Offset uint64
	End    bool  // nothing follows
	Time   int64 // nanoseconds since 1970, of the packet that brought it
}

// Parser parses one flow. It is called by one goroutine.
type Parser interface {
	// Parse takes bytes and returns how many it consumed. Bytes that were not
	// consumed come again with more behind them; need is how many more it
	// wants at least (0: any). A parser bounds what it leaves: beyond
	// MaxPending the flow's parsing ends. A datagram is always consumed whole.
	Parse(in *Input) (consumed, need int)
	// Gap says that size bytes of a direction are lost. It returns false if
	// parsing cannot go on.
	Gap(dir Dir, size uint64) bool
	// Txs are the transactions not yet freed, oldest first.
	Txs() []Tx
	// Free forgets a transaction that was inspected and logged.
	Free(Tx)
	// End says that the flow is over: what is incomplete stays so.
	End()
}

// Config is what protocols need of suricata.yaml.
type Config struct {
	Files file.Config
	// Get is the text at a path below app-layer.protocols, and whether it is there.
	Get func(path string) (string, bool)
	// Wants says whether a rule looks into a buffer; nil: none does.
	Wants func(suricata.Buffer) bool
}

// Fingerprints says whether fingerprints are made to be logged: the setting at
// a path says so, or is neither yes nor no and a rule wants one of the buffers.
func (c *Config) Fingerprints(path string, buffers ...suricata.Buffer) bool {
	switch text := c.Text(path, "auto"); {
	case yamlconf.IsTrue(text):
		return true
	case text != "auto" || c.Wants == nil:
		return false
	}
	return slices.ContainsFunc(buffers, c.Wants)
}

// Text is the text at a path, or def.
func (c *Config) Text(path, def string) string {
	if c.Get != nil {
		if text, ok := c.Get(path); ok {
			return text
		}
	}
	return def
}

// Number is the number at a path, or def.
func (c *Config) Number(path string, def int) int {
	if n, err := strconv.Atoi(c.Text(path, "")); err == nil && n >= 0 {
		return n
	}
	return def
}

// Size is the number of bytes at a path, such as 100kb, or def.
func (c *Config) Size(path string, def int) int {
	if n, ok := yamlconf.ParseSize(c.Text(path, "")); ok && n < 1<<30 {
		return int(n)
	}
	return def
}

// MaxPending is the most bytes of one direction a parser may leave unconsumed.
const MaxPending = 1 << 20

// Tx is a transaction: a request with its answer, or whatever a protocol has in
// its place. It embeds State.
type Tx interface {
	Common() *State
	// Buffer is the i-th (from 0) value of a buffer; false if there are no more. The bytes
	// stay as they are until the next packet; scratch is for those that must be
	// made.
	Buffer(b suricata.Buffer, dir Dir, i int, scratch *[]byte) (match.Buffer, bool)
	// Match evaluates a condition of a rule that is not on a buffer
	// (suricata.Compiled.Tx).
	Match(o *suricata.Option, dir Dir) bool
}

// State is what every transaction has.
type State struct {
	ID       uint64    // in its flow, from 0
	Protocol *Protocol // set by the driver
	Progress [2]uint8
	// Skip says that a direction never has anything: a datagram protocol whose
	// request and answer are two transactions.
	Skip  [2]bool
	Files [2]file.List
	// Grown is how many bytes of buffers that grow there are, beside Files.
	Grown  [2]uint64
	Events []EventID // raised so far, each once
	// Seen is how many of them were logged.
	Seen int

	// Inspect belongs to detection, Logged to output (a bit per Protocol.Logs).
	Inspect [2]any
	Logged  uint16
	// Stored: a rule wants its files kept.
	Stored [2]bool
}

// Common makes an embedded State a method of Tx.
func (s *State) Common() *State { return s }

// Raise adds an event once.
func (s *State) Raise(e EventID) {
	for _, have := range s.Events {
		if have == e {
			return
		}
	}
	s.Events = append(s.Events, e)
}

// Frame is a part of the stream that rules may look into.
type Frame struct {
	Kind   FrameID
	Dir    Dir
	Offset uint64 // in the stream
	Size   int64  // -1: not known yet
	Tx     uint64
	HasTx  bool
}

// Expectation announces a flow to come, such as FTP's data connection. The
// ports are those of the flow to come.
type Expectation struct {
	Proto      string
	ClientPort uint16 // 0: any
	ServerPort uint16 // 0: any
	Reversed   bool   // the server opens it
	Data       any    // handed to the parser of that flow
}

// Context is the flow a parser belongs to, as far as parsers may touch it.
type Context struct {
	Config   *Config
	Flow     FlowInfo
	Expected any // Data of the expectation that this flow fulfils
	Hooks    Hooks
}

// FlowInfo says which flow it is.
type FlowInfo struct {
	UDP        bool
	Client     netip.Addr
	ClientPort uint16
	ServerPort uint16
}

// Hooks is what the driver does for parsers.
type Hooks interface {
	// Become lets the protocol of the flow be recognised anew from the next byte
	// on, and raises an event if it is not the one named: "tls" after STARTTLS;
	// "" names none. One that nothing can tell is taken at once.
	Become(proto string)
	// Expect announces a flow between the same hosts.
	Expect(Expectation)
	// Frame tells a part of the stream, at the latest when it is consumed; once
	// more with the same Kind, Dir and Offset when its size is known. Of a
	// datagram, Offset is in it.
	Frame(Frame)
	// Stop ends parsing, because the bytes are not the protocol's; bypass says
	// that it is because nothing that follows is worth inspecting (encrypted).
	Stop(bypass bool)
	// GiveUp says that a transaction is forgotten before it was judged and
	// logged, because too many wait. It is counted.
	GiveUp(Tx)
	// FlowEvent raises an event without a transaction.
	FlowEvent(EventID)
}
