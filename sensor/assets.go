package sensor

import (
	"github.com/hauberk/hauberk/sensor/internal/app"
	"github.com/hauberk/hauberk/sensor/internal/asset"
	"github.com/hauberk/hauberk/sensor/internal/decode"
	"github.com/hauberk/hauberk/sensor/internal/detect"
	"github.com/hauberk/hauberk/sensor/internal/flow"
	"github.com/hauberk/hauberk/sensor/internal/jsonw"
	"github.com/hauberk/hauberk/suricata/netset"
)

// inventory is the passive inventory with the log it goes to.
type inventory struct {
	*asset.Inventory
	log *logFile
	w   jsonw.Writer
}

// newInventory makes one of the hosts in $HOME_NET, or of all where there is no such variable.
func newInventory(vars netset.Vars, log *logFile) (*inventory, error) {
	home := "any"
	if _, ok := vars.AddressGroups["HOME_NET"]; ok {
		home = "$HOME_NET"
	}
	expr, err := netset.Parse(home)
	if err != nil {
		return nil, err
	}
	addrs, err := vars.Addrs(expr)
	if err != nil {
		return nil, err
	}
	return &inventory{Inventory: asset.New(addrs), log: log}, nil
}

// learn learns from a packet.
func (v *inventory) learn(in *detect.Packet) {
	if v == nil {
		return
	}
	switch {
	case in.Layer3 == decode.ARP:
		v.ARP(in.Packet)
	case in.Flow != nil && in.Flow.Packets[in.Dir] == 1:
		v.Begins(in.Packet)
	}
}

// learnTx learns from a transaction that is told.
func (v *inventory) learnTx(f *flow.Flow, tx app.Tx, at int64) {
	if v != nil && f != nil {
		v.Tx(f, tx, at)
	}
}

// learnFlow learns from a flow that ended.
func (v *inventory) learnFlow(f *flow.Flow, app string) {
	if v != nil {
		v.Ends(f, app)
	}
}

// tell writes what is new.
func (v *inventory) tell() error {
	if v == nil {
		return nil
	}
	v.w.Reset(v.w.Bytes()[:0])
	v.Append(&v.w)
	return v.log.write(v.w.Bytes())
}
