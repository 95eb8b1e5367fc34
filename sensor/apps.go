package sensor

import (
	"strings"

	"github.com/hauberk/hauberk/packet"
	"github.com/hauberk/hauberk/sensor/internal/app"
	"github.com/hauberk/hauberk/sensor/internal/app/file"
	"github.com/hauberk/hauberk/sensor/internal/decode"
	"github.com/hauberk/hauberk/sensor/internal/detect"
	"github.com/hauberk/hauberk/sensor/internal/eve"
	"github.com/hauberk/hauberk/sensor/internal/flow"
	"github.com/hauberk/hauberk/sensor/internal/jsonw"
	"github.com/hauberk/hauberk/sensor/internal/protocols"
	"github.com/hauberk/hauberk/sensor/internal/yamlconf"
)

// newRegistry makes the registry of the protocols that the configuration has on.
func newRegistry(tree *yamlconf.Tree) *app.Registry {
	const base = "app-layer.protocols."
	c := &app.Config{Get: optionsOf(tree.Node(strings.TrimSuffix(base, ".")))}
	var list []*app.Protocol
	for _, p := range protocols.All() {
		enabled := "yes"
		if p.Off {
			enabled = "no"
		}
		switch tree.String(base+p.Name+".enabled", enabled) {
		case "no":
		case "detection-only":
			seen := *p
			seen.New = nil
			list = append(list, &seen)
		default:
			list = append(list, p)
		}
	}
	return app.NewRegistry(c, list)
}

// wantHashes reads which digests of files are logged.
func wantHashes(tree *yamlconf.Tree, c *file.Config) {
	eachOutput(tree, func(n *yamlconf.Node) {
		types := n.Lookup("types")
		if types == nil {
			return
		}
		for _, t := range types.Children {
			files := t.Child("files")
			if files == nil {
				continue
			}
			hashes := value(files, "force-hash", "")
			if list := files.Lookup("force-hash"); list != nil {
				for _, h := range list.Children {
					hashes += " " + h.Value
				}
			}
			c.MD5 = c.MD5 || strings.Contains(hashes, "md5")
			c.SHA1 = c.SHA1 || strings.Contains(hashes, "sha1")
			c.SHA256 = c.SHA256 || strings.Contains(hashes, "sha256")
		}
	})
}

// session is the application layer of a flow.
func (pl *pipeline) session(f *flow.Flow) *app.Session {
	b := pl.of(f)
	if b.app == nil {
		b.app = app.NewSession(pl.registry, app.FlowInfo{UDP: f.Proto() == packet.ProtoUDP, Client: f.Client().Addr(), ClientPort: f.Client().Port(), ServerPort: f.Server().Port()})
		b.app.Attach(flowHost{pl, f, b})
		pl.announced(f, b.app)
	}
	return b.app
}

// known fills in what the application layer knows of a packet's flow.
func (b *beside) known(in *detect.Packet) {
	if b.app == nil {
		return
	}
	if p := b.app.Protocol(); p != nil {
		in.App = p.Name
	}
	in.AppFailed = b.app.Failed()
	in.Engine = append(in.Engine, b.app.TakeEvents()...)
}

// transactions judges those of a packet's flow in its direction, and logs
// those that are complete. It says whether a rule drops the packet.
func (pl *pipeline) transactions(in *detect.Packet, b *beside, pseudo bool) (dropped bool) {
	if b.app == nil {
		return false
	}
	txs := b.app.Txs()
	for i := 0; i < len(txs); {
		tx := txs[i]
		if pl.engine != nil {
			dropped = pl.told(in, pl.engine.InspectTx(in, tx), subject{tx: tx}, pseudo) || dropped
		}
		pl.logTx(in.Packet, in.Flow, tx, pseudo, false)
		if complete(tx) && (pl.engine == nil || detect.Inspected(tx)) {
			b.app.Free(tx)
			txs = b.app.Txs()
			continue
		}
		i++
	}
	return dropped
}

// complete says whether both directions of a transaction are.
func complete(tx app.Tx) bool {
	c := tx.Common()
	p := c.Protocol
	for d := range c.Progress {
		if !c.Skip[d] && int(c.Progress[d]) < len(p.Progress[d])-1 {
			return false
		}
	}
	return true
}

// logTx writes the events of a transaction that are due; at the end of its
// flow all that are left.
func (pl *pipeline) logTx(p *decode.Packet, f *flow.Flow, tx app.Tx, pseudo, last bool) {
	c := tx.Common()
	proto := c.Protocol
	if pl.of(f).quietTxs {
		c.Logged = allLogs
	}
	ended := last || pl.of(f).app.Ended() // Then it stays as it is.
	for ; c.Seen < len(c.Events); c.Seen++ {
		for _, l := range pl.out.eve {
			if l.wants("anomaly") && l.anomaly.app {
				l.encoder.AppAnomaly(p, f, c.ID, pseudo, proto.Name, proto.Events[c.Events[c.Seen]])
			}
		}
	}
	for i := range proto.Logs {
		log := &proto.Logs[i]
		if c.Logged>>i&1 == 1 || !ended && !reached(c, log.Step) {
			continue
		}
		c.Logged |= 1 << i
		pl.out.assets.learnTx(f, tx, p.Time)
		pl.publishTx(log.Type, f, tx, p.Time)
		dir := flow.ToServer
		if log.ByPacket {
			dir = f.Dir(p)
		}
		for _, l := range pl.out.eve {
			o := l.options[log.Type]
			if l.wants(log.Switch()) && (log.Wanted == nil || log.Wanted(tx, o)) {
				l.encoder.Tx(log.Type, p, f, dir, c.ID, pseudo, func(w *jsonw.Writer) { log.Append(w, tx, o) })
			}
		}
	}
	for _, dir := range []app.Dir{app.ToServer, app.ToClient} {
		for _, x := range c.Files[dir] {
			if x.Logged || !last && (x.State == file.Open || pl.undecided(tx, dir, x)) {
				continue
			}
			pl.store(p, f, dir, c, x, pseudo)
			x.Logged = true
			for _, l := range pl.out.eve {
				if l.wants("files") {
					l.encoder.File(p, f, flow.Dir(dir), c.ID, pseudo, proto.Name, x, members(tx))
				}
			}
		}
	}
}

// undecided says whether a rule may still want a file kept.
func (pl *pipeline) undecided(tx app.Tx, dir app.Dir, x *file.File) bool {
	return x.Kept() != nil && !x.Stored && !pl.out.store.force && !detect.InspectedIn(tx, dir)
}

func reached(c *app.State, step [2]uint8) bool {
	for d := range step {
		if !c.Skip[d] && c.Progress[d] < step[d] {
			return false
		}
	}
	return true
}

// members writes what a protocol says of a transaction; nil: nothing.
func members(tx app.Tx) func(*jsonw.Writer) {
	p := tx.Common().Protocol
	if len(p.Logs) == 0 {
		return nil
	}
	return func(w *jsonw.Writer) { p.Logs[0].Append(w, tx, nil) }
}

// appInfo is what events say of a flow's protocol.
func (b *beside) appInfo(i *eve.FlowInfo) {
	if b.app == nil {
		return
	}
	if p := b.app.Protocol(); p != nil {
		i.App = p.Name
	}
	i.AppFailed, i.Txs = b.app.Failed(), b.app.TxCount()
}
