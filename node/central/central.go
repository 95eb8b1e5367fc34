// Package central keeps the last config of the centre that a node put in
// effect, so that a start without a gateway has it too.
package central

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/hauberk/hauberk/internal/durable"
	"github.com/hauberk/hauberk/link"
)

// File is its name below a data directory.
const File = "central.json"

// Config is a config of the centre.
type Config struct {
	Version uint64 `json:"version"` // 0: none
	Hash    string `json:"hash"`    // of the body, hexadecimal SHA-256
	Body    []byte `json:"body"`
}

// Take checks that a config came whole.
func Take(c *link.Config) (Config, error) {
	sum := sha256.Sum256(c.Body)
	if c.Hash != hex.EncodeToString(sum[:]) {
		return Config{}, fmt.Errorf("hash of the body differs from %.64q", c.Hash)
	}
	return Config{c.Version, c.Hash, c.Body}, nil
}

// Load reads what Save stored; none is no error.
func Load(path string) (c Config, err error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &c)
	}
	return c, err
}

// Save stores the config.
func (c *Config) Save(path string) error {
	data, err := json.Marshal(c)
	if err != nil {
		return err
	}
	return durable.WriteFile(path, append(data, '\n'), 0o600)
}
