package out

import (
	"context"

	"github.com/hauberk/hauberk/internal/logfile"
)

// File is a Sink that appends one line per alert to a file (0600), which is
// renamed to <path>.1 when it is full.
type File struct {
	file *logfile.File
	line []byte
}

// NewFile opens the file; it and its predecessor take at most 2*limit bytes.
func NewFile(path string, limit int64) (*File, error) {
	f, err := logfile.Open(path, limit)
	if err != nil {
		return nil, err
	}
	return &File{file: f}, nil
}

// Send appends the alert in one write.
func (f *File) Send(_ context.Context, a *Alert) error {
	f.line = append(append(f.line[:0], a.JSON...), '\n')
	_, err := f.file.Write(f.line)
	return err
}

// Close closes the file.
func (f *File) Close() error { return f.file.Close() }
