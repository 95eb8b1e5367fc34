// Package mqtt reads MQTT 3.1, 3.1.1 and 5. A transaction is a message with
// those that answer it, joined by their packet identifier.
//
// message.go reads messages, log.go writes EVE's member mqtt.
package mqtt

import (
	"github.com/hauberk/hauberk/sensor/internal/app"
	"github.com/hauberk/hauberk/suricata"
	"github.com/hauberk/hauberk/suricata/match"
)

// The events that are raised, by their number in Protocol.Events.
const (
	missingConnect app.EventID = iota
	missingPublish
	missingSubscribe
	missingUnsubscribe
	doubleConnect
	unintroduced
	invalidQoS
	missingID
	unassignedType
	tooManyTxs
	malformed
	tooManyMessages
)

// The kinds of parts of the stream, by their number in Protocol.Frames.
const (
	framePDU app.FrameID = iota
	frameHeader
	frameData
)

const complete = 1

// Protocol is MQTT.
var Protocol = &app.Protocol{
	Name: "mqtt", Transport: app.TCP, Probe: probe, Ports: []uint16{1883},
	Signatures: []app.Signature{{Dir: app.ToServer, Text: "\x00\x04MQTT", Offset: 2, Depth: 12}, {Dir: app.ToServer, Text: "\x00\x06MQIsdp", Offset: 2, Depth: 14}},
	New:        func(c *app.Context) app.Parser { return newParser(c) },
	Progress:   [2][]string{{"request_started", "request_complete"}, {"response_started", "response_complete"}},
	Buffers:    buffers(),
	Events: []string{
		missingConnect: "missing_connect", missingPublish: "missing_publish", missingSubscribe: "missing_subscribe", missingUnsubscribe: "missing_unsubscribe",
		doubleConnect: "double_connect", unintroduced: "unintroduced_message", invalidQoS: "invalid_qos_level", missingID: "missing_msg_id",
		unassignedType: "unassigned_msg_type", tooManyTxs: "too_many_transactions", malformed: "malformed_traffic", tooManyMessages: "too_many_messages",
	},
	Frames: []string{framePDU: "pdu", frameHeader: "header", frameData: "data"},
	Logs:   []app.Log{{Type: "mqtt", Step: [2]uint8{complete, complete}, Append: appendLog, Options: readOptions, Wanted: func(x app.Tx, _ any) bool { return len(x.(*tx).messages) > 0 }}},
}

func buffers() (list []app.Extractor) {
	for _, b := range []suricata.Buffer{
		suricata.BufMQTTConnectClientid, suricata.BufMQTTConnectUsername, suricata.BufMQTTConnectPassword, suricata.BufMQTTConnectWilltopic,
		suricata.BufMQTTConnectWillmessage, suricata.BufMQTTConnectProtocolString, suricata.BufMQTTPublishTopic, suricata.BufMQTTPublishMessage,
		suricata.BufMQTTSubscribeTopic, suricata.BufMQTTUnsubscribeTopic,
	} {
		list = append(list, app.Extractor{Buffer: b, Dir: app.ToServer, Step: complete})
	}
	return list
}

// probe looks at the first message's header.
func probe(_ app.Dir, data []byte) app.Verdict {
	if len(data) < 2 {
		return app.Unsure
	}
	if kind(data[0]>>4) == 0 || data[0]>>1&3 > 2 {
		return app.No
	}
	if _, n := length(data[1:]); n <= 0 {
		return app.No
	}
	return app.Yes
}

// tx is a message with its answers.
type tx struct {
	app.State
	messages []*message
	waits    int // For answers with this identifier; -1: none.
}

// waitsConnect stands for the answer to CONNECT, which has no identifier.
const waitsConnect = 1 << 16

// Limits of what is kept.
const (
	maxTxs      = 256
	maxMessages = 32 // Of one transaction.
)

type parser struct {
	app.Queue
	ctx       *app.Context
	version   uint8
	connected bool
	max       int    // Bytes of a message that is read.
	skip      [2]int // Of a longer one.
}

func newParser(c *app.Context) *parser {
	const base = "mqtt.max-msg-length"
	return &parser{ctx: c, max: c.Config.Size(base, 1<<20)}
}

// Parse implements app.Parser.
func (p *parser) Parse(in *app.Input) (consumed, need int) {
	for {
		rest := in.Data[consumed:]
		if n := min(p.skip[in.Dir], len(rest)); n > 0 {
			p.skip[in.Dir] -= n
			consumed += n
			continue
		}
		if len(rest) < 2 {
			return consumed, 0
		}
		size, n := length(rest[1:])
		if n == 0 {
			return consumed, 0
		}
		if n < 0 {
			p.fail(in.Dir)
			return len(in.Data), 0
		}
		p.frames(in.Dir, in.Offset+uint64(consumed), int64(1+n), int64(size))
		m := &message{kind: kind(rest[0] >> 4), dup: rest[0]&8 != 0, qos: rest[0] >> 1 & 3, retain: rest[0]&1 != 0}
		if size > p.max {
			m.cut = 1 + n + size
			p.skip[in.Dir] = m.cut
			p.take(in.Dir, m)
			continue
		}
		if len(rest) < 1+n+size {
			return consumed, 1 + n + size - len(rest)
		}
		if !m.read(rest[1+n:1+n+size], p.version) {
			p.fail(in.Dir)
			return len(in.Data), 0
		}
		p.take(in.Dir, m)
		consumed += 1 + n + size
	}
}

