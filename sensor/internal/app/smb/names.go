package smb

import (
	_ "embed" // status.txt and fsctl.txt
	"fmt"
	"strconv"
	"strings"
	"sync"
)

//go:embed status.txt
var statusText string

//go:embed fsctl.txt
var fsctlText string

// statuses are the names of NT statuses (MS-ERREF 2.3.1).
var statuses = sync.OnceValue(func() map[uint32]string { return readNames(statusText) })

// functions are the names of functions of IOCTL (MS-FSCC 2.3).
var functions = sync.OnceValue(func() map[uint32]string { return readNames(fsctlText) })

// readNames reads lines of a number in hex and its name.
func readNames(text string) map[uint32]string {
	names := map[uint32]string{}
	for line := range strings.Lines(text) {
		number, name, _ := strings.Cut(strings.TrimSpace(line), " ")
		if n, err := strconv.ParseUint(number, 16, 32); err == nil {
			names[uint32(n)] = name
		}
	}
	return names
}

// nameOr is the name of a number, or the number in digits.
func nameOr[K ~uint8 | ~uint16 | ~uint32](names map[K]string, n K) string {
	if name, ok := names[n]; ok {
		return name
	}
	return strconv.FormatUint(uint64(n), 10)
}

var dosErrors = map[uint16]string{
	0: "DOS_SUCCESS", 1: "DOS_BAD_FUNC", 2: "DOS_BAD_FILE", 3: "DOS_BAD_PATH", 4: "DOS_TOO_MANY_OPEN_FILES", 5: "DOS_ACCESS_DENIED",
}

var serverErrors = map[uint16]string{1: "SRV_ERROR", 2: "SRV_BADPW", 3: "SRV_BADTYPE", 4: "SRV_ACCESS", 91: "SRV_BADUID"}

// dosName is the name of an error of DOS (MS-CIFS 2.2.2.4) by its class.
func dosName(class uint8, code uint16) string {
	switch class {
	case 1:
		return nameOr(dosErrors, code)
	case 2:
		return nameOr(serverErrors, code)
	}
	return fmt.Sprintf("UNKNOWN_%02x_%04x", class, code)
}

var dialects = map[uint16]string{
	0x0202: "2.02", 0x0210: "2.10", 0x0222: "2.22", 0x0224: "2.24", 0x02ff: "2.??", 0x0300: "3.00", 0x0302: "3.02", 0x0310: "3.10",
	0x0311: "3.11",
}

// dialectName is how a revision of SMB 2 is written.
func dialectName(d uint16) string { return nameOr(dialects, d) }

var commands1 = map[uint16]string{
	0x00: "CREATE_DIRECTORY", 0x01: "DELETE_DIRECTORY", 0x02: "OPEN", 0x03: "CREATE", smb1Close: "CLOSE", 0x05: "FLUSH", 0x06: "DELETE",
	smb1Rename: "RENAME", 0x08: "QUERY_INFORMATION", 0x09: "SET_INFORMATION", 0x0a: "READ", smb1Write: "WRITE", 0x0c: "LOCK_BYTE_RANGE",
	0x0d: "UNLOCK_BYTE_RANGE", 0x0e: "CREATE_TEMPORARY", 0x0f: "CREATE_NEW", 0x10: "CHECK_DIRECTORY", 0x11: "PROCESS_EXIT", 0x12: "SEEK",
	0x13: "LOCK_AND_READ", 0x14: "WRITE_AND_UNLOCK", smb1LockingAndX: "LOCKING_ANDX", smb1Trans: "TRANS", 0x2b: "ECHO",
	smb1WriteAndClose: "WRITE_AND_CLOSE", smb1OpenAndX: "OPEN_ANDX", smb1ReadAndX: "READ_ANDX", smb1WriteAndX: "WRITE_ANDX",
	smb1Trans2: "TRANS2", smb1Trans2More: "TRANS2_SECONDARY", 0x34: "FIND_CLOSE2", smb1TreeDisconnect: "TREE_DISCONNECT",
	smb1Negotiate: "NEGOTIATE_PROTOCOL", smb1SessionSetup: "SESSION_SETUP_ANDX", smb1LogoffAndX: "LOGOFF_ANDX",
	smb1TreeConnect: "TREE_CONNECT_ANDX", 0x80: "QUERY_INFO_DISK", 0xa0: "NT_TRANS", 0xa1: "NT_TRANS_SECONDARY",
	smb1CreateAndX: "NT_CREATE_ANDX", smb1Cancel: "NT_CANCEL",
}

var commands2 = map[uint16]string{
	smb2Negotiate: "NEGOTIATE_PROTOCOL", smb2SessionSetup: "SESSION_SETUP", 2: "SESSION_LOGOFF", smb2TreeConnect: "TREE_CONNECT",
	smb2TreeDisconnect: "TREE_DISCONNECT", smb2Create: "CREATE", smb2Close: "CLOSE", 7: "FLUSH", smb2Read: "READ", smb2Write: "WRITE",
	10: "LOCK", smb2Ioctl: "IOCTL", 12: "CANCEL", 13: "KEEPALIVE", 14: "FIND", 15: "CHANGE_NOTIFY", smb2GetInfo: "GET_INFO",
	smb2SetInfo: "SET_INFO", 18: "OPLOCK_BREAK",
}

// commandName is how EVE calls a command.
func commandName(version uint8, command uint16) string {
	prefix, names := "SMB1_COMMAND_", commands1
	if version == 2 {
		prefix, names = "SMB2_COMMAND_", commands2
	}
	if name, ok := names[command]; ok {
		return prefix + name
	}
	return strconv.Itoa(int(command))
}
