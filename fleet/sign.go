package fleet

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"
)

// What stands before the signed bytes, so that a signature over a command
// can never be taken for one over a mode.
const (
	commandDomain = "hauberk command v1\x00"
	modeDomain    = "hauberk mode v1\x00"
)

// KeyIDSize is the length of a key id in bytes.
const KeyIDSize = 8

// KeyID names a public key: the first 8 bytes of its SHA-256. It only finds
// the key to verify with; it proves nothing.
func KeyID(key ed25519.PublicKey) []byte {
	sum := sha256.Sum256(key)
	return sum[:KeyIDSize]
}

// Keys are the public keys that may sign commands and modes, those a node
// pinned at its enrolment.
type Keys []ed25519.PublicKey

// ParseKeys checks raw public keys, as link.Enrolled carries them.
func ParseKeys(raw [][]byte) (Keys, error) {
	if len(raw) == 0 {
		return nil, errors.New("no key to verify commands with")
	}
	keys := make(Keys, len(raw))
	for i, k := range raw {
		if len(k) != ed25519.PublicKeySize {
			return nil, fmt.Errorf("command key %d has %d bytes, want %d", i, len(k), ed25519.PublicKeySize)
		}
		keys[i] = ed25519.PublicKey(k)
	}
	return keys, nil
}

// Errors that say why a signed document is refused.
var (
	ErrUnknownKey   = errors.New("signed with a key that is not pinned")
	ErrBadSignature = errors.New("signature does not fit")
	ErrMalformed    = errors.New("signed document is malformed")
	ErrEarly        = errors.New("not valid yet")
	ErrExpired      = errors.New("expired")
	ErrOtherTenant  = errors.New("meant for another tenant")
)

func (keys Keys) verify(domain string, body, signature, id []byte) error {
	known := false
	for _, k := range keys {
		if !bytes.Equal(KeyID(k), id) {
			continue
		}
		known = true
		if ed25519.Verify(k, append([]byte(domain), body...), signature) {
			return nil
		}
	}
	if !known {
		return fmt.Errorf("%w (key id %.16x)", ErrUnknownKey, id)
	}
	return ErrBadSignature
}

func sign(key ed25519.PrivateKey, domain string, body []byte) (signature, id []byte) {
	return ed25519.Sign(key, append([]byte(domain), body...)), KeyID(key.Public().(ed25519.PublicKey))
}

// SignCommand marshals the command and signs exactly those bytes.
func SignCommand(key ed25519.PrivateKey, c *Command) (*SignedCommand, error) {
	body, err := c.MarshalVT()
	if err != nil {
		return nil, fmt.Errorf("sign command: %w", err)
	}
	s := &SignedCommand{Command: body}
	s.Signature, s.KeyId = sign(key, commandDomain, body)
	return s, nil
}

// OpenCommand verifies the signature and returns the command. Whether it is
// meant for this node and time, Command.Check says.
func (keys Keys) OpenCommand(s *SignedCommand) (*Command, error) {
	if err := keys.verify(commandDomain, s.GetCommand(), s.GetSignature(), s.GetKeyId()); err != nil {
		return nil, fmt.Errorf("command refused: %w", err)
	}
	c := &Command{}
	if err := c.UnmarshalVT(s.Command); err != nil {
		return nil, fmt.Errorf("command refused: %w: %w", ErrMalformed, err)
	}
	if c.Id == "" || c.Name == "" {
		return nil, fmt.Errorf("command refused: %w: no id or no name", ErrMalformed)
	}
	return c, nil
}

// Check reports why a node of that tenant may not execute the command now.
func (c *Command) Check(tenant string, now time.Time) error {
	switch at := now.UnixNano(); {
	case c.Tenant != "" && c.Tenant != tenant:
		return fmt.Errorf("command %s refused: %w", c.Id, ErrOtherTenant)
	case at >= c.Expires:
		return fmt.Errorf("command %s refused: %w at %s", c.Id, ErrExpired, time.Unix(0, c.Expires).UTC().Format(time.RFC3339))
	case at < c.NotBefore:
		return fmt.Errorf("command %s refused: %w, only at %s", c.Id, ErrEarly, time.Unix(0, c.NotBefore).UTC().Format(time.RFC3339))
	}
	return nil
}

// SignMode marshals the mode and signs exactly those bytes.
func SignMode(key ed25519.PrivateKey, m *Mode) (*SignedMode, error) {
	body, err := m.MarshalVT()
	if err != nil {
		return nil, fmt.Errorf("sign mode: %w", err)
	}
	s := &SignedMode{Mode: body}
	s.Signature, s.KeyId = sign(key, modeDomain, body)
	return s, nil
}

// OpenMode verifies the signature and returns the mode. A node obeys it if
// its tenant is its own or empty and its epoch above the last it obeyed.
func (keys Keys) OpenMode(s *SignedMode) (*Mode, error) {
	if err := keys.verify(modeDomain, s.GetMode(), s.GetSignature(), s.GetKeyId()); err != nil {
		return nil, fmt.Errorf("mode refused: %w", err)
	}
	m := &Mode{}
	if err := m.UnmarshalVT(s.Mode); err != nil {
		return nil, fmt.Errorf("mode refused: %w: %w", ErrMalformed, err)
	}
	if m.Epoch == 0 {
		return nil, fmt.Errorf("mode refused: %w: no epoch", ErrMalformed)
	}
	return m, nil
}

// For reports whether the mode is meant for a node of that tenant.
func (m *Mode) For(tenant string) bool { return m.Tenant == "" || m.Tenant == tenant }
