package link

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/hauberk/hauberk/event"
)

// Identity is who a certificate speaks for: a SPIFFE id in its one URI name
// (SPIFFE-ID and X509-SVID specifications).
//
//	spiffe://<domain>/tenant/<tenant>/node/<32 hexadecimal digits>
//	spiffe://<domain>/gateway/<id>
type Identity struct {
	Domain  string
	Tenant  string       // of a node
	Node    event.NodeID // of a node
	Gateway string       // of a gateway, else empty
}

// URI returns the SPIFFE id.
func (id Identity) URI() *url.URL {
	path := "/gateway/" + id.Gateway
	if id.Gateway == "" {
		path = "/tenant/" + id.Tenant + "/node/" + id.Node.String()
	}
	return &url.URL{Scheme: "spiffe", Host: id.Domain, Path: path}
}

// String returns the SPIFFE id as text.
func (id Identity) String() string { return id.URI().String() }

// IsNode reports whether id names a node.
func (id Identity) IsNode() bool { return id.Gateway == "" && !id.Node.IsZero() }

// maxName bounds a trust domain and a gateway id, in bytes (SPIFFE-ID 2.1).
const maxName = 255

// ParseIdentity reads a SPIFFE id.
func ParseIdentity(u *url.URL) (Identity, error) {
	bad := fmt.Errorf("spiffe id %.200q: want spiffe://<domain>/tenant/<tenant>/node/<id> or spiffe://<domain>/gateway/<id>", u.String())
	if u.Scheme != "spiffe" || !plainName(u.Host) || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.RawPath != "" {
		return Identity{}, bad
	}
	id := Identity{Domain: u.Host}
	parts := strings.Split(u.Path, "/")
	switch {
	case len(parts) == 3 && parts[1] == "gateway" && plainName(parts[2]):
		id.Gateway = parts[2]
		return id, nil
	case len(parts) == 5 && parts[1] == "tenant" && parts[3] == "node":
		node, err := event.ParseNodeID(parts[4])
		if err != nil || node.IsZero() || CheckTenant(parts[2]) != nil || node.String() != parts[4] {
			return Identity{}, bad
		}
		id.Tenant, id.Node = parts[2], node
		return id, nil
	}
	return Identity{}, bad
}

// plainName reports whether s is 1 to maxName of a-z, 0-9, '.', '-' and '_'.
func plainName(s string) bool {
	if s == "" || len(s) > maxName {
		return false
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '.' || c == '-' || c == '_') {
			return false
		}
	}
	return true
}

// IdentityOf returns the identity in a certificate's only URI name.
func IdentityOf(c *x509.Certificate) (Identity, error) {
	if len(c.URIs) != 1 {
		return Identity{}, errors.New("certificate has not exactly one URI name")
	}
	return ParseIdentity(c.URIs[0])
}
