package smb

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/hauberk/hauberk/sensor/internal/app"
	"github.com/hauberk/hauberk/sensor/internal/app/dcerpc"
	"github.com/hauberk/hauberk/sensor/internal/jsonw"
)

// types are the names under which suricata.yaml's types of smb asks for
// transactions.
var types = []string{
	"file", "tree_connect", "negotiate", "dcerpc", "create", "session_setup", "ioctl", "rename", "set_file_path_info", "generic",
}

// logOptions are those transactions that are logged; empty: all.
type logOptions []string

// readOptions reads types.
func readOptions(get func(string) (string, bool)) (any, error) {
	var o logOptions
	for i := 0; ; i++ {
		name, ok := get("types." + strconv.Itoa(i))
		if !ok {
			return o, nil
		}
		if !slices.Contains(types, name) {
			return nil, fmt.Errorf("types: %q is none of %s", name, strings.Join(types, ", "))
		}
		o = append(o, name)
	}
}

func wanted(x app.Tx, options any) bool {
	o, _ := options.(logOptions)
	return len(o) == 0 || slices.Contains(o, x.(*tx).kind())
}

// kind is the name of a transaction among types.
func (t *tx) kind() string {
	switch t.data.(type) {
	case *fileTransfer:
		return "file"
	case *treeConnect:
		return "tree_connect"
	case *negotiate:
		return "negotiate"
	case *call:
		return "dcerpc"
	case *create:
		return "create"
	case *sessionSetup:
		return "session_setup"
	case *ioctl:
		return "ioctl"
	case *rename:
		return "rename"
	case *setInfo:
		return "set_file_path_info"
	}
	return "generic"
}

// appendLog writes the member smb of an event.
func appendLog(w *jsonw.Writer, x app.Tx, _ any) {
	t := x.(*tx)
	w.Object("smb")
	w.Uint("id", t.ID+1)
	switch p := t.parser; {
	case p.dialect != 0:
		w.String("dialect", dialectName(p.dialect))
	case p.dialectName != "":
		w.String("dialect", p.dialectName)
	default:
		w.String("dialect", "unknown")
	}
	if t.version != 0 {
		w.String("command", commandName(t.version, t.command))
	}
	t.logStatus(w)
	w.Uint("session_id", t.at.session)
	w.Uint("tree_id", uint64(t.at.tree))
	t.logData(w)
	w.Close()
}

func (t *tx) logStatus(w *jsonw.Writer) {
	switch {
	case !t.answered:
	case t.dos:
		code := uint16(t.status >> 16)
		w.String("status", dosName(uint8(t.status), code))
		w.String("status_code", fmt.Sprintf("0x%04x", code))
	default:
		w.String("status", nameOr(statuses(), t.status))
		w.String("status_code", fmt.Sprintf("0x%x", t.status))
	}
}

func (t *tx) logData(w *jsonw.Writer) {
	switch x := t.data.(type) {
	case *negotiate:
		t.logNegotiate(w, x)
	case *sessionSetup:
		x.log(w)
	case *treeConnect:
		x.log(w, t.version)
	case *create:
		x.log(w)
	case *fileTransfer:
		w.Text("filename", x.File.Name)
		w.Text("share", x.share)
		w.String("fuid", idText(x.id))
	case *rename:
		if t.version == 2 {
			w.Object("set_info")
			w.String("class", "FILE_INFO")
			w.String("info_level", "SMB2_FILE_RENAME_INFO")
			w.Close()
		}
		w.Object("rename")
		w.Text("from", x.from)
		w.Text("to", x.to)
		w.Close()
		w.String("fuid", idText(x.id))
	case *call:
		t.logCall(w, x)
	case *ioctl:
		w.String("function", nameOr(functions(), uint32(*x)))
	case *setInfo:
		x.log(w)
	}
}

func (t *tx) logNegotiate(w *jsonw.Writer, x *negotiate) {
	w.Array("client_dialects")
	for _, d := range x.dialects {
		w.String("", d)
	}
	w.Close()
	if x.client != nil {
		w.String("client_guid", idText(string(x.client)))
	}
	w.String("server_guid", idText(string(x.server)))
	if p := t.parser; p.maxRead > 0 {
		w.Uint("max_read_size", uint64(p.maxRead))
	}
	if p := t.parser; p.maxWrite > 0 {
		w.Uint("max_write_size", uint64(p.maxWrite))
	}
}

func (x *sessionSetup) log(w *jsonw.Writer) {
	if n := x.ntlmssp; n != nil {
		w.Object("ntlmssp")
		w.Text("domain", n.domain)
		w.Text("user", n.user)
		w.Text("host", n.host)
		if n.version != "" {
			w.String("version", n.version)
		}
		w.Close()
	}
	if k := x.kerberos; k != nil {
		w.Object("kerberos")
		w.Text("realm", k.Realm)
		w.Array("snames")
		for _, s := range k.Server {
			w.Text("", s)
		}
		w.Close()
		w.Close()
	}
	x.request.log(w, "request")
	x.response.log(w, "response")
}

