// Package smb reads SMB 1, 2 and 3 over TCP, with the files, named pipes and
// DCE/RPC calls they carry. What SMB 3 encrypts stays so. A transaction is a
// command with its answer, a DCE/RPC call, or a file from its first bytes to
// its close.
//
// parser.go cuts the stream into records; record.go reads their headers,
// smb1.go and smb2.go what the commands say; file.go follows files, pipe.go
// DCE/RPC over pipes, auth.go logons; log.go writes EVE's member smb.
package smb

import (
	"slices"

	"github.com/hauberk/hauberk/sensor/internal/app"
	"github.com/hauberk/hauberk/sensor/internal/app/dcerpc"
	"github.com/hauberk/hauberk/suricata"
	"github.com/hauberk/hauberk/suricata/match"
)

// The events that are raised, by their number in Protocol.Events.
const (
	malformed app.EventID = iota
	duplicateNegotiate
	malformedDialects
	fileOverlap
	requestToClient
	responseToServer
	maxReadTooLarge
	maxWriteTooLarge
	readRequestTooLarge
	readResponseTooLarge
	readQueueSize
	readQueueCount
	writeRequestTooLarge
	writeQueueSize
	writeQueueCount
	ntlmsspOrder
	tooManyTxs
	// Upstream names these and raises them for nothing but its own faults.
	internalError
	recordOverflow
	malformedNTLMSSPRequest
	malformedNTLMSSPResponse
)

const complete = 1

// The kinds of frames.
const (
	frameNBSS app.FrameID = iota
	frameNBSSHeader
	frameNBSSData
	frameSMB1
	frameSMB1Header
	frameSMB1Data
	frameSMB2
	frameSMB2Header
	frameSMB2Data
	frameSMB3
	frameSMB3Header
	frameSMB3Data
)

// Protocol is SMB.
var Protocol = &app.Protocol{
	Name: "smb", Transport: app.TCP, Probe: probe, Deep: true,
	New:      func(c *app.Context) app.Parser { return newParser(c) },
	Progress: [2][]string{{"request_started", "request_complete"}, {"response_started", "response_complete"}},
	Buffers: []app.Extractor{
		{Buffer: suricata.BufSMBNamedPipe, Dir: app.ToServer}, {Buffer: suricata.BufSMBShare, Dir: app.ToServer},
		{Buffer: suricata.BufSMBNTLMSSPUser, Dir: app.ToServer}, {Buffer: suricata.BufSMBNTLMSSPDomain, Dir: app.ToServer},
		{Buffer: suricata.BufDCERPCStubData, Dir: app.ToServer}, {Buffer: suricata.BufDCERPCStubData, Dir: app.ToClient},
		{Buffer: suricata.BufFileData, Dir: app.ToServer}, {Buffer: suricata.BufFileData, Dir: app.ToClient},
		{Buffer: suricata.BufFileName, Dir: app.ToServer}, {Buffer: suricata.BufFileName, Dir: app.ToClient},
	},
	Events: []string{
		malformed: "malformed_data", duplicateNegotiate: "duplicate_negotiate", malformedDialects: "negotiate_malformed_dialects",
		fileOverlap: "file_overlap", requestToClient: "request_to_client", responseToServer: "response_to_server",
		maxReadTooLarge: "negotiate_max_read_size_too_large", maxWriteTooLarge: "negotiate_max_write_size_too_large",
		readRequestTooLarge: "read_request_too_large", readResponseTooLarge: "read_response_too_large", readQueueSize: "read_queue_size_exceeded",
		readQueueCount: "read_queue_cnt_exceeded", writeRequestTooLarge: "write_request_too_large", writeQueueSize: "write_queue_size_exceeded",
		writeQueueCount: "write_queue_cnt_exceeded", ntlmsspOrder: "unusual_ntlmssp_order", tooManyTxs: "too_many_transactions",
		internalError: "internal_error", recordOverflow: "record_overflow", malformedNTLMSSPRequest: "malformed_ntlmssp_request",
		malformedNTLMSSPResponse: "malformed_ntlmssp_response",
	},
	Frames: []string{
		frameNBSS: "nbss.pdu", frameNBSSHeader: "nbss.hdr", frameNBSSData: "nbss.data", frameSMB1: "smb1.pdu", frameSMB1Header: "smb1.hdr",
		frameSMB1Data: "smb1.data", frameSMB2: "smb2.pdu", frameSMB2Header: "smb2.hdr", frameSMB2Data: "smb2.data", frameSMB3: "smb3.pdu",
		frameSMB3Header: "smb3.hdr", frameSMB3Data: "smb3.data",
	},
	Logs: []app.Log{{Type: "smb", Step: [2]uint8{complete, complete}, Append: appendLog, Wanted: wanted, Options: readOptions}},
}

