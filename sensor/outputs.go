package sensor

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/hauberk/hauberk/packet"
	"github.com/hauberk/hauberk/sensor/internal/decode"
	"github.com/hauberk/hauberk/sensor/internal/eve"
	"github.com/hauberk/hauberk/sensor/internal/flow"
	"github.com/hauberk/hauberk/sensor/internal/protocols"
	"github.com/hauberk/hauberk/sensor/internal/yamlconf"
)

// outputs are the logs a sensor writes.
type outputs struct {
	eve   []*eveLog
	fast  []*logFile
	stats []*logFile
	// assets is the passive inventory; nil: none is kept.
	assets *inventory
	store  *fileStore // nil: files are not kept.
	// journal is what the sensor says of itself.
	journal *journal
}

// logFile is a file that is written in large pieces.
type logFile struct {
	path string
	file *os.File
	buf  []byte
	lost uint64 // Bytes that could not be written.
	torn bool   // What was written last is not a whole line.
}

// flushAt is how much of a log waits in memory.
const flushAt = 64 << 10

func openLog(path string, appending bool) (*logFile, error) {
	mode := os.O_CREATE | os.O_WRONLY | os.O_TRUNC
	if appending {
		mode = os.O_CREATE | os.O_WRONLY | os.O_APPEND
	}
	f, err := os.OpenFile(path, mode, 0o640)
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	return &logFile{path: path, file: f}, nil
}

// reopen begins the file anew, if it was moved away.
func (l *logFile) reopen() error {
	flushed := l.flush() // If not, a new file may have room.
	again, err := openLog(l.path, true)
	if err != nil {
		return errors.Join(flushed, err) // The old one goes on.
	}
	err = l.file.Close()
	l.file, l.torn = again.file, false
	return errors.Join(flushed, err)
}

func (l *logFile) write(b []byte) error {
	l.buf = append(l.buf, b...)
	if len(l.buf) < flushAt {
		return nil
	}
	return l.flush()
}

func (l *logFile) flush() error {
	if len(l.buf) == 0 {
		return nil
	}
	if l.torn {
		l.buf = append([]byte{'\n'}, l.buf...) // What follows is whole again.
	}
	n, err := l.file.Write(l.buf)
	l.torn = n > 0 && l.buf[n-1] != '\n' || n == 0 && l.torn
	l.lost += uint64(len(l.buf) - n)
	l.buf = l.buf[:0]
	if err != nil {
		return fmt.Errorf("write log %s: %w", l.path, err)
	}
	return nil
}

func (l *logFile) close() error { return errors.Join(l.flush(), l.file.Close()) }

// eveLog is one eve-log output.
type eveLog struct {
	*logFile
	encoder *eve.Encoder
	types   map[string]*yamlconf.Node // Those that are on, nil where a type has no settings.
	options map[string]any            // Of the types that protocols log, as they read them.
	anomaly struct{ decode, stream, app bool }
	stats   struct{ totals, threads, zero bool }
	drops   struct{ alerts, all bool }
	// pcapFile: events name the capture they are from.
	pcapFile bool
}

func (l *eveLog) wants(kind string) bool { _, ok := l.types[kind]; return ok }

// flush hands what the encoder made to the file.
func (l *eveLog) drain() error {
	err := l.write(l.encoder.Bytes())
	l.encoder.Reset()
	return err
}

// openOutputs opens what the section outputs asks for, below the log folder.
func openOutputs(tree *yamlconf.Tree, dir string, c Config) (o *outputs, err error) {
	o = &outputs{}
	defer func() {
		if err != nil {
			err = errors.Join(err, o.close())
		}
	}()
	eachOutput(tree, func(n *yamlconf.Node) {
		if err == nil {
			err = o.open(n, dir, c, tree)
		}
	})
	return o, err
}

// eachOutput calls do with the outputs that are enabled.
func eachOutput(tree *yamlconf.Tree, do func(*yamlconf.Node)) {
	list := tree.Node("outputs")
	if list == nil {
		return
	}
	for _, item := range list.Children {
		for _, n := range item.Children {
			if yamlconf.IsTrue(value(n, "enabled", "yes")) {
				do(n)
			}
		}
	}
}

