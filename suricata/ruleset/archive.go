package ruleset

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
)

// A File is one of a source: rules, or what rules refer to.
type File struct {
	Name string // source/path, with slashes
	Data []byte
}

// Bounds of a source: the largest public sets have 40 MB in some hundred files.
const (
	maxSource = 512 << 20 // bytes, packed or unpacked
	maxFiles  = 20_000
)

// unpack gives the files of an archive (tar, tar.gz, zip), or the one file
// that data is. Its names begin with source.
func unpack(source, name string, data []byte) ([]File, error) {
	c := collection{source: source}
	var err error
	switch {
	case bytes.HasPrefix(data, []byte("PK\x03\x04")):
		err = c.zip(data)
	case bytes.HasPrefix(data, []byte{0x1f, 0x8b}):
		err = c.gzip(strings.TrimSuffix(name, ".gz"), data)
	case isTar(data):
		err = c.tar(bytes.NewReader(data))
	default:
		c.files = []File{{source + "/" + ruleName(name), data}}
	}
	if err != nil {
		return nil, fmt.Errorf("unpack %s: %w", name, err)
	}
	return c.files, nil
}

// isTar looks for the magic of a tar header (POSIX.1-1988, ustar).
func isTar(data []byte) bool { return len(data) > 512 && string(data[257:262]) == "ustar" }

// ruleName gives a source that is one file of rules its extension.
func ruleName(name string) string {
	if path.Ext(name) == ".rules" {
		return name
	}
	return name + ".rules"
}

type collection struct {
	source string
	files  []File
	size   int
}

func (c *collection) gzip(name string, data []byte) error {
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return err
	}
	all, err := c.read(z)
	switch {
	case err != nil:
		return err
	case isTar(all):
		c.size = 0 // the files are what is kept
		return c.tar(bytes.NewReader(all))
	}
	c.files = append(c.files, File{c.source + "/" + ruleName(name), all})
	return nil
}

func (c *collection) tar(r io.Reader) error {
	t := tar.NewReader(r)
	for {
		h, err := t.Next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case h.Typeflag != tar.TypeReg:
			continue
		}
		if err := c.add(h.Name, t); err != nil {
			return err
		}
	}
}

func (c *collection) zip(data []byte) error {
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return err
	}
	for _, f := range z.File {
		if !f.Mode().IsRegular() {
			continue
		}
		r, err := f.Open()
		if err != nil {
			return fmt.Errorf("%s: %w", f.Name, err)
		}
		if err := errors.Join(c.add(f.Name, r), r.Close()); err != nil {
			return err
		}
	}
	return nil
}

// add keeps a file. Names that would leave the archive are pulled into it.
func (c *collection) add(name string, r io.Reader) error {
	name = strings.TrimPrefix(path.Clean("/"+name), "/")
	if len(c.files) == maxFiles {
		return fmt.Errorf("more than %d files", maxFiles)
	}
	data, err := c.read(r)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	c.files = append(c.files, File{c.source + "/" + name, data})
	return nil
}

func (c *collection) read(r io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, int64(maxSource-c.size)+1))
	if c.size += len(data); c.size > maxSource {
		return nil, fmt.Errorf("more than %d MB", maxSource>>20)
	}
	return data, err
}
