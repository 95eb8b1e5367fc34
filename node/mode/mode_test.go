package mode

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/hauberk/hauberk/fleet"
)

func TestHighestEpochWins(t *testing.T) {
	dir := t.TempDir()
	k, err := Open(dir)
	if err != nil || k.State() != (State{}) {
		t.Fatalf("%+v, %v", k, err)
	}
	for _, step := range []struct {
		epoch        uint64
		stop, obeyed bool
		stopped      bool
	}{
		{5, true, true, true},
		{5, false, false, true},
		{4, false, false, true},
		{6, false, true, false},
		{5, true, false, false},
		{9, true, true, true},
	} {
		obeyed, err := k.Obey(&fleet.Mode{Epoch: step.epoch, Stopped: step.stop, Reason: "r"})
		if err != nil || obeyed != step.obeyed || k.State().Stopped != step.stopped {
			t.Fatalf("epoch %d: obeyed %v, %v, state %+v", step.epoch, obeyed, err, k.State())
		}
	}
	again, err := Open(dir)
	if err != nil || again.State() != k.State() {
		t.Fatalf("after restart %+v, %v; was %+v", again.State(), err, k.State())
	}
	if err := os.WriteFile(filepath.Join(dir, file), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir); err == nil {
		t.Error("a spoiled stop was forgotten")
	}
}
