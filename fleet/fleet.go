// Package fleet holds the words of the control plane: presence, commands,
// modes, config versions, tokens and enrolments (proto/fleet.proto), with
// what both ends of the link must compute alike: the selector grammar, the
// stable hash, and signatures. Nothing here does I/O or knows a clock.
package fleet

// MaxOutput bounds CommandResult.output, in bytes: enough for a listing a
// person reads, small enough for 100,000 answers to one command.
const MaxOutput = 16 << 10
