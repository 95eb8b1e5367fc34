package main

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"crypto/x509"

	"github.com/klauspost/compress/zstd"

	"github.com/hauberk/hauberk/store"
)

// What a backup holds: a tar archive, compressed by zstd
// (docs/formats/backup.md).
const (
	backupControl = "control.jsonl" // control.Admin.Export
	backupKey     = "sealing.key"   // opens the secrets in it
	backupStore   = "store"         // folder of store.Client.Backup
)

// backup writes one archive of everything that cannot be made again.
func (s *server) backup(ctx context.Context, client *store.Client, w io.Writer) error {
	stage, err := s.stage()
	if err != nil {
		return err
	}
	defer os.RemoveAll(stage)
	var exported bytes.Buffer
	if err := s.admin.Export(ctx, &exported); err != nil {
		return err
	}
	key, err := os.ReadFile(s.config.Gateway.SealingKey)
	if err != nil {
		return fmt.Errorf("back up sealing key: %w", err)
	}
	databases := filepath.Join(stage, backupStore)
	if err := client.Backup(ctx, databases); err != nil {
		return fmt.Errorf("back up databases: %w", err)
	}
	z, err := zstd.NewWriter(w)
	if err != nil {
		return err
	}
	t := tar.NewWriter(z)
	for _, small := range []struct {
		name string
		data []byte
	}{{backupControl, exported.Bytes()}, {backupKey, key}} {
		header := &tar.Header{Name: small.name, Mode: 0o600, Size: int64(len(small.data)), ModTime: time.Now()}
		if err := t.WriteHeader(header); err != nil {
			return err
		}
		if _, err := t.Write(small.data); err != nil {
			return err
		}
	}
	if err := addFolder(t, stage, databases); err != nil {
		return fmt.Errorf("back up databases: %w", err)
	}
	return errors.Join(t.Close(), z.Close())
}

// stage makes a folder on the file system of the data directory.
func (s *server) stage() (string, error) {
	dir, err := os.MkdirTemp(s.config.DataDir, "backup-")
	if err != nil {
		return "", fmt.Errorf("make room for the backup: %w", err)
	}
	return dir, nil
}

// addFolder adds the regular files below a folder, named from base.
func addFolder(t *tar.Writer, base, folder string) error {
	return filepath.WalkDir(folder, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil {
			return err
		}
		name, err := filepath.Rel(base, path)
		if err != nil {
			return err
		}
		if err := t.WriteHeader(&tar.Header{Name: filepath.ToSlash(name), Mode: 0o600, Size: info.Size(), ModTime: info.ModTime()}); err != nil {
			return err
		}
		_, err = io.CopyN(t, f, info.Size())
		return err
	})
}

// restore puts an archive's state in the place of today's. Nothing changes
// before the whole archive was read. The processes must then start again.
func (s *server) restore(ctx context.Context, client *store.Client, r io.Reader) error {
	stage, err := s.stage()
	if err != nil {
		return err
	}
	defer os.RemoveAll(stage)
	if err := unpack(r, stage); err != nil {
		return fmt.Errorf("read backup: %w", err)
	}
	exported, err := os.Open(filepath.Join(stage, backupControl))
	if err != nil {
		return fmt.Errorf("read backup: %w", err)
	}
	defer exported.Close()
	key, err := os.ReadFile(filepath.Join(stage, backupKey))
	if err != nil {
		return fmt.Errorf("read backup: %w", err)
	}
	if err := client.Restore(ctx, filepath.Join(stage, backupStore)); err != nil {
		return fmt.Errorf("restore databases: %w", err)
	}
	if err := s.admin.Import(ctx, exported); err != nil {
		return err
	}
	if err := writeFile(s.config.Gateway.SealingKey, key, 0o600); err != nil {
		return fmt.Errorf("restore sealing key: %w", err)
	}
	s.log.Warn("a backup was restored; start the processes again to work by it")
	return nil
}

// unpack writes the regular files of an archive below dir, which no name may
// leave.
func unpack(r io.Reader, dir string) error {
	z, err := zstd.NewReader(r, zstd.WithDecoderMaxMemory(64<<20))
	if err != nil {
		return err
	}
	defer z.Close()
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	for t := tar.NewReader(z); ; {
		header, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if header.Typeflag != tar.TypeReg {
			return fmt.Errorf("%s is not a regular file", header.Name)
		}
		if parent := filepath.Dir(header.Name); parent != "." {
			if err := root.MkdirAll(parent, 0o700); err != nil {
				return err
			}
		}
		f, err := root.OpenFile(header.Name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return err
		}
		_, err = io.Copy(f, t)
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
}

// writeFile writes a file that is whole at any moment.
func writeFile(path string, data []byte, mode os.FileMode) error {
	temporary := path + ".new"
	f, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(temporary, path)
}

func certificatePEM(certificates ...*x509.Certificate) []byte {
	var out strings.Builder
	for _, c := range certificates {
		pem.Encode(&out, &pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}) // a Builder takes everything
	}
	return []byte(out.String())
}
