package enip

import (
	_ "embed" // names.txt
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/hauberk/hauberk/sensor/internal/app"
	"github.com/hauberk/hauberk/sensor/internal/jsonw"
	"github.com/hauberk/hauberk/suricata"
)

//go:embed names.txt
var nameText string

// tables are the names of vendors, devices, services, statuses and classes
// (ODVA's lists), by section of names.txt and number.
var tables = sync.OnceValue(func() map[string]map[uint64]string {
	m := map[string]map[uint64]string{}
	var section map[uint64]string
	for line := range strings.Lines(nameText) {
		line = strings.TrimSpace(line)
		if name, ok := strings.CutPrefix(line, "["); ok {
			section = map[uint64]string{}
			m[strings.TrimSuffix(name, "]")] = section
			continue
		}
		number, name, _ := strings.Cut(line, " ")
		if n, err := strconv.ParseUint(number, 10, 32); err == nil {
			section[n] = name
		}
	}
	return m
})

// logName writes the name of a number.
func logName(w *jsonw.Writer, key string, names map[uint64]string, n uint64) {
	name, ok := names[n]
	if !ok {
		name = "unknown-" + strconv.FormatUint(n, 10)
	}
	w.String(key, name)
}

// appendLog writes the member enip of an event.
func appendLog(w *jsonw.Writer, x app.Tx, _ any) {
	t := x.(*tx)
	w.Object("enip")
	for dir, key := range []string{"request", "response"} {
		m := t.said[dir]
		if m == nil {
			continue
		}
		w.Object(key)
		logName(w, "command", suricata.ENIPCommands, uint64(m.command))
		logName(w, "status", suricata.ENIPStatuses, uint64(m.status))
		if m.options != 0 {
			w.Uint("options", uint64(m.options))
		}
		m.log(w, app.Dir(dir))
		w.Close()
	}
	w.Close()
}

func (m *message) log(w *jsonw.Writer, dir app.Dir) {
	if m.registers {
		w.Object("register_session")
		w.Uint("protocol_version", uint64(m.version))
		w.Uint("options", uint64(m.register))
		w.Close()
	}
	if c := m.cip(); c != nil {
		w.Object("cip")
		c.log(w)
		w.Close()
	}
	if dir == app.ToServer {
		return
	}
	if s := m.services(); s != nil {
		w.Object("list_services")
		w.Uint("protocol_version", uint64(s.version))
		w.Uint("capabilities", uint64(s.capabilities))
		w.Text("service_name", s.name)
		w.Close()
	}
	if x := m.identity(); x != nil {
		x.log(w)
	}
}

func (x *identity) log(w *jsonw.Writer) {
	w.Object("identity")
	w.Uint("protocol_version", uint64(x.version))
	w.String("revision", fmt.Sprintf("%d.%d", x.major, x.minor))
	logName(w, "vendor_id", tables()["vendor"], uint64(x.vendor))
	logName(w, "device_type", tables()["device"], uint64(x.device))
	w.Uint("product_code", uint64(x.product))
	w.Uint("status", uint64(x.status))
	w.Uint("serial", uint64(x.serial))
	w.Text("product_name", x.name)
	w.Uint("state", uint64(x.state))
	w.Close()
}

func (c *cip) log(w *jsonw.Writer) {
	logName(w, "service", tables()["service"], uint64(c.service))
	if c.response {
		logName(w, "status", tables()["status"], uint64(c.status))
		if len(c.extended) > 0 {
			w.Hex("status_extended", c.extended)
			if meaning := c.meaning(); meaning != "" {
				w.String("status_extended_meaning", meaning)
			}
		}
	} else if len(c.path) > 0 {
		c.logPath(w)
	}
	if len(c.inner) > 0 {
		w.Array("multiple")
		for _, x := range c.inner {
			w.Object("")
			x.log(w)
			w.Close()
		}
		w.Close()
	}
}

// meaning is that of an extended status of two bytes.
func (c *cip) meaning() string {
	if len(c.extended) != 2 {
		return ""
	}
	return tables()["extended"][uint64(c.extended[1])<<8|uint64(c.extended[0])]
}

func (c *cip) logPath(w *jsonw.Writer) {
	names := map[uint8]string{segmentClass: "class", segmentInstance: "instance", segmentAttribute: "attribute"}
	w.Array("path")
	for _, s := range c.path {
		w.Object("")
		name, ok := names[s.kind>>2]
		if !ok {
			name = "unknown-" + strconv.Itoa(int(s.kind))
		}
		w.String("segment_type", name)
		w.Uint("value", uint64(s.value))
		w.Close()
	}
	w.Close()
	for i := len(c.path) - 1; i >= 0; i-- {
		if s := c.path[i]; s.kind>>2 == segmentClass {
			logName(w, "class_name", tables()["class"], uint64(s.value))
			break
		}
	}
}
