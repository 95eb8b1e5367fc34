package tinyelf

import (
	"os/exec"
	"path/filepath"
	"testing"
)

func TestRuns(t *testing.T) {
	path := filepath.Join(t.TempDir(), "true")
	if err := WriteExit(path); err != nil {
		t.Fatal(err)
	}
	if err := exec.Command(path).Run(); err != nil {
		t.Fatal(err)
	}
}