// lacking says what an output asks for that is not there, "" if nothing.
func lacking(n *yamlconf.Node) string {
	switch n.Name {
	case "fast", "stats", "file-store", "assets":
		return ""
	case "eve-log":
	default:
		return fmt.Sprintf("%s: no such output here, it is left out; there are eve-log, fast, stats, file-store and assets", n.Name)
	}
	if kind := value(n, "filetype", regular); kind != regular {
		return fmt.Sprintf("eve-log: no filetype %s here, it is left out; there is %s", kind, regular)
	}
	types := n.Lookup("types")
	if types == nil {
		return ""
	}
	made := []string{"alert", "anomaly", "arp", "drop", "files", "flow", "frame", "netflow", "stats"}
	for _, p := range protocols.All() {
		for _, l := range p.Logs {
			made = append(made, l.Switch())
		}
	}
	var none []string
	for _, t := range types.Children {
		names := t.Children // A type with settings.
		if len(names) == 0 {
			names = []*yamlconf.Node{{Name: t.Value}}
		}
		for _, n := range names {
			if yamlconf.IsTrue(value(n, "enabled", "yes")) && !slices.Contains(made, n.Name) {
				none = append(none, n.Name)
			}
		}
	}
	if len(none) == 0 {
		return ""
	}
	return "eve-log: there are no events of type " + strings.Join(none, ", ")
}

// regular is the filetype of a log that is a file.
const regular = "regular"

func value(n *yamlconf.Node, path, def string) string {
	if c := n.Lookup(path); c != nil && !c.Null {
		return c.Value
	}
	return def
}

func (o *outputs) open(n *yamlconf.Node, dir string, c Config, tree *yamlconf.Tree) error {
	appending := yamlconf.IsTrue(value(n, "append", "yes"))
	path := func(def string) string {
		name := value(n, "filename", def)
		if filepath.IsAbs(name) {
			return name
		}
		return filepath.Join(dir, name)
	}
	switch n.Name {
	case "eve-log":
		if value(n, "filetype", regular) != regular {
			return nil
		}
		l, err := openLog(path("eve.json"), appending)
		if err != nil {
			return err
		}
		e := newEveLog(n, l, c)
		o.eve = append(o.eve, e)
		return e.readOptions()
	case "fast":
		l, err := openLog(path("fast.log"), appending)
		if err != nil {
			return err
		}
		o.fast = append(o.fast, l)
	case "file-store":
		if o.store != nil {
			return errors.New("file-store: there are two, at most one may be enabled")
		}
		s, err := openFileStore(n, dir, eve.Options{Interface: c.Interface})
		o.store = s
		return err
	case "stats":
		l, err := openLog(path("stats.log"), appending)
		if err != nil {
			return err
		}
		o.stats = append(o.stats, l)
	case "assets":
		l, err := openLog(path("assets.json"), appending)
		if err != nil {
			return err
		}
		o.assets, err = newInventory(variables(tree), l)
		return err
	}
	return nil
}

func newEveLog(n *yamlconf.Node, l *logFile, c Config) *eveLog {
	on := func(path string, def bool) bool {
		text := "no"
		if def {
			text = "yes"
		}
		return yamlconf.IsTrue(value(n, path, text))
	}
	e := &eveLog{logFile: l, types: map[string]*yamlconf.Node{}, pcapFile: on("pcap-file", false)}
	opts := eve.Options{
		CommunityID: on("community-id", false), Ethernet: on("ethernet", false), Suricata: on("suricata-version", false),
		Metadata: true, PayloadMax: 4 << 10, Interface: c.Interface,
	}
	if seed, err := strconv.ParseUint(value(n, "community-id-seed", "0"), 10, 16); err == nil {
		opts.CommunitySeed = uint16(seed)
	}
	if e.pcapFile {
		opts.PcapFile = c.Capture
	}
	if types := n.Lookup("types"); types != nil {
		for _, t := range types.Children {
			e.addType(t, &opts)
		}
	}
	e.encoder = eve.New(opts)
	return e
}

// readOptions lets the protocols read the settings of their types.
func (e *eveLog) readOptions() error {
	e.options = map[string]any{}
	for _, p := range protocols.All() {
		for _, l := range p.Logs {
			if l.Options == nil || !e.wants(l.Type) {
				continue
			}
			o, err := l.Options(optionsOf(e.types[l.Type]))
			if err != nil {
				return fmt.Errorf("eve-log: %w", err)
			}
			e.options[l.Type] = o
		}
	}
	return nil
}

// optionsOf reads the settings of a type; n may be nil. Of a list it is the
// entries with spaces between them.
func optionsOf(n *yamlconf.Node) func(string) (string, bool) {
	return func(key string) (string, bool) {
		if n == nil {
			return "", false
		}
		c := n.Lookup(key)
		if c == nil || c.Null && len(c.Children) == 0 {
			return "", false
		}
		if len(c.Children) == 0 {
			return c.Value, true
		}
		var entries []string
		for _, x := range c.Children {
			entries = append(entries, x.Value)
		}
		return strings.Join(entries, " "), true
	}
}

