package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/hauberk/hauberk/internal/durable"
)

const incarnationFile = "incarnation"

// nextIncarnation returns the number of this start, durable before it is
// used. seen is the highest that segments show.
func nextIncarnation(dir string, seen uint32) (uint32, error) {
	path := filepath.Join(dir, incarnationFile)
	last := seen
	data, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && seen == 0:
		// The first start of all.
	case err == nil:
		if n, err := strconv.ParseUint(strings.TrimSpace(string(data)), 10, 32); err == nil {
			last = max(last, uint32(n))
			break
		}
		fallthrough
	default:
		// The file is lost while others remain, or holds no number. Seconds
		// since 1970 are beyond any count of starts, and beyond themselves
		// the next time.
		last = max(last, uint32(time.Now().Unix()))
	}
	if last == 1<<32-1 {
		return 0, fmt.Errorf("incarnations used up: enrol this machine again")
	}
	next := last + 1
	if err := durable.WriteFile(path, []byte(strconv.FormatUint(uint64(next), 10)+"\n"), fileMode); err != nil {
		return 0, fmt.Errorf("write incarnation: %w", err)
	}
	return next, nil
}