// tx is a transaction.
type tx struct {
	app.State
	parser *parser // For what belongs to the connection.

	version uint8 // 0: not known
	command uint16
	at      key

	answered bool // There is a status:
	status   uint32
	dos      bool // It is one of DOS, not of NT.

	data any // What the command says; nil: nothing that is kept.
}

// What transactions carry.
type (
	negotiate struct {
		version        uint8
		dialects       []string
		client, server []byte
	}
	sessionSetup struct {
		ntlmssp           *ntlmssp
		kerberos          *ticket
		request, response *host // SMB 1
	}
	treeConnect struct {
		name              []byte
		pipe              bool
		kind              uint8
		request, response []byte // Services, of SMB 1; nil: not said.
	}
	create struct {
		disposition                         uint32
		deletes, directory                  bool
		name                                []byte
		id                                  string
		created, accessed, written, changed uint64
		size                                uint64
	}
	rename struct {
		from, to []byte
		id       string
	}
	setInfo struct {
		command, level uint16
		deletes        bool
		name           []byte
		id             string
	}
	ioctl uint32
)

// host is what SMB 1 says of the system at an end.
type host struct{ os, lm []byte }

// command says what a transaction is of, once.
func (t *tx) of(version uint8, command uint16) {
	if t.version == 0 {
		t.version, t.command = version, command
	}
}

func (t *tx) answer(r *record) {
	t.answered, t.status, t.dos = true, r.status, r.dos
}

func (t *tx) done(dirs ...app.Dir) {
	for _, d := range dirs {
		t.Progress[d] = complete
	}
}

// Buffer implements app.Tx.
func (t *tx) Buffer(b suricata.Buffer, dir app.Dir, i int, _ *[]byte) (match.Buffer, bool) {
	if i > 0 {
		return match.Buffer{}, false
	}
	var data []byte
	switch x := t.data.(type) {
	case *treeConnect:
		if b == suricata.BufSMBShare && !x.pipe || b == suricata.BufSMBNamedPipe && x.pipe {
			return match.Buffer{Data: x.name}, true
		}
	case *sessionSetup:
		switch {
		case x.ntlmssp == nil:
		case b == suricata.BufSMBNTLMSSPUser:
			return match.Buffer{Data: x.ntlmssp.user}, true
		case b == suricata.BufSMBNTLMSSPDomain:
			return match.Buffer{Data: x.ntlmssp.domain}, true
		}
	case *call:
		if b == suricata.BufDCERPCStubData {
			data = x.stubs[dir]
			return match.Buffer{Data: data, Little: x.little}, len(data) > 0
		}
	case *fileTransfer:
		switch {
		case x.dir != dir:
		case b == suricata.BufFileData:
			data = x.Data
		case b == suricata.BufFileName:
			data = x.File.Name
		}
	}
	return match.Buffer{Data: data}, len(data) > 0
}

// Match implements app.Tx.
func (t *tx) Match(o *suricata.Option, _ app.Dir) bool {
	if o.Name == "smb.version" {
		return o.Value.String() == string('0'+rune(t.version))
	}
	c, ok := t.data.(*call)
	if !ok || !c.asked || c.request != dcerpc.Request {
		return false
	}
	switch o.Name {
	case "dcerpc.opnum":
		return dcerpc.MatchOp(o, c.op)
	case "dcerpc.iface":
		return slices.ContainsFunc(t.parser.interfaces, func(f dcerpc.Interface) bool { return f.Matches(o) })
	}
	return false
}
