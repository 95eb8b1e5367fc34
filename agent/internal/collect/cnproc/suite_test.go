package cnproc_test

import (
	"testing"

	"github.com/hauberk/hauberk/agent/internal/collect/cnproc"
	"github.com/hauberk/hauberk/agent/internal/collect/source"
	"github.com/hauberk/hauberk/agent/internal/collecttest"
	"github.com/hauberk/hauberk/internal/need"
)

func TestSuite(t *testing.T) {
	need.Root(t)
	collecttest.Run(t, func(t *testing.T, target collecttest.Target) source.Source {
		s, err := cnproc.Open(target.Host, target.Counters)
		if err != nil {
			t.Fatal(err)
		}
		return s
	})
}
