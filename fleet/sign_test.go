package fleet

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"testing"
	"time"
)

// testKey is a fixed key, so that signatures are golden.
func testKey() ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))
}

func keysOf(keys ...ed25519.PrivateKey) Keys {
	var out Keys
	for _, k := range keys {
		out = append(out, k.Public().(ed25519.PublicKey))
	}
	return out
}

func TestSignedCommand(t *testing.T) {
	key, other := testKey(), ed25519.NewKeyFromSeed(bytes.Repeat([]byte{8}, ed25519.SeedSize))
	now := time.Unix(1_800_000_000, 0)
	command := &Command{Id: "1", Name: "ping", Selector: "all", Tenant: "acme", NotBefore: now.UnixNano(), Expires: now.Add(time.Hour).UnixNano()}
	signed, err := SignCommand(key, command)
	if err != nil {
		t.Fatal(err)
	}
	got, err := keysOf(other, key).OpenCommand(signed)
	if err != nil || got.Name != "ping" || got.Expires != command.Expires {
		t.Fatalf("%v, %v", got, err)
	}
	change := func(f func(*SignedCommand)) *SignedCommand {
		c := &SignedCommand{Command: bytes.Clone(signed.Command), Signature: bytes.Clone(signed.Signature), KeyId: bytes.Clone(signed.KeyId)}
		f(c)
		return c
	}
	mode, err := SignMode(key, &Mode{Epoch: 1})
	if err != nil {
		t.Fatal(err)
	}
	nameless, err := SignCommand(key, &Command{})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		s    *SignedCommand
		keys Keys
		want error
	}{
		"another key":      {signed, keysOf(other), ErrUnknownKey},
		"no keys":          {signed, nil, ErrUnknownKey},
		"no signature":     {change(func(c *SignedCommand) { c.Signature = nil }), keysOf(key), ErrBadSignature},
		"changed byte":     {change(func(c *SignedCommand) { c.Command[0] ^= 1 }), keysOf(key), ErrBadSignature},
		"claimed key":      {change(func(c *SignedCommand) { c.KeyId = KeyID(keysOf(other)[0]) }), keysOf(key, other), ErrBadSignature},
		"mode as command":  {&SignedCommand{Command: mode.Mode, Signature: mode.Signature, KeyId: mode.KeyId}, keysOf(key), ErrBadSignature},
		"nothing":          {nil, keysOf(key), ErrUnknownKey},
		"signed nonsense":  {nameless, keysOf(key), ErrMalformed},
		"key of wrong len": {signed, Keys{}, ErrUnknownKey},
	} {
		if _, err := c.keys.OpenCommand(c.s); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	for name, c := range map[string]struct {
		tenant string
		now    time.Time
		want   error
	}{
		"in time":      {"acme", now, nil},
		"other tenant": {"umbrella", now, ErrOtherTenant},
		"early":        {"acme", now.Add(-1), ErrEarly},
		"late":         {"acme", now.Add(time.Hour), ErrExpired},
	} {
		if err := got.Check(c.tenant, c.now); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

func TestSignedMode(t *testing.T) {
	key := testKey()
	signed, err := SignMode(key, &Mode{Epoch: 5, Stopped: true, Selector: "all"})
	if err != nil {
		t.Fatal(err)
	}
	m, err := keysOf(key).OpenMode(signed)
	if err != nil || !m.Stopped || m.Epoch != 5 || !m.For("any") {
		t.Fatalf("%v, %v", m, err)
	}
	signed.Mode[1] ^= 1
	if _, err := keysOf(key).OpenMode(signed); !errors.Is(err, ErrBadSignature) {
		t.Errorf("changed mode: %v", err)
	}
	if (&Mode{Tenant: "a"}).For("b") {
		t.Error("a tenant's mode is for another")
	}
	zero, err := SignMode(key, &Mode{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := keysOf(key).OpenMode(zero); !errors.Is(err, ErrMalformed) {
		t.Errorf("mode without epoch: %v", err)
	}
}

func TestParseKeys(t *testing.T) {
	public := keysOf(testKey())[0]
	if keys, err := ParseKeys([][]byte{public}); err != nil || len(keys) != 1 {
		t.Errorf("%v, %v", keys, err)
	}
	for _, raw := range [][][]byte{nil, {public[:31]}, {nil}} {
		if _, err := ParseKeys(raw); err == nil {
			t.Errorf("%x taken", raw)
		}
	}
}

func FuzzOpenCommand(f *testing.F) {
	signed, err := SignCommand(testKey(), &Command{Id: "1", Name: "ping"})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(signed.Command, signed.Signature, signed.KeyId)
	f.Add([]byte{}, []byte{}, []byte{})
	f.Fuzz(func(t *testing.T, body, signature, id []byte) {
		c, err := keysOf(testKey()).OpenCommand(&SignedCommand{Command: body, Signature: signature, KeyId: id})
		if err == nil && (c.Name != "ping" || !bytes.Equal(body, signed.Command)) {
			t.Fatalf("forged: %x", body)
		}
	})
}

func TestPresence(t *testing.T) {
	online := &Presence{State: PresenceState_PRESENCE_STATE_ONLINE, Gateway: "a-1"}
	offline := &Presence{State: PresenceState_PRESENCE_STATE_OFFLINE, Gateway: "a-1"}
	none := func(string) bool { return false }
	all := func(string) bool { return true }
	if online.Seen(all) != PresenceState_PRESENCE_STATE_ONLINE || online.Seen(none) != PresenceState_PRESENCE_STATE_UNKNOWN || offline.Seen(none) != PresenceState_PRESENCE_STATE_OFFLINE {
		t.Error("overlay of dead gateways")
	}
	elsewhere := &Presence{State: PresenceState_PRESENCE_STATE_ONLINE, Gateway: "b-1"}
	if offline.Follows(elsewhere) || !offline.Follows(online) || !elsewhere.Follows(online) || !offline.Follows(nil) || !online.Follows(offline) {
		t.Error("which word of a node counts")
	}
}
