package detect

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/hauberk/hauberk/sensor/internal/app/file"
	"github.com/hauberk/hauberk/suricata"
)

// digests are the conditions on a file's digest, with the digest's place in
// file.File.Sums and its size in bytes.
var digests = map[string]struct{ place, size int }{"filemd5": {0, 16}, "filesha1": {1, 20}, "filesha256": {2, 32}}

// digestCondition makes the condition of filemd5 and its like: the digest of a
// whole file is in a list, or negated in none.
func digestCondition(r *suricata.Compiled, o *suricata.Option) (fileCondition, error) {
	d := digests[o.Name]
	list, err := readDigests(listPath(r.Rule.File, plainText(o.Value)), d.size)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.Name, err)
	}
	return func(f *file.File) bool {
		sum := f.Sums()[d.place]
		return sum != nil && f.State == file.Closed && list[string(sum)] != o.Negated
	}, nil
}

// listPath is where a list lies: beside the rules, unless it is there.
func listPath(rules, name string) string {
	if beside := filepath.Join(filepath.Dir(rules), name); !filepath.IsAbs(name) {
		if _, err := os.Stat(beside); err == nil {
			return beside
		}
	}
	return name
}

// readDigests reads a list: a digest in hex at the beginning of each line.
func readDigests(path string, size int) (map[string]bool, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	list := map[string]bool{}
	s := bufio.NewScanner(f)
	for n := 1; s.Scan(); n++ {
		text := strings.TrimSpace(s.Text())
		if text == "" || text[0] == '#' {
			continue
		}
		if len(text) < 2*size {
			return nil, fmt.Errorf("%s:%d: no digest of %d bytes", path, n, size)
		}
		sum, err := hex.DecodeString(text[:2*size])
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", path, n, err)
		}
		list[string(sum)] = true
	}
	return list, s.Err()
}

// Hashes says which digests of files rules ask for.
func (s *Ruleset) Hashes() (md5, sha1, sha256 bool) {
	for _, r := range s.rules {
		for _, o := range r.File {
			switch o.Name {
			case "filemd5":
				md5 = true
			case "filesha1":
				sha1 = true
			case "filesha256":
				sha256 = true
			}
		}
	}
	return md5, sha1, sha256
}

// StoresFiles says whether a rule wants files kept.
func (s *Ruleset) StoresFiles() bool {
	for _, r := range s.rules {
		if r.Find("filestore") != nil {
			return true
		}
	}
	return false
}