func (h *host) log(w *jsonw.Writer, key string) {
	if h == nil {
		return
	}
	w.Object(key)
	w.Text("native_os", h.os)
	w.Text("native_lm", h.lm)
	w.Close()
}

func (x *treeConnect) log(w *jsonw.Writer, version uint8) {
	key := "share"
	if x.pipe {
		key = "named_pipe"
	}
	w.Text(key, x.name)
	if version != 1 {
		kind := "UNKNOWN"
		if names := [...]string{1: "FILE", 2: "PIPE", 3: "PRINT"}; x.kind > 0 && int(x.kind) < len(names) {
			kind = names[x.kind]
		}
		w.String("share_type", kind)
		return
	}
	w.Object("service")
	if x.request != nil {
		w.Text("request", x.request)
	}
	if x.response != nil {
		w.Text("response", x.response)
	}
	w.Close()
}

// logName writes the name of a file that is opened or changed.
func logName(w *jsonw.Writer, key string, name []byte, deletes bool, disposition string) {
	if len(name) == 0 {
		key, name = "filename", []byte("<share_root>")
	}
	w.Text(key, name)
	if disposition != "" {
		w.String("disposition", disposition)
	}
	access := "normal"
	if deletes {
		access = "delete on close"
	}
	w.String("access", access)
}

func (x *create) log(w *jsonw.Writer) {
	key := "filename"
	if x.directory {
		key = "directory"
	}
	disposition := "UNKNOWN"
	names := [...]string{"FILE_SUPERSEDE", "FILE_OPEN", "FILE_CREATE", "FILE_OPEN_IF", "FILE_OVERWRITE", "FILE_OVERWRITE_IF"}
	if x.disposition < uint32(len(names)) {
		disposition = names[x.disposition]
	}
	logName(w, key, x.name, x.deletes, disposition)
	w.Uint("created", unix(x.created))
	w.Uint("accessed", unix(x.accessed))
	w.Uint("modified", unix(x.written))
	w.Uint("changed", unix(x.changed))
	w.Uint("size", x.size)
	w.String("fuid", idText(x.id))
}

// unix turns 100 ns since 1601 into seconds since 1970, of 32 bits; 0 before.
func unix(t uint64) uint64 {
	const second, offset = 10_000_000, 11_644_473_600
	if t <= offset*second {
		return 0
	}
	return uint64(uint32(t/second - offset))
}

func (x *setInfo) log(w *jsonw.Writer) {
	logName(w, "filename", x.name, x.deletes, "")
	switch x.command {
	case 6:
		w.String("subcmd", "SET_PATH_INFO")
	case 8:
		w.String("subcmd", "SET_FILE_INFO")
	}
	if x.level == 1013 {
		w.String("level_of_interest", "Set Disposition Information")
	}
	w.String("fuid", idText(x.id))
}

func (t *tx) logCall(w *jsonw.Writer, c *call) {
	w.Object("dcerpc")
	request, response := "REQUEST_LOST", "UNREPLIED"
	if c.asked {
		request = dcerpc.TypeName(c.request)
	}
	if c.replied {
		response = dcerpc.TypeName(c.response)
	}
	w.String("request", request)
	w.String("response", response)
	switch {
	case c.asked && c.request == dcerpc.Request:
		w.Uint("opnum", uint64(c.op))
		c.logStub(w, "req", app.ToServer)
		dcerpc.LogInterfaces(w, t.parser.interfaces, nil, func(f *dcerpc.Interface) bool { return f.Context == c.context })
	case c.asked && c.request == dcerpc.Bind:
		acked := func(f *dcerpc.Interface) {
			w.Uint("ack_result", uint64(f.Result))
			w.Uint("ack_reason", 0) // Upstream never says another.
		}
		dcerpc.LogInterfaces(w, t.parser.interfaces, acked, func(*dcerpc.Interface) bool { return true })
	}
	if c.replied && c.response == dcerpc.Response {
		c.logStub(w, "res", app.ToClient)
	}
	w.Uint("call_id", uint64(c.id))
	w.Close()
}

func (c *call) logStub(w *jsonw.Writer, key string, dir app.Dir) {
	w.Object(key)
	w.Uint("frag_cnt", uint64(c.fragments[dir]))
	w.Uint("stub_data_size", uint64(len(c.stubs[dir])))
	w.Close()
}

// idText is how EVE writes the identifier of a file: a GUID, or a number of 16 bits.
func idText(id string) string {
	switch len(id) {
	case 16:
		b := []byte(id)
		slices.Reverse(b[0:4])
		slices.Reverse(b[4:6])
		slices.Reverse(b[6:8])
		slices.Reverse(b[8:10])
		slices.Reverse(b[10:12])
		slices.Reverse(b[12:16])
		return dcerpc.UUID(b).String()
	case 2, 6:
		return hex.EncodeToString([]byte{id[1], id[0]})
	}
	return ""
}
