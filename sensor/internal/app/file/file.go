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
	return f
}

// Add appends bytes.
func (f *File) Add(b []byte) {
	if f.State != Open {
		return
	}
	f.Size += uint64(len(b))
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

// Sums are the digests of a file that came whole: MD5, SHA-1 and SHA-256, nil
// where not wanted.
func (f *File) Sums() (sums [3][]byte) {
	if f.State != Closed || f.Gaps {
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
