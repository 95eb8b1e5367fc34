package central

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"testing"

	"github.com/hauberk/hauberk/link"
)

func TestTakeSaveLoad(t *testing.T) {
	body := []byte("a: 1\n")
	sum := sha256.Sum256(body)
	c, err := Take(&link.Config{Version: 7, Hash: hex.EncodeToString(sum[:]), Body: body})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), File)
	if none, err := Load(path); err != nil || none.Version != 0 {
		t.Fatalf("nothing stored: %+v, %v", none, err)
	}
	if err := c.Save(path); err != nil {
		t.Fatal(err)
	}
	if got, err := Load(path); err != nil || got.Version != 7 || got.Hash != c.Hash || !bytes.Equal(got.Body, body) {
		t.Fatalf("loaded %+v, %v", got, err)
	}
	if _, err := Take(&link.Config{Hash: c.Hash, Body: []byte("a: 2\n")}); err == nil {
		t.Fatal("a body that is not of its hash was taken")
	}
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path); err == nil {
		t.Fatal("a torn file was loaded")
	}
}
