package eve

import (
	"github.com/hauberk/hauberk/packet"
	"github.com/hauberk/hauberk/sensor/internal/app"
	"github.com/hauberk/hauberk/sensor/internal/decode"
	"github.com/hauberk/hauberk/sensor/internal/flow"
)

// maxFramePayload is how many bytes of a datagram's frame an event has.
const maxFramePayload = 256

// Frame writes the event of a frame.
func (e *Encoder) Frame(p *decode.Packet, f *flow.Flow, pseudo bool, x *app.LiveFrame) {
	e.begin("frame", p, f, pseudo)
	e.w.String("app_proto", x.Proto.Name)
	e.frame(x, f.Proto() == packet.ProtoUDP)
	e.end()
}

// frame writes what is known of a frame.
func (e *Encoder) frame(x *app.LiveFrame, datagram bool) {
	e.w.Object("frame")
	e.w.String("type", x.KindName())
	e.w.Uint("id", x.ID)
	if x.Dir == app.ToServer {
		e.w.String("direction", "toserver")
	} else {
		e.w.String("direction", "toclient")
	}
	if !datagram {
		e.w.Uint("stream_offset", x.Offset)
	}
	if x.Size >= 0 {
		e.w.Int("length", x.Size)
	} else {
		e.w.Uint("length", uint64(len(x.Data)))
	}
	data := x.Data
	if datagram {
		data = data[:min(len(data), maxFramePayload)]
	}
	if len(data) > 0 {
		e.w.Base64("payload", data)
		e.w.Printable("payload_printable", data)
		e.w.Bool("complete", x.Complete)
	}
	if x.HasTx {
		e.w.Uint("tx_id", x.Tx)
	}
	e.w.Close()
}
