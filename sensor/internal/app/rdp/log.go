package rdp

import (
	_ "embed" // lcid.txt
	"strconv"
	"strings"
	"sync"

	"github.com/hauberk/hauberk/sensor/internal/app"
	"github.com/hauberk/hauberk/sensor/internal/jsonw"
)

//go:embed lcid.txt
var lcidText string

// locales are the names of locales by their identifiers (MS-LCID 2.2).
var locales = sync.OnceValue(func() map[uint32]string {
	m := map[uint32]string{}
	for line := range strings.Lines(lcidText) {
		number, name, _ := strings.Cut(strings.TrimSpace(line), " ")
		if n, err := strconv.ParseUint(number, 16, 32); err == nil {
			m[uint32(n)] = name
		}
	}
	return m
})

var kinds = [...]string{
	initialRequest: "initial_request", initialResponse: "initial_response", connectRequest: "connect_request", connectResponse: "connect_response",
	tlsHandshake: "tls_handshake",
}

var (
	versions = map[uint32]string{
		0x80001: "v4", 0x80004: "v5", 0x80005: "v10.0", 0x80006: "v10.1", 0x80007: "v10.2", 0x80008: "v10.3", 0x80009: "v10.4", 0x8000a: "v10.5",
		0x8000b: "v10.6", 0x8000c: "v10.7",
	}
	builds = map[uint32]string{
		528: "Windows NT 3.1", 807: "Windows NT 3.5", 1057: "Windows NT 3.51", 1381: "Windows NT 4.0", 2195: "Windows 2000", 2600: "Windows XP",
		3790: "Windows Server 2003", 6000: "Windows Vista RTM", 6001: "Windows Vista SP1", 6002: "Windows Vista SP2", 7600: "Windows 7 RTM",
		7601: "Windows 7 SP1", 9200: "Windows 8", 9600: "Windows 8.1", 10240: "Windows 10 TH1", 10586: "Windows 10 TH2", 14393: "Windows 10 RS1",
		15063: "Windows 10 RS2", 16299: "Windows 10 RS3", 17134: "Windows 10 RS4", 17763: "Windows 10 RS5",
	}
	keyboards = map[uint32]string{1: "xt", 2: "ico", 3: "at", 4: "enhanced", 5: "1050", 6: "9140", 7: "jp"}
	protocols = map[uint32]string{0: "rdp", 1: "ssl", 2: "hybrid", 4: "rds_tls", 8: "hybrid_ex"}
	failures  = map[uint32]string{
		1: "ssl required by server", 2: "ssl not allowed by server", 3: "ssl cert not on server", 4: "inconsistent flags", 5: "hybrid required by server",
		6: "ssl with user auth required by server",
	}
	hints        = [...]string{"", "modem", "low_broadband", "satellite", "high_broadband", "wan", "lan", "autodetect"}
	requestFlags = []string{"restricted_admin_mode_required", "redirected_authentication_mode_required", "", "correlation_info_present"}
	serverFlags  = []string{"extended_client_data", "dynvc_gfx", "", "restricted_admin", "redirected_authentication"}
	capabilities = []string{
		"support_errinfo_pdf", "want_32bpp_session", "support_statusinfo_pdu", "strong_asymmetric_keys", "", "valid_connection_type",
		"support_monitor_layout_pdu", "support_netchar_autodetect", "support_dynvc_gfx_protocol", "support_dynamic_time_zone", "support_heartbeat_pdu",
	}
)

// logFlags writes the names of the bits that are set, if any is.
func logFlags(w *jsonw.Writer, key string, bits uint16, names []string) {
	if bits == 0 {
		return
	}
	w.Array(key)
	for i, name := range names {
		if bits>>i&1 == 1 && name != "" {
			w.String("", name)
		}
	}
	w.Close()
}

// logName writes the name of a number; what has none is unknown.
func logName(w *jsonw.Writer, key string, names map[uint32]string, n uint32) {
	name, ok := names[n]
	if !ok {
		name = "unknown"
	}
	w.String(key, name)
}

