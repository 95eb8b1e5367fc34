// Package collect is the collector half of the agent: it sees what happens on
// this host and says it in the words of package event.
//
// Two processes of the multi-call binary run it. The loader (RunLoader) lives
// shortly: it parses the kernel's BTF, loads the programs, pins maps and links
// in a bpffs mounted at <Config.Dir>/bpf, and ends, so that the lasting
// process never holds BTF in memory. The collector (RunCollector) opens the
// pins, runs every source that this kernel, privilege and configuration
// allow, and writes frames of agent/internal/pipe to the master; the protocol
// is docs/formats/collector.md. Unpin removes what the loader left; after it
// nothing of this agent is in the kernel.
//
//	RunLoader(ctx, Config, *slog.Logger) error          // needs root; an error means: no eBPF here, go on without
//	RunCollector(ctx, Config, out io.Writer, *slog.Logger) error
//	Unpin(Config) error                                 // idempotent
//
// Sources stand behind one port, source.Source, and one suite, collecttest,
// whose expectations follow the capabilities a source declares:
//
//	ebpf      exec, exit, ancestry, connect, accept, listen, denied opens
//	cnproc    exec, exit by the process connector and /proc
//	fanotify  changes of watched paths
//	authlog   log-ins, sudo and su from auth.log or journald
//
// A sensor is reported active only after its canary proved that it fires.
package collect
