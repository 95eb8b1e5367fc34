package sensor

import (
	"github.com/hauberk/hauberk/sensor/internal/app"
	"github.com/hauberk/hauberk/sensor/internal/detect"
	"github.com/hauberk/hauberk/suricata"
)

// subject is what an alert is about, beside its packet.
type subject struct {
	tx    app.Tx
	frame *app.LiveFrame
}

// wantFrames lets the application layer keep the frames that rules or logs ask
// for, and know the buffers that rules do.
func (pl *pipeline) wantFrames() {
	all := false
	for _, l := range pl.out.eve {
		all = all || l.wants("frame")
	}
	pl.registry.WantBuffers(func(b suricata.Buffer) bool { return pl.engine != nil && pl.engine.Rules().Wants(b) })
	pl.registry.WantFrames(func(p *app.Protocol, kind string) bool {
		return all || pl.engine != nil && pl.engine.Rules().WantsFrame(p, kind)
	})
}

// ofFrame is the transaction a frame belongs to, nil if none is there.
func (b *beside) ofFrame(x *app.LiveFrame) app.Tx {
	if x == nil || !x.HasTx {
		return nil
	}
	for _, tx := range b.app.Txs() {
		if tx.Common().ID == x.Tx {
			return tx
		}
	}
	return nil
}

// frames judges and logs the frames of a packet's flow in its direction. It
// says whether a rule drops the packet.
func (pl *pipeline) frames(in *detect.Packet, b *beside, pseudo bool) (dropped bool) {
	if b.app == nil {
		return false
	}
	dir := app.Dir(in.Dir)
	for _, x := range b.app.Frames(dir) {
		if x.Fresh && pl.engine != nil {
			dropped = pl.told(in, pl.engine.InspectFrame(in, x), subject{frame: x}, pseudo) || dropped
		}
		x.Fresh = false
		if x.Logged || !x.Complete && !x.Ended {
			continue
		}
		x.Logged = true
		for _, l := range pl.out.eve {
			if l.wants("frame") {
				l.encoder.Frame(in.Packet, in.Flow, pseudo, x)
			}
		}
	}
	b.app.FreeFrames(dir)
	return dropped
}
