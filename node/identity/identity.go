// Package identity keeps what makes a machine a node: its key, certificate,
// authorities and the pinned keys of commands, in <data-dir>/identity.
//
// key.pem (0600) is made here and never leaves; identity.json (0600) is what
// the centre gave. Both are replaced whole.
package identity

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/hauberk/hauberk/event"
	"github.com/hauberk/hauberk/fleet"
	"github.com/hauberk/hauberk/internal/durable"
	"github.com/hauberk/hauberk/link"
)

const (
	keyFile      = "key.pem"
	identityFile = "identity.json"
	dirMode      = 0o700
	fileMode     = 0o600
)

// ErrNotEnrolled says that this machine has no identity yet.
var ErrNotEnrolled = errors.New("this machine is not enrolled")

// file is identity.json.
type file struct {
	Node        string            `json:"node"`
	Tenant      string            `json:"tenant"`
	Chain       [][]byte          `json:"chain"` // DER
	Roots       [][]byte          `json:"roots"` // DER
	CommandKeys [][]byte          `json:"command_keys"`
	Gateways    []string          `json:"gateways"`
	Labels      map[string]string `json:"labels,omitempty"`
}

// Identity is who this node is. Safe for concurrent use.
type Identity struct {
	dir string
	key crypto.Signer

	mu    sync.Mutex
	file  file
	creds *link.Credentials
	keys  fleet.Keys
}

// Load reads the identity in dir. It is ErrNotEnrolled if there is none.
func Load(dir string) (*Identity, error) {
	data, err := os.ReadFile(filepath.Join(dir, identityFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNotEnrolled
	}
	if err != nil {
		return nil, fmt.Errorf("load identity: %w", err)
	}
	id := &Identity{dir: dir}
	if err := json.Unmarshal(data, &id.file); err != nil {
		return nil, fmt.Errorf("load identity: %s: %w", identityFile, err)
	}
	if id.key, err = loadKey(dir); err != nil {
		return nil, fmt.Errorf("load identity: %w", err)
	}
	if err := id.use(id.file); err != nil {
		return nil, fmt.Errorf("load identity: %w", err)
	}
	return id, nil
}

// use checks a file and makes it the identity.
func (id *Identity) use(f file) error {
	creds, err := link.NewCredentials(f.Chain, id.key, f.Roots)
	if err != nil {
		return err
	}
	if creds.Identity.Node.String() != f.Node || creds.Identity.Tenant != f.Tenant {
		return fmt.Errorf("certificate is of %s, not of node %s of tenant %s", creds.Identity, f.Node, f.Tenant)
	}
	keys, err := fleet.ParseKeys(f.CommandKeys)
	if err != nil {
		return err
	}
	id.file, id.creds, id.keys = f, creds, keys
	return nil
}

// Credentials returns the certificate in use.
func (id *Identity) Credentials() *link.Credentials {
	id.mu.Lock()
	defer id.mu.Unlock()
	return id.creds
}

// Node returns the node's id.
func (id *Identity) Node() event.NodeID { return id.Credentials().Identity.Node }

// Tenant returns the node's tenant.
func (id *Identity) Tenant() string { return id.Credentials().Identity.Tenant }

// Keys returns the keys pinned at enrolment.
func (id *Identity) Keys() fleet.Keys { return id.keys }

// Gateways returns the addresses given at enrolment.
func (id *Identity) Gateways() []string {
	id.mu.Lock()
	defer id.mu.Unlock()
	return id.file.Gateways
}

// Renewed stores a new certificate for the same node.
func (id *Identity) Renewed(r *link.Renewed) error {
	id.mu.Lock()
	defer id.mu.Unlock()
	f, before := id.file, id.file
	f.Chain, f.Roots = r.Chain, r.Roots
	if err := id.use(f); err != nil {
		return err
	}
	if err := save(id.dir, f); err != nil {
		return errors.Join(err, id.use(before))
	}
	return nil
}

func save(dir string, f file) error {
	data, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return err
	}
	return durable.WriteFile(filepath.Join(dir, identityFile), append(data, '\n'), fileMode)
}

// Enrol makes a key, joins the centre with the token, and stores what it
// gave. It refuses to replace an identity unless force is set.
func Enrol(ctx context.Context, dir, address string, token link.Token, r *link.EnrolRequest, force bool) (*Identity, error) {
	if _, err := os.Stat(filepath.Join(dir, identityFile)); err == nil && !force {
		return nil, fmt.Errorf("enrol: this machine is enrolled already (%s)", filepath.Join(dir, identityFile))
	}
	if err := os.MkdirAll(dir, dirMode); err != nil {
		return nil, fmt.Errorf("enrol: %w", err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("enrol: %w", err)
	}
	out, err := link.Enrol(ctx, address, token, key, r)
	if err != nil {
		return nil, err
	}
	node, err := event.NodeIDFrom(out.Node)
	if err != nil {
		return nil, fmt.Errorf("enrol: %w", err)
	}
	gateways := out.Gateways
	if len(gateways) == 0 {
		gateways = []string{address}
	}
	f := file{node.String(), out.Tenant, out.Chain, out.Roots, out.CommandKeys, gateways, out.Labels}
	id := &Identity{dir: dir, key: key}
	if err := id.use(f); err != nil {
		return nil, fmt.Errorf("enrol: gateway's answer: %w", err)
	}
	// The key first: an identity without its key would be useless.
	if err := saveKey(dir, key); err != nil {
		return nil, fmt.Errorf("enrol: %w", err)
	}
	if err := save(dir, f); err != nil {
		return nil, fmt.Errorf("enrol: %w", err)
	}
	return id, nil
}

func saveKey(dir string, key *ecdsa.PrivateKey) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return durable.WriteFile(filepath.Join(dir, keyFile), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), fileMode)
}

func loadKey(dir string) (crypto.Signer, error) {
	data, err := os.ReadFile(filepath.Join(dir, keyFile))
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, fmt.Errorf("%s is no PEM file", keyFile)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", keyFile, err)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("%s holds no key that signs", keyFile)
	}
	return signer, nil
}
