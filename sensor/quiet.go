package sensor

import (
	"strings"

	"github.com/hauberk/hauberk/sensor/internal/app"
	"github.com/hauberk/hauberk/sensor/internal/detect"
)

// allLogs are all bits of app.State.Logged.
const allLogs = ^uint16(0)

// quiet does what the keyword config of a rule says: the transaction, or what
// else there is of its flow, is not logged.
func (pl *pipeline) quiet(in *detect.Packet, a *detect.Alert, tx app.Tx) {
	o := a.Rule.Find("config")
	if o == nil {
		return
	}
	said := map[string]string{}
	for part := range strings.SplitSeq(o.Value.String(), ",") {
		key, v, _ := strings.Cut(strings.TrimSpace(part), " ")
		said[key] = strings.TrimSpace(v)
	}
	if said["logging"] != "disable" {
		return
	}
	if tx != nil && said["type"] == "tx" {
		tx.Common().Logged = allLogs
	}
	if in.Flow == nil {
		return
	}
	b := pl.of(in.Flow)
	b.quietTxs = b.quietTxs || said["type"] == "tx" && said["scope"] == "flow"
	b.quietFlow = b.quietFlow || said["type"] == "flow"
}
