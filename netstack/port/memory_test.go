package port_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/hauberk/hauberk/netstack/port"
	"github.com/hauberk/hauberk/netstack/port/porttest"
)

// opposite makes a porttest.Link of a port and the port at the other end of its cable.
func opposite(a, b port.Port) porttest.Link {
	return porttest.Link{
		Port: a,
		Inject: func(t *testing.T, packets ...[]byte) {
			for _, p := range packets {
				f, _ := b.Buffer()
				f.Data = append(f.Data, p...)
				b.Transmit(f)
			}
			if err := b.Flush(); err != nil {
				t.Fatal(err)
			}
		},
		Collect: func(t *testing.T) (out [][]byte) {
			rx := make([]port.Frame, 16)
			for {
				n, err := b.Receive(rx)
				if err != nil {
					t.Fatal(err)
				}
				for _, f := range rx[:n] {
					out = append(out, bytes.Clone(f.Data))
				}
				b.Release(rx[:n]...)
				if n > 0 {
					return out
				}
				if err := b.Wait(time.Second); err != nil {
					t.Fatal(err)
				}
			}
		},
	}
}

func TestMemory(t *testing.T) {
	porttest.Run(t, func(t *testing.T) porttest.Link {
		a, b := port.NewLink(1500)
		t.Cleanup(func() { a.Close() })
		return opposite(a, b)
	})
}