// addType takes an entry of types: a name, or a name with settings.
func (e *eveLog) addType(t *yamlconf.Node, opts *eve.Options) {
	if len(t.Children) == 0 {
		e.types[t.Value] = nil
		e.defaults(t.Value)
		return
	}
	for _, n := range t.Children {
		if !yamlconf.IsTrue(value(n, "enabled", "yes")) {
			continue
		}
		e.types[n.Name] = n
		e.defaults(n.Name)
		on := func(key, def string) bool { return yamlconf.IsTrue(value(n, key, def)) }
		switch n.Name {
		case "alert":
			opts.Payload, opts.PayloadPrintable, opts.Packet = on("payload", "no"), on("payload-printable", "no"), on("packet", "no")
			opts.Metadata = on("metadata.rule.metadata", "yes") && on("metadata", "yes")
			opts.Reference = on("metadata.rule.reference", "no")
		case "anomaly":
			e.anomaly.decode, e.anomaly.stream, e.anomaly.app = on("types.decode", "no"), on("types.stream", "no"), on("types.applayer", "yes")
			opts.AnomalyHeader = on("packethdr", "no")
		case "drop":
			e.drops.alerts, e.drops.all = on("alerts", "no"), value(n, "flows", "start") == "all"
		case "stats":
			e.stats.totals, e.stats.threads, e.stats.zero = on("totals", "yes"), on("threads", "no"), on("null-values", "yes")
		}
	}
}

func (e *eveLog) defaults(kind string) {
	switch kind {
	case "anomaly":
		e.anomaly.app = true
	case "stats":
		e.stats.totals, e.stats.zero = true, true
	}
}

func (o *outputs) close() error {
	var errs []error
	for _, l := range o.eve {
		errs = append(errs, l.drain(), l.close())
	}
	for _, l := range append(o.fast, o.stats...) {
		errs = append(errs, l.close())
	}
	if o.assets != nil {
		errs = append(errs, o.assets.log.close())
	}
	if o.journal != nil {
		errs = append(errs, o.journal.close())
	}
	return errors.Join(errs...)
}

// files are all of the logs.
func (o *outputs) files() []*logFile {
	list := append(slices.Clip(o.fast), o.stats...)
	if o.assets != nil {
		list = append(list, o.assets.log)
	}
	for _, l := range o.eve {
		list = append(list, l.logFile)
	}
	return list
}

// each does something with every file and joins the errors.
func (o *outputs) each(do func(*logFile) error) error {
	var errs []error
	for _, l := range o.files() {
		errs = append(errs, do(l))
	}
	return errors.Join(errs...)
}

// lost is how many bytes of logs could not be written.
func (o *outputs) lost() (n uint64) {
	for _, l := range o.files() {
		n += l.lost
	}
	return n
}

// drain hands the events of a packet to the files.
func (o *outputs) drain() error {
	var errs []error
	for _, l := range o.eve {
		if err := l.drain(); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// appendFast appends the line of fast.log for an alert.
func appendFast(out []byte, p *decode.Packet, a *eve.AlertInfo) []byte {
	out = appendFastTime(out, p.Time)
	out = append(out, "  "...)
	if a.Blocked {
		out = append(out, "[Drop] "...)
	}
	r, class := a.Rule, cmp.Or(a.Class.Description, "(null)")
	out = fmt.Appendf(out, "[**] [%d:%d:%d] %s [**] [Classification: %s] [Priority: %d] ", max(r.GID, 1), r.SID, r.Rev, r.Msg, class, a.Class.Priority)
	if !p.Src().IsValid() {
		return append(out, "[**] [Raw pkt]\n"...)
	}
	return fmt.Appendf(out, "{%s} %s:%d -> %s:%d\n", fastProto(p.Proto), p.Src(), p.SrcPort, p.Dst(), p.DstPort)
}

// fastProto is the transport in the words of fast.log.
func fastProto(p packet.Proto) string {
	switch p {
	case packet.ProtoTCP, packet.ProtoUDP, packet.ProtoICMPv4, packet.ProtoICMPv6, packet.ProtoSCTP:
		return eve.ProtoName(p)
	}
	return fmt.Sprintf("PROTO:%03d", p)
}

// endOf says how a flow's connection stands, for its event.
func (pl *pipeline) endOf(f *flow.Flow) eve.FlowInfo {
	i := eve.FlowInfo{}
	if f.Proto() == packet.ProtoTCP {
		i.TCP, i.Regions = pl.tracker.StateOf(f), pl.tracker.Regions(f)
	}
	return i
}
