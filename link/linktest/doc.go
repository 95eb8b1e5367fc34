// Package linktest holds what tests of the link need on either side: hosts
// that make realistic events (Host), an authority and its certificates
// (Authority), a gateway in memory (Gateway), and the conformance suite that
// every server of the protocol must pass (Run).
package linktest
