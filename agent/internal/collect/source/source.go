// Package source is the port between what sees the host and what carries the
// events away: a Source runs and emits to a Sink. It knows no kernel.
package source

import (
	"context"
	"strings"

	"github.com/hauberk/hauberk/event"
)

// Capability is what a source can see. The suite in collecttest expects
// exactly what is declared.
type Capability uint32

const (
	Exec      Capability = 1 << iota // every exec
	Exit                             // every exit, with its code
	Args                             // argv complete also for processes that end at once
	Ancestry                         // parent chain complete also for processes that end at once
	Container                        // cgroup and container id
	Stdio                            // which standard streams are sockets
	Connect                          // outbound TCP with its outcome
	Accept                           // inbound TCP
	Listen                           // listening TCP
	Denied                           // refused opens of sensitive paths
	File                             // changes of watched paths
	Login                            // log-ins, sudo, su
	Account                          // seen + lost = made, exactly
)

var capabilityNames = []string{"exec", "exit", "args", "ancestry", "container", "stdio", "connect", "accept", "listen", "denied", "file", "login", "account"}

// Has reports whether all of want are declared.
func (c Capability) Has(want Capability) bool { return c&want == want }

func (c Capability) String() string {
	var names []string
	for i, name := range capabilityNames {
		if c&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, ",")
}

// Source is one thing that sees. Its constructor attaches, so that nothing
// that happens after it is missed; Run delivers until the context ends.
type Source interface {
	// Name is the method as Sensor.method has it: ebpf/tp_btf, cn_proc, ...
	Name() string
	Capabilities() Capability
	// Run emits until ctx ends (nil) or the source fails. It closes the source.
	Run(ctx context.Context, sink Sink) error
}

// Sink takes events. It is safe for concurrent use.
type Sink interface {
	// Emit takes the event before it returns, so the caller may reuse it and
	// everything it points to. observed is Unix ns; e.Lag is set by the caller,
	// skip and observed_delta by the master.
	Emit(class event.Class, observed int64, e *event.Event)
	// Flush sends what was emitted so far: called after each drain, not after
	// each event.
	Flush()
}
