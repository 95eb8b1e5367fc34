// Package keyspace names every key the control plane keeps in etcd, below
// the configured prefix; docs/formats/control-keys.md describes the values.
package keyspace

import (
	"fmt"
	"strings"

	"github.com/hauberk/hauberk/event"
)

// Keys and prefixes.
const (
	Marker     = "vault/marker"      // proves that a sealing key is the right one
	Authority  = "ca/authority"      // sealed: the authority's certificate and key
	CommandKey = "keys/command"      // sealed: what signs commands and modes
	TicketKeys = "keys/tickets"      // sealed: TLS session tickets of all gateways
	Tokens     = "tokens/"           // + id: fleet.Token
	Enrolments = "enrolments/"       // + node: fleet.Enrolment
	Fleet      = "fleet/"            // what gateways watch as one
	Configs    = Fleet + "config/"   // + tenant/kind/scope/version: fleet.ConfigVersion
	Commands   = Fleet + "commands/" // + id: fleet.SignedCommand, on a lease
	Modes      = Fleet + "modes/"    // + epoch: fleet.SignedMode
	Exceptions = "exceptions/"       // + tenant/id: fleet.Exception
	Gateways   = "gateways/"         // + id: fleet.Gateway, on the gateway's lease
	everyone   = "_"                 // tenant of what is for every tenant
	wide       = "%s%020d"           // numbers sort as text
)

// Token returns the key of a token.
func Token(id string) string { return Tokens + id }

// Enrolment returns the key of a node's enrolment.
func Enrolment(node event.NodeID) string { return Enrolments + node.String() }

// tenantPart is the tenant as part of a key.
func tenantPart(tenant string) string {
	if tenant == "" {
		return everyone
	}
	return tenant
}

// Scope returns the prefix of the versions of a scope.
func Scope(tenant, kind, scope string) string {
	return Configs + tenantPart(tenant) + "/" + kind + "/" + scope + "/"
}

// Config returns the key of one version.
func Config(tenant, kind, scope string, version uint64) string {
	return fmt.Sprintf(wide, Scope(tenant, kind, scope), version)
}

// Command returns the key of a command.
func Command(id string) string { return Commands + id }

// Mode returns the key of a mode.
func Mode(epoch uint64) string { return fmt.Sprintf(wide, Modes, epoch) }

// ScopeOf returns the scope that the key of a version is of.
func ScopeOf(key string) string { return key[:strings.LastIndexByte(key, '/')+1] }

// Exception returns the key of an exception.
func Exception(tenant, id string) string { return Exceptions + tenantPart(tenant) + "/" + id }

// Gateway returns the key of a gateway.
func Gateway(id string) string { return Gateways + id }
