package sensor

import (
	"testing"

	"github.com/hauberk/hauberk/sensor/internal/app"
	"github.com/hauberk/hauberk/sensor/internal/detect"
	"github.com/hauberk/hauberk/suricata"
)

// silentTx is a transaction of which only its state matters.
type silentTx struct {
	app.Tx
	state app.State
}

func (s *silentTx) Common() *app.State { return &s.state }

func TestQuiet(t *testing.T) {
	for text, want := range map[string]uint16{
		"config:logging disable, type tx, scope tx": allLogs,
		"config:logging disable,type tx,scope tx":   allLogs,
		"config:logging enable, type tx, scope tx":  0,
		"msg:logging": 0,
	} {
		set := suricata.ParseText(`config dns any any -> any any (dns.query; content:"a"; `+text+`; sid:1;)`, "", suricata.Options{})
		if len(set.Rules) == 0 {
			if want == allLogs {
				t.Errorf("%s: %v", text, set.Errors)
			}
			continue
		}
		tx := &silentTx{}
		(&pipeline{}).quiet(&detect.Packet{}, &detect.Alert{Rule: &suricata.Compiled{Rule: set.Rules[0]}}, tx)
		if tx.state.Logged != want {
			t.Errorf("%s: logged %x, want %x", text, tx.state.Logged, want)
		}
	}
}
