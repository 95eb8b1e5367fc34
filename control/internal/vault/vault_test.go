package vault_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/hauberk/hauberk/control/internal/etcd/etcdtest"
	"github.com/hauberk/hauberk/control/internal/vault"
)

func TestMain(m *testing.M) { etcdtest.Main(m) }

func make1(secret string) func() ([]byte, []byte, error) {
	return func() ([]byte, []byte, error) { return []byte("public"), []byte(secret), nil }
}

func TestSecretsAreSealedAndShared(t *testing.T) {
	c := etcdtest.Client(t)
	file := filepath.Join(t.TempDir(), "tls", "sealing.key")
	v, err := vault.Open(t.Context(), c, file)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("sealing key: %v, %v", info.Mode(), err)
	}
	public, secret, err := v.Get(t.Context(), "k", make1("hush"))
	if err != nil || string(public) != "public" || string(secret) != "hush" {
		t.Fatalf("%q %q %v", public, secret, err)
	}
	raw, err := c.Get(t.Context(), "", clientv3.WithPrefix())
	if err != nil {
		t.Fatal(err)
	}
	for _, kv := range raw.Kvs {
		if bytes.Contains(kv.Value, []byte("hush")) || bytes.Contains(kv.Value, []byte("aHVzaA")) {
			t.Errorf("%s lies open in etcd", kv.Key)
		}
	}
	other, err := vault.Open(t.Context(), c, file)
	if err != nil {
		t.Fatal(err)
	}
	if _, secret, err = other.Get(t.Context(), "k", func() ([]byte, []byte, error) { return nil, nil, errors.New("made twice") }); err != nil || string(secret) != "hush" {
		t.Errorf("a second gateway reads %q, %v", secret, err)
	}
}

func TestSecretsAreBoundToTheirPlace(t *testing.T) {
	c := etcdtest.Client(t)
	v, err := vault.Open(t.Context(), c, filepath.Join(t.TempDir(), "key"))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := v.Get(t.Context(), "k", make1("hush")); err != nil {
		t.Fatal(err)
	}
	r, err := c.Get(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	value := r.Kvs[0].Value
	if _, _, err := v.Unseal("other", value); err == nil {
		t.Error("a secret opens under another key")
	}
	forged := bytes.Replace(value, []byte(`"public":"cHVibGlj"`), []byte(`"public":"Zm9yZ2Vk"`), 1)
	if bytes.Equal(forged, value) {
		t.Fatalf("nothing forged in %s", value)
	}
	if _, _, err := v.Unseal("k", forged); err == nil {
		t.Error("a secret opens with another public part")
	}
	for _, damaged := range []string{"", "{}", `{"sealed":"AAAA"}`, "\x00"} {
		if _, _, err := v.Unseal("k", []byte(damaged)); err == nil {
			t.Errorf("%q opens", damaged)
		}
	}
}

func TestBadSealingKeys(t *testing.T) {
	c := etcdtest.Client(t)
	dir := t.TempDir()
	good := filepath.Join(dir, "good")
	if _, err := vault.Open(t.Context(), c, good); err != nil {
		t.Fatal(err)
	}
	write := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	text, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	for want, file := range map[string]string{
		"copy it from another gateway": filepath.Join(dir, "absent"),
		"is not the one":               write("other", strings.Repeat("A", 43)+"=\n", 0o600),
		"is damaged":                   write("short", "AAAA", 0o600),
		"can be read by others":        write("open", string(text), 0o644),
	} {
		if _, err := vault.Open(t.Context(), c, file); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", filepath.Base(file), err, want)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "absent")); err == nil {
		t.Error("a key was made where a lost one belongs")
	}
}

// TestFirstStartTogether opens one new vault from many processes' places.
func TestFirstStartTogether(t *testing.T) {
	c := etcdtest.Client(t)
	file := filepath.Join(t.TempDir(), "key")
	var wg sync.WaitGroup
	secrets := make([]string, 8)
	for i := range secrets {
		wg.Go(func() {
			v, err := vault.Open(t.Context(), c, file)
			if err != nil {
				t.Error(err)
				return
			}
			_, secret, err := v.Get(t.Context(), "k", make1(string(rune('a'+i))))
			if err != nil {
				t.Error(err)
			}
			secrets[i] = string(secret)
		})
	}
	wg.Wait()
	for _, s := range secrets {
		if s != secrets[0] || s == "" {
			t.Fatalf("they do not agree: %q", secrets)
		}
	}
}

func TestReplace(t *testing.T) {
	c := etcdtest.Client(t)
	v, err := vault.Open(t.Context(), c, filepath.Join(t.TempDir(), "key"))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := v.Get(t.Context(), "k", make1("one")); err != nil {
		t.Fatal(err)
	}
	r, err := c.Get(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"two", "three"} { // both saw the first revision
		if err := v.Replace(t.Context(), "k", r.Kvs[0].ModRevision, nil, []byte(secret)); err != nil {
			t.Fatal(err)
		}
	}
	if _, secret, err := v.Get(t.Context(), "k", nil); err != nil || string(secret) != "two" {
		t.Errorf("%q, %v", secret, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := v.Get(ctx, "k", nil); err == nil {
		t.Error("no error without etcd")
	}
}
