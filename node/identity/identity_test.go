package identity

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hauberk/hauberk/link"
	"github.com/hauberk/hauberk/link/linktest"
)

func TestEnrolLoadRenew(t *testing.T) {
	g := linktest.NewGateway(t, linktest.GatewayOptions{})
	dir := filepath.Join(t.TempDir(), "identity")
	if _, err := Load(dir); !errors.Is(err, ErrNotEnrolled) {
		t.Fatalf("not enrolled: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	token := g.NewToken()
	id, err := Enrol(ctx, dir, g.Address, token, &link.EnrolRequest{Host: "h", Kind: "agent"}, false)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{keyFile, identityFile} {
		info, err := os.Stat(filepath.Join(dir, file))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", file, info.Mode(), err)
		}
	}
	if _, err := Enrol(ctx, dir, g.Address, g.NewToken(), &link.EnrolRequest{}, false); err == nil {
		t.Error("replaced an identity")
	}
	if _, err := Enrol(ctx, t.TempDir(), g.Address, token, &link.EnrolRequest{}, false); err == nil || !strings.Contains(err.Error(), "token not valid") {
		t.Errorf("token used twice: %v", err)
	}
	again, err := Load(dir)
	if err != nil || again.Node() != id.Node() || again.Tenant() != "acme" || len(again.Keys()) != 1 || len(again.Gateways()) != 1 {
		t.Fatalf("loaded %+v, %v", again, err)
	}

	// A renewal keeps node and key, and nothing else is taken for one.
	creds := again.Credentials()
	chain, err := g.Authority.Issue(creds.Identity, creds.Leaf.PublicKey, time.Now().Add(-time.Minute), time.Now().Add(48*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	roots := [][]byte{g.Authority.Certificate.Raw}
	if err := again.Renewed(&link.Renewed{Chain: chain, Roots: roots}); err != nil {
		t.Fatal(err)
	}
	if third, err := Load(dir); err != nil || third.Credentials().Leaf.SerialNumber.Cmp(creds.Leaf.SerialNumber) == 0 {
		t.Fatalf("the renewed certificate was not stored: %v", err)
	}
	stranger := g.Authority.Node(t, "acme")
	if err := again.Renewed(&link.Renewed{Chain: stranger.Certificate.Certificate, Roots: roots}); err == nil {
		t.Error("took the certificate of another key")
	}
	if again.Credentials().Identity != creds.Identity {
		t.Error("a refused renewal changed the identity")
	}
}

func TestSpoiledFiles(t *testing.T) {
	g := linktest.NewGateway(t, linktest.GatewayOptions{})
	for name, spoil := range map[string]func(dir string) error{
		"no key":        func(dir string) error { return os.Remove(filepath.Join(dir, keyFile)) },
		"key is no PEM": func(dir string) error { return os.WriteFile(filepath.Join(dir, keyFile), []byte("x"), 0o600) },
		"no JSON":       func(dir string) error { return os.WriteFile(filepath.Join(dir, identityFile), []byte("{"), 0o600) },
		"empty":         func(dir string) error { return os.WriteFile(filepath.Join(dir, identityFile), []byte("{}"), 0o600) },
	} {
		dir := t.TempDir()
		if _, err := Enrol(t.Context(), dir, g.Address, g.NewToken(), &link.EnrolRequest{}, false); err != nil {
			t.Fatal(err)
		}
		if err := spoil(dir); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(dir); err == nil || errors.Is(err, ErrNotEnrolled) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
