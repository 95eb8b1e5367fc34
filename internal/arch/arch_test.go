// Package arch holds no code: its test keeps the two walls of the house.
// Imports only go down the layers of layers.txt, and no binary links what
// forbidden.txt names. (A part's guts live in <part>/internal, which the
// compiler closes to all others.)
package arch

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const module = "github.com/hauberk/hauberk"

// unit is one top-level folder with its place in the order of layers.
type unit struct {
	layer string
	rank  int // of the layer
	place int // in the layer's list
}

// peersMayImport are the layers where an earlier folder serves a later one.
var peersMayImport = map[string]bool{"kit": true, "word": true, "lib": true, "top": true}

type goPackage struct {
	ImportPath   string
	Imports      []string
	TestImports  []string
	XTestImports []string
	Deps         []string
}

func TestImportsOnlyGoDown(t *testing.T) {
	units := readLayers(t)
	for _, p := range goList(t, "./...") {
		folder, inside := folderOf(p.ImportPath)
		if !inside {
			continue
		}
		from, known := units[folder]
		if !known {
			t.Errorf("%s: folder %q is in no layer; add it to internal/arch/layers.txt", p.ImportPath, folder)
			continue
		}
		for _, path := range p.Imports {
			target, inside := folderOf(path)
			if !inside || target == folder {
				continue
			}
			to := units[target]
			lower := to.rank < from.rank
			peer := to.rank == from.rank && peersMayImport[from.layer] && to.place < from.place
			if !lower && !peer {
				t.Errorf("%s (%s) imports %s (%s): imports only go down", p.ImportPath, from.layer, path, to.layer)
			}
		}
	}
}

func TestBinariesLinkNothingForbidden(t *testing.T) {
	deps := map[string][]string{}
	for line := range lines(t, "forbidden.txt") {
		fields := strings.Fields(line)
		if len(fields) < 3 {
			t.Fatalf("forbidden.txt: %q: want binary, prefix and reason", line)
		}
		binary, prefix, reason := fields[0], fields[1], strings.Join(fields[2:], " ")
		if deps[binary] == nil {
			for _, p := range goList(t, "./"+binary) {
				deps[binary] = append(deps[binary], p.Deps...)
			}
		}
		for _, dep := range deps[binary] {
			if dep == prefix || strings.HasPrefix(dep, strings.TrimSuffix(prefix, "/")+"/") {
				t.Errorf("%s links %s: %s", binary, dep, reason)
			}
		}
	}
}

func TestEveryPackageSaysWhatItIs(t *testing.T) {
	for _, p := range goList(t, "./...") {
		folder := filepath.Join("..", "..", strings.TrimPrefix(p.ImportPath, module))
		files, err := filepath.Glob(filepath.Join(folder, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		said := false
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if bytes.Contains(text, []byte("\n// Package ")) || bytes.HasPrefix(text, []byte("// Package ")) ||
				bytes.HasPrefix(text, []byte("// Command ")) || bytes.Contains(text, []byte("\n// Command ")) {
				said = true
			}
		}
		if !said {
			t.Errorf("%s has no package comment", p.ImportPath)
		}
	}
}

// folderOf returns the top-level folder of an import path of this module.
func folderOf(path string) (string, bool) {
	rest, inside := strings.CutPrefix(path, module+"/")
	if !inside {
		return "", false
	}
	folder, _, _ := strings.Cut(rest, "/")
	return folder, true
}

func readLayers(t *testing.T) map[string]unit {
	units := map[string]unit{}
	rank := 0
	for line := range lines(t, "layers.txt") {
		layer, folders, ok := strings.Cut(line, ":")
		if !ok {
			t.Fatalf("layers.txt: %q: want `layer: folders`", line)
		}
		for place, folder := range strings.Fields(folders) {
			units[folder] = unit{layer, rank, place}
		}
		rank++
	}
	return units
}

// lines yields the lines of a text file that are neither empty nor comments.
func lines(t *testing.T, name string) func(func(string) bool) {
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return func(yield func(string) bool) {
		s := bufio.NewScanner(bytes.NewReader(data))
		for s.Scan() {
			line := strings.TrimSpace(s.Text())
			if line != "" && !strings.HasPrefix(line, "#") && !yield(line) {
				return
			}
		}
	}
}

func goList(t *testing.T, pattern string) []goPackage {
	t.Helper()
	c := exec.Command("go", "list", "-json=ImportPath,Imports,TestImports,XTestImports,Deps", pattern)
	c.Dir = filepath.Join("..", "..")
	c.Stderr = os.Stderr
	out, err := c.Output()
	if err != nil {
		t.Fatalf("go list %s: %v", pattern, err)
	}
	var packages []goPackage
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p goPackage
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatal(err)
		}
		packages = append(packages, p)
	}
}