// appendLog writes the member rdp of an event.
func appendLog(w *jsonw.Writer, x app.Tx, _ any) {
	t := x.(*tx)
	w.Object("rdp")
	w.Uint("tx_id", t.ID+1)
	w.String("event_type", kinds[t.kind])
	switch t.kind {
	case initialRequest:
		if t.cookie != nil {
			w.Text("cookie", t.cookie)
		}
		logFlags(w, "flags", uint16(t.flags), requestFlags)
	case initialResponse:
		t.logResponse(w)
	case connectRequest:
		if t.client != nil {
			w.Object("client")
			t.client.log(w)
			w.Close()
		}
		if len(t.channels) > 0 {
			logList(w, "channels", t.channels)
		}
	case tlsHandshake:
		logList(w, "x509_serials", t.serials)
	}
	w.Close()
}

func logList(w *jsonw.Writer, key string, list []string) {
	w.Array(key)
	for _, s := range list {
		w.String("", s)
	}
	w.Close()
}

func (m *message) logResponse(w *jsonw.Writer) {
	switch {
	case !m.negotiated:
	case m.failed:
		if reason, ok := failures[m.error]; ok {
			w.Uint("error_code", uint64(m.error))
			w.String("reason", reason)
		}
	default:
		logFlags(w, "server_supports", uint16(m.flags), serverFlags)
		if name, ok := protocols[m.protocol]; ok {
			w.String("protocol", name)
		}
	}
}

// depth is how many bits a colour has; 0: it was not said.
func (c *client) depth() uint64 {
	switch c.highColor {
	case 4, 8, 15, 16, 24:
		return uint64(c.highColor)
	}
	depths := map[uint16]uint64{0xca00: 4, 0xca01: 8, 0xca02: 15, 0xca03: 16, 0xca04: 24}
	if d, ok := depths[c.beta2Color]; ok {
		return d
	}
	if c.color == 0xca00 || c.color == 0xca01 {
		return depths[c.color]
	}
	return 0
}

func (c *client) log(w *jsonw.Writer) {
	logName(w, "version", versions, c.version)
	w.Uint("desktop_width", uint64(c.width))
	w.Uint("desktop_height", uint64(c.height))
	optional := func(key string, n uint64, there bool) {
		if there {
			w.Uint(key, n)
		}
	}
	optional("color_depth", c.depth(), c.depth() != 0)
	logName(w, "keyboard_layout", locales(), c.layout)
	logName(w, "build", builds, c.build)
	if c.name != "" {
		w.String("client_name", c.name)
	}
	if name, ok := keyboards[c.keyboard]; ok {
		w.String("keyboard_type", name)
	}
	optional("keyboard_subtype", uint64(c.subtype), c.subtype != 0)
	optional("function_keys", uint64(c.functions), c.functions != 0)
	if c.ime != "" {
		w.String("ime", c.ime)
	}
	optional("product_id", uint64(c.product), c.extra >= extraProduct)
	optional("serial_number", uint64(c.serial), c.serial != 0)
	logFlags(w, "capabilities", c.capabilities, capabilities)
	if c.id != "" {
		w.String("id", c.id)
	}
	if c.hint > 0 && int(c.hint) < len(hints) {
		w.String("connection_hint", hints[c.hint])
	}
	millimetres := func(n uint32) bool { return n >= 10 && n <= 10_000 }
	optional("physical_width", uint64(c.physicalWidth), millimetres(c.physicalWidth))
	optional("physical_height", uint64(c.physicalHeight), millimetres(c.physicalHeight))
	optional("desktop_orientation", uint64(c.orientation), c.extra >= extraOrientation)
	optional("scale_factor", uint64(c.desktopScale), c.desktopScale >= 100 && c.desktopScale <= 500)
	optional("device_scale_factor", uint64(c.deviceScale), c.deviceScale == 100 || c.deviceScale == 140 || c.deviceScale == 180)
}
