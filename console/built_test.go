package console

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"
)

// TestDistIsBuilt fails when a source has changed since dist was built. That
// the build makes just this dist is what `build.sh --check` shows, with npm.
func TestDistIsBuilt(t *testing.T) {
	noted, err := os.ReadFile("sources.sum")
	if err != nil {
		t.Fatal(err)
	}
	var now []string
	for _, root := range []string{"index.html", "package.json", "package-lock.json", "tsconfig.json", "vite.config.js", "public", "src"} {
		err := fs.WalkDir(os.DirFS("."), root, func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			content, err := os.ReadFile(name)
			now = append(now, fmt.Sprintf("%x  %s", sha256.Sum256(content), name))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	built := strings.Split(strings.TrimSpace(string(noted)), "\n")
	for _, line := range now {
		if !slices.Contains(built, line) {
			t.Errorf("changed since dist was built: %s; run console/build.sh", line)
		}
	}
	if len(now) != len(built) {
		t.Errorf("%d sources, dist was built from %d; run console/build.sh", len(now), len(built))
	}
}

// TestDistIsSmall holds the whole console to 1 MB.
func TestDistIsSmall(t *testing.T) {
	total := 0
	files, err := load(dist)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		total += len(f.plain)
	}
	if total > 1<<20 {
		t.Errorf("dist has %d bytes, at most 1 MiB", total)
	}
}