// frames tells the parts of a message; again when more of it has come.
func (p *parser) frames(dir app.Dir, offset uint64, head, size int64) {
	p.ctx.Hooks.Frame(app.Frame{Kind: framePDU, Dir: dir, Offset: offset, Size: head + size})
	p.ctx.Hooks.Frame(app.Frame{Kind: frameHeader, Dir: dir, Offset: offset, Size: head})
	if size > 0 {
		p.ctx.Hooks.Frame(app.Frame{Kind: frameData, Dir: dir, Offset: offset + uint64(head), Size: size})
	}
}

// fail ends parsing at a message that makes no sense.
func (p *parser) fail(dir app.Dir) {
	t := p.add(dir, nil)
	t.Raise(malformed)
	p.done(t)
	p.ctx.Hooks.Stop(false)
}

func (p *parser) add(dir app.Dir, m *message) *tx {
	t := &tx{waits: -1}
	if p.Push(p.ctx.Hooks, t, maxTxs) {
		t.Raise(tooManyTxs)
	}
	t.Skip[dir.Other()] = true
	if m != nil {
		t.messages = append(t.messages, m)
	}
	return t
}

func (p *parser) done(t *tx) {
	t.Progress = [2]uint8{complete, complete}
	t.waits = -1
}

// waiting is the transaction that waits for an answer, nil if there is none.
func (p *parser) waiting(id int) *tx {
	for _, x := range p.Txs() {
		if t := x.(*tx); t.waits == id {
			return t
		}
	}
	return nil
}

// take puts a message into its transaction.
func (p *parser) take(dir app.Dir, m *message) {
	if m.cut > 0 {
		p.done(p.add(dir, m))
		return
	}
	switch m.kind {
	case connect:
		p.version = m.version
		t := p.add(dir, m)
		t.waits = waitsConnect
		if p.connected {
			t.Raise(doubleConnect)
		}
	case connack:
		if !p.answer(dir, m, waitsConnect, true, missingConnect, false) {
			return
		}
		p.connected = true
	case publish, subscribe, unsubscribe:
		p.begin(dir, m)
	case pubrec, pubrel:
		p.answer(dir, m, int(m.id), false, missingPublish, true)
	case puback, pubcomp:
		p.answer(dir, m, int(m.id), true, missingPublish, true)
	case suback:
		p.answer(dir, m, int(m.id), true, missingSubscribe, true)
	case unsuback:
		p.answer(dir, m, int(m.id), true, missingUnsubscribe, true)
	case unassigned:
		t := p.add(dir, m)
		t.Raise(unassignedType)
		p.done(t)
	default:
		t := p.add(dir, m)
		if !p.connected {
			t.Raise(unintroduced)
		}
		p.done(t)
	}
}

// begin takes a message that may be answered, by its quality of service.
func (p *parser) begin(dir app.Dir, m *message) {
	t := p.add(dir, m)
	switch {
	case m.qos > 2:
		t.Raise(invalidQoS)
	case m.qos == 0:
		p.done(t)
	case m.kind == publish && !m.hasID:
		t.Raise(missingID)
	default:
		t.waits = int(m.id)
	}
	if !p.connected {
		t.Raise(unintroduced)
	}
}

// answer takes a message that belongs to one before it; it says whether there
// was one.
func (p *parser) answer(dir app.Dir, m *message, id int, last bool, missing app.EventID, introduced bool) bool {
	t := p.waiting(id)
	if t == nil {
		t = p.add(dir, m)
		t.Raise(missing)
		if introduced && !p.connected {
			t.Raise(unintroduced)
		}
		p.done(t)
		return false
	}
	if len(t.messages) >= maxMessages {
		t.Raise(tooManyMessages)
	} else {
		t.messages = append(t.messages, m)
	}
	if last {
		p.done(t)
	}
	return true
}

// Gap implements app.Parser.
func (p *parser) Gap(app.Dir, uint64) bool { return false }

// End implements app.Parser.
func (p *parser) End() {
	for _, x := range p.Txs() {
		p.done(x.(*tx))
	}
}

// Buffer implements app.Tx.
func (t *tx) Buffer(b suricata.Buffer, _ app.Dir, i int, _ *[]byte) (match.Buffer, bool) {
	for _, m := range t.messages {
		var data []byte
		switch {
		case b == suricata.BufMQTTSubscribeTopic && m.kind == subscribe, b == suricata.BufMQTTUnsubscribeTopic && m.kind == unsubscribe:
			if i < len(m.topics) {
				return match.Buffer{Data: m.topics[i].name}, true
			}
			i -= len(m.topics)
			continue
		case m.kind == publish && b == suricata.BufMQTTPublishTopic:
			data = m.topic
		case m.kind == publish && b == suricata.BufMQTTPublishMessage:
			data = m.payload
		case m.kind == connect:
			data = m.connectBuffer(b)
		}
		if len(data) > 0 && i == 0 {
			return match.Buffer{Data: data}, true
		}
	}
	return match.Buffer{}, false
}

func (m *message) connectBuffer(b suricata.Buffer) []byte {
	switch b {
	case suricata.BufMQTTConnectClientid:
		return m.client
	case suricata.BufMQTTConnectUsername:
		return m.user
	case suricata.BufMQTTConnectPassword:
		return m.password
	case suricata.BufMQTTConnectWilltopic:
		return m.willTopic
	case suricata.BufMQTTConnectWillmessage:
		return m.will
	case suricata.BufMQTTConnectProtocolString:
		return m.protocol
	}
	return nil
}
