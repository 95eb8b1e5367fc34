// Package file follows files that application protocols carry: what they are
// called, how far they have come, and their digests.
package file

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"hash"
)

// State is how far a file is. Their names are EVE's.
type State uint8

// The states of a file.
const (
	Open State = iota
	Closed
	Truncated // It ended early, or a limit was reached.
	Failed
)

// String is the state's name in EVE.
func (s State) String() string {
	return [...]string{"UNKNOWN", "CLOSED", "TRUNCATED", "ERROR"}[s]
}

// Config says what to make of files.
type Config struct {
	MD5, SHA1, SHA256 bool
	// Keep begins to keep the bytes of a file; nil: they are not.
	Keep func() Keeper
}

// Keeper takes the bytes of a file, until it is known whether it is stored.
type Keeper interface {
	Add([]byte)
	// Drop forgets them.
	Drop()
	// Store puts them where stored files are, by their SHA-256, and says where
	// that is and whether it could.
	Store(sum []byte) (path string, ok bool)
}

// File is a file in transfer.
type File struct {
	ID    uint32 // In its flow, from 1.
	Name  []byte
	Size  uint64 // Bytes so far, gaps included.
	State State
	Gaps  bool
	// Start and End are those of a range, if Ranged.
	Start, End uint64
	Ranged     bool
	Stored     bool
	Logged     bool
	SIDs       []uint32 // Of rules that want it stored.

	hashes [3]hash.Hash
	kept   Keeper
}

// New begins a file.
func New(c Config, id uint32, name []byte) *File {
	f := &File{ID: id, Name: append([]byte(nil), name...)}
	if c.MD5 {
		f.hashes[0] = md5.New()
	}
	if c.SHA1 {
		f.hashes[1] = sha1.New()
	}
	if c.SHA256 {
		f.hashes[2] = sha256.New()
	}
	if c.Keep != nil {
		f.kept = c.Keep()
	}
	return f
}

// Kept is what has the file's bytes, nil if they are not kept.
func (f *File) Kept() Keeper { return f.kept }

// Add appends bytes.
func (f *File) Add(b []byte) {
	if f.State != Open {
		return
	}
	f.Size += uint64(len(b))
	if f.kept != nil {
		f.kept.Add(b)
	}
	for _, h := range f.hashes {
		if h != nil {
			h.Write(b)
		}
	}
}

// Gap says that bytes are missing.
func (f *File) Gap(size uint64) {
	if f.State == Open {
		f.Size += size
		f.Gaps = true
	}
}

// Close ends the file.
func (f *File) Close(s State) {
	if f.State == Open {
		f.State = s
	}
}

// SHA256 is the digest of the bytes that came, nil if it is not wanted.
func (f *File) SHA256() []byte {
	if f.hashes[2] == nil {
		return nil
	}
	return f.hashes[2].Sum(nil)
}

// Sums are the digests of a file that came whole: MD5, SHA-1 and SHA-256, nil
// where not wanted.
func (f *File) Sums() (sums [3][]byte) {
	if f.State != Closed || f.Gaps {
		if f.Stored {
			sums[2] = f.SHA256() // The name it is stored under.
		}
		return sums
	}
	for i, h := range f.hashes {
		if h != nil {
			sums[i] = h.Sum(nil)
		}
	}
	return sums
}

// List is the files of one direction of a transaction, oldest first.
type List []*File
