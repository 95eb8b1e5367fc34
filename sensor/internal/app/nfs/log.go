package nfs

import (
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"

	"github.com/hauberk/hauberk/sensor/internal/app"
	"github.com/hauberk/hauberk/sensor/internal/jsonw"
)

// Names of the procedures of NFS 2 and 3, by number.
var (
	names2 = strings.Fields("NULL GETATTR SETATTR ROOT LOOKUP READLINK READ WRITECACHE WRITE CREATE REMOVE RENAME LINK SYMLINK MKDIR RMDIR READDIR STATFS")
	names3 = strings.Fields(`NULL GETATTR SETATTR LOOKUP ACCESS READLINK READ WRITE CREATE MKDIR SYMLINK MKNOD REMOVE RMDIR RENAME LINK READDIR
		READDIRPLUS FSSTAT FSINFO PATHCONF COMMIT`)
)

// names4 are those of NFS 4 that are logged.
var names4 = map[uint32]string{compound4: "COMPOUND", create4: "CREATE", remove4: "REMOVE", read4: "READ", write4: "WRITE"}

func procedureName(version, n uint32) string {
	names := names3
	switch {
	case version >= 4:
		if name, ok := names4[n]; ok {
			return name
		}
		names = nil
	case version <= 2:
		names = names2
	}
	if int64(n) < int64(len(names)) {
		return names[n]
	}
	return strconv.FormatUint(uint64(n), 10)
}

// statuses are the names of statuses of NFS 3 (RFC 1813, 2.6).
var statuses = map[uint32]string{
	0: "OK", 1: "ERR_PERM", 2: "ERR_NOENT", 5: "ERR_IO", 6: "ERR_NXIO", 13: "ERR_ACCES", 17: "ERR_EXIST", 18: "ERR_XDEV", 19: "ERR_NODEV",
	20: "ERR_NOTDIR", 21: "ERR_ISDIR", 22: "ERR_INVAL", 27: "ERR_FBIG", 28: "ERR_NOSPC", 30: "ERR_ROFS", 31: "ERR_MLINK",
	63: "ERR_NAMETOOLONG", 66: "ERR_NOTEMPTY", 69: "ERR_DQUOT", 70: "ERR_STALE", 71: "ERR_REMOTE", 10001: "ERR_BADHANDLE",
	10002: "ERR_NOT_SYNC", 10003: "ERR_BAD_COOKIE", 10004: "ERR_NOTSUPP", 10005: "ERR_TOOSMALL", 10006: "ERR_SERVERFAULT",
	10007: "ERR_BADTYPE", 10008: "ERR_JUKEBOX",
}

// nameOr is the name of a number, or the number in digits.
func nameOr(names map[uint32]string, n uint32) string {
	if name, ok := names[n]; ok {
		return name
	}
	return strconv.FormatUint(uint64(n), 10)
}

// wanted leaves out what asks for attributes.
func wanted(x app.Tx, _ any) bool {
	t := x.(*tx)
	return t.parser.version > 3 || t.procedure != getattr3
}

// appendLog writes the members rpc and nfs of an event.
func appendLog(w *jsonw.Writer, x app.Tx, _ any) {
	t := x.(*tx)
	w.Object("rpc")
	w.Uint("xid", uint64(t.xid))
	w.String("status", nameOr(map[uint32]string{0: "ACCEPTED", 1: "DENIED"}, t.denied))
	w.String("auth_type", nameOr(flavors, t.flavor))
	if t.flavor == authUnix {
		w.Object("creds")
		w.Text("machine_name", t.machine)
		w.Uint("uid", uint64(t.uid))
		w.Uint("gid", uint64(t.gid))
		w.Close()
	}
	w.Close()
	w.Object("nfs")
	w.Uint("version", uint64(t.parser.version))
	name := procedureName(t.parser.version, t.procedure)
	w.String("procedure", name)
	w.Text("filename", t.name)
	if len(t.handle) > 0 {
		w.String("hhash", fmt.Sprintf("%x", crc32.ChecksumIEEE(t.handle)))
	}
	w.Uint("id", t.ID+1)
	w.Bool("file_tx", t.file != nil)
	w.String("type", "response")
	w.String("status", nameOr(statuses, t.status))
	switch name {
	case "READ", "WRITE":
		w.Object(strings.ToLower(name))
		t.file.log(w)
		w.Close()
	case "RENAME":
		w.Object("rename")
		w.Text("from", t.name)
		w.Text("to", t.to)
		w.Close()
	}
	w.Close()
}

func (f *transferFile) log(w *jsonw.Writer) {
	w.Bool("first", f != nil)
	w.Bool("last", f != nil && f.last)
	if f != nil {
		w.Uint("last_xid", uint64(f.lastCall))
		w.Uint("chunks", uint64(f.chunks))
	}
}
