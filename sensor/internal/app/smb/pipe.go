package smb

import (
	"github.com/hauberk/hauberk/sensor/internal/app"
	"github.com/hauberk/hauberk/sensor/internal/app/dcerpc"
)

// pipeTransceive is the function of IOCTL that writes to a pipe and reads from it.
const pipeTransceive = 0x0011c017

// anyService is the name of a pipe that speaks DCE/RPC and whose own is not known.
const anyService = "suricata::dcerpc"

// isService says whether the pipe of a name speaks DCE/RPC.
func isService(name string) bool {
	if len(name) > 1 && name[0] == '\\' {
		name = name[1:]
	}
	switch name {
	case "svcctl", "srvsvc", "atsvc", "lsarpc", "samr", "spoolss", "winreg", anyService:
		return true
	}
	return false
}

func (p *parser) nameOf(id string) string {
	name, _ := p.names.get(id)
	return string(name)
}

// piped says whether bytes of SMB 2 are of a pipe. Where the tree was not
// seen, what they look like decides.
func (p *parser) piped(r *record, x *io) bool {
	t, _ := p.trees.get(r.key(roleShare))
	if t.pipe || len(t.name) > 0 {
		return t.pipe
	}
	h, _, ok := dcerpc.ReadHeader(x.data)
	if !ok || !h.Valid() {
		return false
	}
	p.trees.put(r.key(roleShare), tree{[]byte(anyService), true})
	if !isService(p.nameOf(x.id)) {
		p.names.put(x.id, []byte(anyService))
	}
	return true
}

// call is a call of DCE/RPC with its answer.
type call struct {
	op, context       uint16
	request, response uint8 // Types of the records,
	asked, replied    bool  // if they were seen.
	id                uint32
	little            bool
	stubs             [2][]byte
	fragments         [2]int
	exchange          uint64 // The message that asks and answers at once; 0: none.
}

// restKey is where the beginning of a record waits for its end.
type restKey struct {
	at key
	id string
}

// exchangeOf tells calls apart that are asked and answered by one command.
func (r *record) exchangeOf(command uint16) uint64 {
	if r.version == 2 && command == smb2Ioctl {
		return r.message
	}
	return 0
}

func (p *parser) findCall(r *record, command uint16, id uint32) *tx {
	return p.find(func(t *tx) bool {
		c, ok := t.data.(*call)
		return ok && c.id == id && c.exchange == r.exchangeOf(command) && t.at.session == r.session
	})
}

func (p *parser) addCall(r *record, command uint16, id uint32) (*tx, *call) {
	c := &call{id: id, exchange: r.exchangeOf(command)}
	t := p.add(r.key(roleHeader), c)
	t.Progress = [2]uint8{}
	t.of(r.version, command)
	return t, c
}

// addStub keeps arguments or results.
func (t *tx) addStub(c *call, dir app.Dir, b []byte) {
	c.stubs[dir] = dcerpc.Keep(c.stubs[dir], b)
	t.Grown[dir] = uint64(len(c.stubs[dir]))
	c.fragments[dir]++
}

// call takes what a client writes to a pipe.
func (p *parser) call(r *record, command uint16, data []byte) {
	h, body, ok := dcerpc.ReadHeader(data)
	if !ok {
		p.raise(malformed)
		return
	}
	var t *tx
	var c *call
	if h.Type == dcerpc.Request && !h.First {
		if t = p.findCall(r, command, h.Call); t == nil {
			return
		}
		c = t.data.(*call)
	} else {
		t, c = p.addCall(r, command, h.Call)
		c.asked, c.request, c.little = true, h.Type, h.Little
	}
	switch h.Type {
	case dcerpc.Request:
		in, ok := h.ReadCall(body)
		if !ok {
			t.Raise(malformed)
			t.done(app.ToServer)
			return
		}
		if h.First {
			c.op, c.context = in.Op, in.Context
		}
		t.addStub(c, app.ToServer, in.Stub)
		if h.Last {
			t.done(app.ToServer)
		}
		return
	case dcerpc.Bind:
		list, ok := h.ReadBind(body)
		if ok {
			p.interfaces = list
		} else {
			t.Raise(malformed)
		}
	}
	if !h.Known() {
		t.Raise(malformed)
	}
	t.done(app.ToServer)
}

// answerCall takes what a client reads from a pipe; a record may come in parts.
func (p *parser) answerCall(r *record, command uint16, id string, data []byte) {
	if r.status != statusSuccess && r.status != statusOverflow {
		if t := p.waiting(r, command, r.key(roleHeader)); t != nil {
			t.answer(r)
			t.done(app.ToClient)
		}
		return
	}
	at := restKey{r.key(roleRest), id}
	if rest, ok := p.rests.pop(at); ok {
		data = append(rest, data...)
	}
	if len(data) == 0 {
		return
	}
	h, body, ok := dcerpc.ReadHeader(data)
	if !ok {
		p.raise(malformed)
		return
	}
	if r.status == statusOverflow && len(data) < int(h.Size) {
		p.rests.put(at, append([]byte(nil), data...))
		return
	}
	t := p.findCall(r, command, h.Call)
	if h.Type == dcerpc.BindAck {
		p.bound(r, t, &h, body)
		return
	}
	var c *call
	if t == nil {
		t, c = p.addCall(r, command, h.Call)
	} else {
		c = t.data.(*call)
	}
	t.answerWith(c, &h)
	if h.Type == dcerpc.Response {
		in, ok := h.ReadCall(body)
		if !ok {
			t.Raise(malformed)
			return
		}
		t.addStub(c, app.ToClient, in.Stub)
	} else if !h.Known() {
		t.Raise(malformed)
	}
	t.answer(r)
	if h.Last || h.Type != dcerpc.Response {
		t.done(app.ToClient)
	}
}

func (t *tx) answerWith(c *call, h *dcerpc.Header) { c.replied, c.response = true, h.Type }

// bound takes the answer to a bind.
func (p *parser) bound(r *record, t *tx, h *dcerpc.Header, body []byte) {
	results, ok := h.ReadAck(body)
	if !ok {
		p.raise(malformed)
		return
	}
	if t == nil {
		return
	}
	t.answerWith(t.data.(*call), h)
	t.answer(r)
	t.done(app.ToClient)
	for i := range min(len(results), len(p.interfaces)) {
		p.interfaces[i].Acked, p.interfaces[i].Result = true, results[i]
	}
}
