// Package vault keeps the control plane's secrets in etcd, sealed: the
// authority's key, the key that signs commands, TLS ticket keys. The key that
// opens them is a file on each machine with a gateway, so that neither etcd
// nor a backup of it can enrol a node or command one (docs/adr/control-secrets.md).
package vault

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/hauberk/hauberk/control/internal/keyspace"
)

// keySize is that of AES-256.
const keySize = 32

// Vault seals and opens. Make it with Open.
type Vault struct {
	client *clientv3.Client
	aead   cipher.AEAD
}

// record is the value of a sealed key.
type record struct {
	Public []byte `json:"public,omitempty"` // bound to the secret, readable by all
	Sealed []byte `json:"sealed"`           // nonce and AES-256-GCM of the secret
}

// Open reads the sealing key from its file and proves it with the marker in
// etcd. Where neither exists it makes both: the first start of a centre.
func Open(ctx context.Context, client *clientv3.Client, file string) (*Vault, error) {
	key, err := readKey(file)
	if errors.Is(err, fs.ErrNotExist) {
		key, err = makeKey(ctx, client, file)
	}
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	v := &Vault{client: client}
	if v.aead, err = cipher.NewGCM(block); err != nil {
		return nil, err
	}
	_, _, err = v.Get(ctx, keyspace.Marker, func() ([]byte, []byte, error) { return nil, []byte("hauberk"), nil })
	if errors.Is(err, errSealed) {
		return nil, fmt.Errorf("sealing key %s is not the one the secrets in etcd were sealed with: copy it from another gateway or from the backup", file)
	}
	if err != nil {
		return nil, err
	}
	return v, nil
}

func readKey(file string) ([]byte, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, fmt.Errorf("read sealing key: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("sealing key %s can be read by others (mode %04o): chmod 600 it", file, info.Mode().Perm())
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read sealing key: %w", err)
	}
	key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(data)))
	if err != nil || len(key) != keySize {
		return nil, fmt.Errorf("sealing key %s is damaged: want %d bytes in base64", file, keySize)
	}
	return key, nil
}

// makeKey writes a new key, unless etcd already holds something sealed or
// another process was faster.
func makeKey(ctx context.Context, client *clientv3.Client, file string) ([]byte, error) {
	r, err := client.Get(ctx, keyspace.Marker)
	if err != nil {
		return nil, fmt.Errorf("look for secrets in etcd: %w", err)
	}
	if r.Count > 0 {
		return nil, fmt.Errorf("sealing key %s is missing, but etcd holds secrets sealed with it: copy it from another gateway or from the backup", file)
	}
	key := make([]byte, keySize)
	rand.Read(key) // never fails (crypto/rand, Go 1.24)
	dir := filepath.Dir(file)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make folder of sealing key: %w", err)
	}
	f, err := os.CreateTemp(dir, ".sealing") // mode 0600
	if err != nil {
		return nil, fmt.Errorf("write sealing key: %w", err)
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(base64.StdEncoding.EncodeToString(key) + "\n")
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return nil, fmt.Errorf("write sealing key: %w", err)
	}
	// A link fails where a rename would replace the key of a faster process.
	if err := os.Link(f.Name(), file); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("write sealing key: %w", err)
	}
	return readKey(file)
}

// errSealed is wrapped by the error of a record that does not open.
var errSealed = errors.New("sealed with another key, or altered")

func (v *Vault) seal(name string, public, secret []byte) ([]byte, error) {
	nonce := make([]byte, v.aead.NonceSize())
	rand.Read(nonce)
	return json.Marshal(record{public, v.aead.Seal(nonce, nonce, secret, bound(name, public))})
}

// bound is what the seal covers beside the secret: a record moved to another
// key, or given another public part, does not open.
func bound(name string, public []byte) []byte { return append([]byte(name+"\x00"), public...) }

// Unseal opens the value of a key that the caller read or watched.
func (v *Vault) Unseal(name string, value []byte) (public, secret []byte, err error) {
	var r record
	if err := json.Unmarshal(value, &r); err != nil {
		return nil, nil, fmt.Errorf("secret %s is damaged: %w", name, err)
	}
	n := v.aead.NonceSize()
	if len(r.Sealed) < n {
		return nil, nil, fmt.Errorf("secret %s is damaged: too short", name)
	}
	secret, err = v.aead.Open(nil, r.Sealed[:n], r.Sealed[n:], bound(name, r.Public))
	if err != nil {
		return nil, nil, fmt.Errorf("secret %s: %w", name, errSealed)
	}
	return r.Public, secret, nil
}

// Get returns the public part and the secret of a key. If etcd has none,
// create makes them; of several processes that create at once, one wins and
// all get its result.
func (v *Vault) Get(ctx context.Context, key string, create func() (public, secret []byte, err error)) (public, secret []byte, err error) {
	r, err := v.client.Get(ctx, key)
	if err != nil {
		return nil, nil, fmt.Errorf("read secret %s: %w", key, err)
	}
	if len(r.Kvs) == 1 {
		return v.Unseal(key, r.Kvs[0].Value)
	}
	if public, secret, err = create(); err != nil {
		return nil, nil, fmt.Errorf("make secret %s: %w", key, err)
	}
	value, err := v.seal(key, public, secret)
	if err != nil {
		return nil, nil, err
	}
	t, err := v.client.Txn(ctx).If(clientv3.Compare(clientv3.CreateRevision(key), "=", 0)).
		Then(clientv3.OpPut(key, string(value))).Else(clientv3.OpGet(key)).Commit()
	if err != nil {
		return nil, nil, fmt.Errorf("store secret %s: %w", key, err)
	}
	if t.Succeeded {
		return public, secret, nil
	}
	if kvs := t.Responses[0].GetResponseRange().Kvs; len(kvs) == 1 {
		return v.Unseal(key, kvs[0].Value)
	}
	return nil, nil, fmt.Errorf("read secret %s: it vanished", key)
}

// Replace stores a new secret if the key is still at that revision; of
// several processes that replace at once, one wins.
func (v *Vault) Replace(ctx context.Context, key string, revision int64, public, secret []byte) error {
	value, err := v.seal(key, public, secret)
	if err != nil {
		return err
	}
	if _, err := v.client.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision(key), "=", revision)).
		Then(clientv3.OpPut(key, string(value))).Commit(); err != nil {
		return fmt.Errorf("replace secret %s: %w", key, err)
	}
	return nil
}
