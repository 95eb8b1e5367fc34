package host

import (
	"bufio"
	"os"
	"strconv"
	"strings"
	"time"
)

// users names uids by /etc/passwd, which it reads again after a change. Users
// of a directory service have no name here.
type users struct {
	file    string
	names   map[uint32]string
	checked time.Time
	changed time.Time
}

// recheck is how long a change of the file may go unseen.
const recheck = 5 * time.Second

// refresh is called between events, not for each.
func (u *users) refresh(now time.Time) {
	if now.Sub(u.checked) < recheck {
		return
	}
	u.checked = now
	info, err := os.Stat(u.file)
	if err != nil || info.ModTime().Equal(u.changed) {
		return
	}
	f, err := os.Open(u.file)
	if err != nil {
		return
	}
	defer f.Close()
	names := map[uint32]string{}
	for s := bufio.NewScanner(f); s.Scan(); {
		fields := strings.SplitN(s.Text(), ":", 4)
		if len(fields) < 4 {
			continue
		}
		uid, err := strconv.ParseUint(fields[2], 10, 32)
		if _, known := names[uint32(uid)]; err == nil && !known {
			names[uint32(uid)] = fields[0]
		}
	}
	u.names, u.changed = names, info.ModTime()
}
