package dcerpc

import (
	"strconv"

	"github.com/hauberk/hauberk/sensor/internal/app"
	"github.com/hauberk/hauberk/sensor/internal/jsonw"
)

// appendLog writes the member dcerpc of an event.
func appendLog(w *jsonw.Writer, x app.Tx, _ any) {
	t := x.(*tx)
	w.Object("dcerpc")
	if t.came(app.ToServer) {
		t.logRequest(w)
	} else {
		w.String("request", "REQUEST_LOST")
	}
	if t.came(app.ToClient) {
		w.String("response", TypeName(t.kind[app.ToClient]))
		if t.kind[app.ToClient] == Response {
			w.Object("res")
			t.logStub(w, app.ToClient)
			w.Close()
		}
	} else {
		w.String("response", "UNREPLIED")
	}
	if t.datagram {
		w.String("activityuuid", t.activity.String())
		w.Uint("seqnum", uint64(t.sequence))
		w.String("rpc_version", "4.0")
	} else {
		w.Uint("call_id", uint64(t.call))
		w.String("rpc_version", "5."+strconv.Itoa(int(t.minor)))
	}
	w.Close()
}

// came says whether a direction is there whole.
func (t *tx) came(dir app.Dir) bool { return t.Progress[dir] == complete && !t.lost[dir] }

func (t *tx) logRequest(w *jsonw.Writer) {
	kind := t.kind[app.ToServer]
	acked := func(f *Interface) { w.Uint("ack_result", uint64(f.Result)) }
	w.String("request", TypeName(kind))
	switch {
	case kind == Request:
		w.Object("req")
		w.Uint("opnum", uint64(t.op))
		t.logStub(w, app.ToServer)
		w.Close()
		if !t.datagram {
			LogInterfaces(w, t.calls.interfaces, acked, func(f *Interface) bool { return f.Context == t.context })
		}
	case kind == Bind:
		LogInterfaces(w, t.calls.interfaces, acked, func(f *Interface) bool { return f.call == t.call })
	}
}

func (t *tx) logStub(w *jsonw.Writer, dir app.Dir) {
	w.Uint("frag_cnt", uint64(t.count[dir]))
	w.Uint("stub_data_size", uint64(len(t.stubs[dir])))
}

// LogInterfaces writes those of the interfaces that are wanted, and nothing if
// there are none; acked writes what the server says of one.
func LogInterfaces(w *jsonw.Writer, list []Interface, acked func(*Interface), wanted func(*Interface) bool) {
	mark := w.Mark()
	w.Array("interfaces")
	none := true
	for i := range list {
		f := &list[i]
		if !wanted(f) {
			continue
		}
		none = false
		w.Object("")
		w.String("uuid", f.UUID.String())
		w.String("version", strconv.Itoa(int(f.Version))+"."+strconv.Itoa(int(f.Minor)))
		if f.Acked && acked != nil {
			acked(f)
		}
		w.Close()
	}
	w.Close()
	if none {
		w.Back(mark)
	}
}
