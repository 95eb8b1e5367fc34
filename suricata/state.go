package suricata

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Count is a plain number: sid, rev, priority.
type Count uint64

// String is the number.
func (c Count) String() string { return strconv.FormatUint(uint64(c), 10) }

func parseCount(s string, lo, hi uint64) (Value, error) {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil || n < lo || n > hi {
		return nil, fmt.Errorf("%q is no number between %d and %d", s, lo, hi)
	}
	return Count(n), nil
}

// text keeps the argument, in the quotes it came in.
func text(a arg) (Value, error) {
	if !a.quoted {
		return Text(a.text), nil
	}
	return Quoted(unescape(a.text)), nil
}

func parseList(s string, lo, hi int) (Value, error) {
	l := splitList(s)
	if len(l) < lo || len(l) > hi {
		return nil, fmt.Errorf("has %d parts, wants %d to %d", len(l), lo, hi)
	}
	return l, nil
}

func parseWord(s string, words []string) (Value, error) {
	w := strings.ToLower(s)
	if !slices.Contains(words, w) {
		return nil, fmt.Errorf("%q is none of %s", s, strings.Join(words, ", "))
	}
	return Text(w), nil
}

// FlowState is the argument of flow.
type FlowState struct {
	Dir            Direction // zero: either
	Established    bool
	NotEstablished bool
	Stateless      bool
	Stream         bool // only_stream
	NoStream       bool
	Frag           bool // only_frag
	NoFrag         bool
}

// String is the words with commas.
func (f *FlowState) String() string {
	var out List
	for _, w := range [...]struct {
		on   bool
		word string
	}{{f.Established, "established"}, {f.NotEstablished, "not_established"}, {f.Stateless, "stateless"},
		{f.Dir == ToServer, "to_server"}, {f.Dir == ToClient, "to_client"}, {f.Stream, "only_stream"},
		{f.NoStream, "no_stream"}, {f.Frag, "only_frag"}, {f.NoFrag, "no_frag"}} {
		if w.on {
			out = append(out, w.word)
		}
	}
	return strings.Join(out, ",")
}

func parseFlow(a arg) (Value, error) {
	f := &FlowState{}
	set := func(b *bool, word string, against ...bool) error {
		if *b || slices.Contains(against, true) {
			return fmt.Errorf("%q repeats or contradicts a word before it", word)
		}
		*b = true
		return nil
	}
	for _, word := range splitList(strings.ToLower(a.text)) {
		var err error
		var toServer, toClient bool
		switch word {
		case "established":
			err = set(&f.Established, word, f.NotEstablished, f.Stateless)
		case "not_established":
			err = set(&f.NotEstablished, word, f.Established, f.Stateless)
		case "stateless":
			err = set(&f.Stateless, word, f.Established, f.NotEstablished)
		case "to_server", "from_client":
			err = set(&toServer, word, f.Dir != 0)
			f.Dir |= ToServer
		case "to_client", "from_server":
			err = set(&toClient, word, f.Dir != 0)
			f.Dir |= ToClient
		case "only_stream":
			err = set(&f.Stream, word, f.NoStream)
		case "no_stream":
			err = set(&f.NoStream, word, f.Stream)
		case "only_frag":
			err = set(&f.Frag, word, f.NoFrag)
		case "no_frag":
			err = set(&f.NoFrag, word, f.Frag)
		default:
			err = unknownWord(false, word)
		}
		if err != nil {
			return nil, err
		}
	}
	return f, nil
}

// Bits is the argument of flowbits, xbits and hostbits.
type Bits struct {
	Cmd    string   // set, unset, toggle, isset, isnotset, noalert
	Names  []string // several of isset and isnotset mean any
	Track  string   // xbits: ip_src, ip_dst, ip_pair, tx; hostbits: src, dst, both
	Expire uint32   // xbits: seconds
}

// Asks reports whether the option is a condition, and not done after a match.
func (b *Bits) Asks() bool { return b.Cmd == "isset" || b.Cmd == "isnotset" }

// String is cmd,name|name and the rest.
func (b *Bits) String() string {
	s := b.Cmd
	if len(b.Names) > 0 {
		s += "," + strings.Join(b.Names, "|")
	}
	switch b.Track {
	case "":
	case "src", "dst", "both":
		s += "," + b.Track
	default:
		s += ", track " + b.Track
	}
	if b.Expire != 0 {
		s += fmt.Sprintf(", expire %d", b.Expire)
	}
	return s
}

var bitCmds = []string{"set", "unset", "toggle", "isset", "isnotset"}

// parseBitHead reads "cmd, name|name".
func parseBitHead(part List) (*Bits, error) {
	b := &Bits{Cmd: part[0]}
	if b.Cmd == "noalert" {
		if len(part) > 1 {
			return nil, errors.New("noalert takes no name")
		}
		return b, nil
	}
	if !slices.Contains(bitCmds, b.Cmd) {
		return nil, fmt.Errorf("unknown command %q", b.Cmd)
	}
	if len(part) < 2 {
		return nil, fmt.Errorf("%s needs a name", b.Cmd)
	}
	for _, name := range strings.Split(part[1], "|") {
		name = strings.TrimSpace(name)
		if name == "" || strings.ContainsAny(name, " \t") {
			return nil, fmt.Errorf("%q is no name", part[1])
		}
		b.Names = append(b.Names, name)
	}
	if len(b.Names) > 1 && !b.Asks() {
		return nil, fmt.Errorf("%s takes one name", b.Cmd)
	}
	return b, nil
}

func parseFlowbits(a arg) (Value, error) {
	part := splitList(a.text)
	b, err := parseBitHead(part)
	if err == nil && len(part) > 2 {
		err = fmt.Errorf("%q follows the name", part[2])
	}
	return b, err
}

func parseXbits(a arg) (Value, error) {
	part := splitList(a.text)
	b, err := parseBitHead(part)
	if err != nil || b.Cmd == "noalert" {
		return b, err
	}
	for _, pair := range part[2:] {
		key, value, _ := strings.Cut(pair, " ")
		value = strings.TrimSpace(value)
		switch key {
		case "track":
			if b.Track = value; !slices.Contains([]string{"ip_src", "ip_dst", "ip_pair", "tx"}, value) {
				return nil, fmt.Errorf("unknown tracker %q", value)
			}
		case "expire":
			n, err := strconv.ParseUint(value, 10, 32)
			if err != nil || n == 0 {
				return nil, fmt.Errorf("expire %q is no number of seconds", value)
			}
			b.Expire = uint32(n)
		default:
			return nil, unknownWord(false, key)
		}
	}
	if b.Track == "" {
		return nil, errors.New("track is missing")
	}
	if b.Track == "tx" && b.Cmd != "set" && b.Cmd != "isset" {
		return nil, errors.New("track tx supports only set and isset")
	}
	return b, nil
}

func parseHostbits(a arg) (Value, error) {
	part := splitList(a.text)
	b, err := parseBitHead(part)
	if err != nil || len(part) < 3 {
		return b, err
	}
	if b.Track = part[2]; !slices.Contains([]string{"src", "dst", "both"}, b.Track) || len(part) > 3 {
		return nil, fmt.Errorf("unknown direction %q", strings.Join(part[2:], ","))
	}
	return b, nil
}

// FlowInt is the argument of flowint.
type FlowInt struct {
	Name string
	Op   string // + - = compute; < <= > >= == != isset isnotset ask
	Arg  Num    // a number or another variable
}

// Asks reports whether the option is a condition.
func (f *FlowInt) Asks() bool { return f.Op != "+" && f.Op != "-" && f.Op != "=" }

// String is name,op,argument.
func (f *FlowInt) String() string {
	if strings.HasPrefix(f.Op, "is") {
		return f.Name + "," + f.Op
	}
	return f.Name + "," + f.Op + "," + f.Arg.String()
}

var flowintOps = []string{"+", "-", "=", "==", "!=", "<", "<=", ">", ">=", "isset", "isnotset"}

func parseFlowInt(a arg) (Value, error) {
	part := splitList(a.text)
	if len(part) < 2 || !isName(strings.ReplaceAll(part[0], "/", "_")) {
		return nil, errors.New("needs name, operator")
	}
	f := &FlowInt{Name: part[0], Op: part[1]}
	if f.Op == "notset" {
		f.Op = "isnotset"
	}
	if !slices.Contains(flowintOps, f.Op) {
		return nil, fmt.Errorf("unknown operator %q", part[1])
	}
	if strings.HasPrefix(f.Op, "is") {
		return f, nil
	}
	if len(part) != 3 {
		return nil, fmt.Errorf("%s needs a number or a variable", f.Op)
	}
	var err error
	f.Arg, err = parseNum(part[2], 0, 1<<32-1)
	return f, err
}

// Threshold is the argument of threshold and detection_filter.
type Threshold struct {
	Type       string // limit, threshold, both, backoff; "" of detection_filter
	Track      string // by_src, by_dst, by_both, by_rule, by_flow
	Count      uint32
	Seconds    uint32
	Multiplier uint32 // of backoff
}

// String is key value pairs in the order of the user guide.
func (t *Threshold) String() string {
	var out List
	if t.Type != "" {
		out = append(out, "type "+t.Type)
	}
	out = append(out, "track "+t.Track, fmt.Sprintf("count %d", t.Count))
	if t.Type != "backoff" {
		out = append(out, fmt.Sprintf("seconds %d", t.Seconds))
	} else {
		out = append(out, fmt.Sprintf("multiplier %d", t.Multiplier))
	}
	return out.String()
}

// ParseThreshold reads the argument of the keyword threshold, or with typed
// false of detection_filter.
func ParseThreshold(s string, typed bool) (*Threshold, error) {
	t := &Threshold{}
	seen := map[string]bool{}
	for _, pair := range splitList(s) {
		if typed && len(seen) == 4 {
			break // Suricata ignores what follows, and public rules have something there
		}
		key, value, _ := strings.Cut(pair, " ")
		if seen[key] {
			return nil, fmt.Errorf("%s is given twice", key)
		}
		seen[key] = true
		value = strings.TrimSpace(value)
		if typed && len(seen) == 4 {
			value, _, _ = strings.Cut(value, " ")
		}
		if err := t.pair(key, value); err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
	}
	need := []string{"track", "count", "seconds"}
	if t.Type == "backoff" {
		need[2] = "multiplier"
	}
	for _, key := range need {
		if !seen[key] {
			return nil, fmt.Errorf("%s is missing", key)
		}
	}
	if typed != (t.Type != "") {
		return nil, errors.New("type belongs to threshold, and only there")
	}
	return t, nil
}

func (t *Threshold) pair(key, value string) error {
	word := func(s *string, words ...string) error {
		if *s = value; !slices.Contains(words, value) {
			return fmt.Errorf("%q is none of %s", value, strings.Join(words, ", "))
		}
		return nil
	}
	number := func(n *uint32, lo uint64) error {
		v, err := strconv.ParseUint(value, 10, 32)
		if *n = uint32(v); err != nil || v < lo {
			return fmt.Errorf("%q is no number of at least %d", value, lo)
		}
		return nil
	}
	switch key {
	case "type":
		return word(&t.Type, "limit", "threshold", "both", "backoff")
	case "track":
		return word(&t.Track, "by_src", "by_dst", "by_both", "by_rule", "by_flow")
	case "count":
		return number(&t.Count, 1)
	case "seconds":
		return number(&t.Seconds, 1)
	case "multiplier":
		return number(&t.Multiplier, 2)
	}
	return errors.New("unknown word")
}

func parseThreshold(a arg) (Value, error)       { return thresholdValue(ParseThreshold(a.text, true)) }
func parseDetectionFilter(a arg) (Value, error) { return thresholdValue(ParseThreshold(a.text, false)) }

func thresholdValue(t *Threshold, err error) (Value, error) {
	if err != nil {
		return nil, err
	}
	return t, nil
}

// Tag is the argument of tag: what to log after the alert.
type Tag struct {
	Type   string // session, host
	Count  uint32 // 0: the configured default
	Metric string // packets, bytes, seconds
	Dir    string // of host: src, dst
}

// String is type,count,metric,direction.
func (t *Tag) String() string {
	s := t.Type
	if t.Metric != "" {
		s += fmt.Sprintf(",%d,%s", t.Count, t.Metric)
	}
	if t.Dir != "" {
		s += "," + t.Dir
	}
	return s
}

func parseTag(a arg) (Value, error) {
	part := splitList(a.text)
	t := &Tag{Type: part[0]}
	if t.Type != "session" && t.Type != "host" {
		return nil, fmt.Errorf("%q is neither session nor host", t.Type)
	}
	if len(part) == 1 {
		return t, nil
	}
	if len(part) < 3 || len(part) > 4 {
		return nil, errors.New("needs type, count, metric")
	}
	n, err := strconv.ParseUint(part[1], 10, 32)
	if err != nil {
		return nil, fmt.Errorf("count %q is no number", part[1])
	}
	t.Count, t.Metric = uint32(n), part[2]
	if !slices.Contains([]string{"packets", "bytes", "seconds"}, t.Metric) {
		return nil, fmt.Errorf("unknown metric %q", t.Metric)
	}
	if len(part) == 4 {
		if t.Dir = part[3]; t.Type != "host" || t.Dir != "src" && t.Dir != "dst" {
			return nil, fmt.Errorf("direction %q: only host has src or dst", t.Dir)
		}
	}
	return t, nil
}

// Dataset is the argument of dataset and datajson.
type Dataset struct {
	Cmd  string // set, unset, isset, isnotset
	Name string
	Type string // md5, sha256, string, ipv4, ipv6, ip; "" if defined elsewhere
	Opts List   // the other "key value" pairs, as written
}

// Asks reports whether the option is a condition.
func (d *Dataset) Asks() bool { return d.Cmd == "isset" || d.Cmd == "isnotset" }

// Opt is the value of one of the other pairs.
func (d *Dataset) Opt(key string) string {
	for _, pair := range d.Opts {
		if k, v, _ := strings.Cut(pair, " "); k == key {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// String is cmd,name and pairs.
func (d *Dataset) String() string {
	s := d.Cmd + "," + d.Name
	if d.Type != "" {
		s += ", type " + d.Type
	}
	if len(d.Opts) > 0 {
		s += ", " + d.Opts.String()
	}
	return s
}

var datasetOpts = []string{"load", "save", "state", "memcap", "hashsize", "format", "value_key", "array_key", "context_key", "enrichment_key", "remove_key", "match"}

func parseDataset(a arg) (Value, error) {
	part := splitList(a.text)
	if len(part) < 2 {
		return nil, errors.New("needs command, name")
	}
	d := &Dataset{Cmd: part[0], Name: part[1]}
	if !slices.Contains([]string{"set", "unset", "isset", "isnotset"}, d.Cmd) {
		return nil, fmt.Errorf("unknown command %q", d.Cmd)
	}
	if d.Name == "" || strings.ContainsAny(d.Name, " \t") {
		return nil, fmt.Errorf("%q is no name", d.Name)
	}
	for _, pair := range part[2:] {
		key, value, _ := strings.Cut(pair, " ")
		if key == "type" {
			d.Type = strings.TrimSpace(value)
			if !slices.Contains([]string{"md5", "sha256", "string", "ipv4", "ipv6", "ip"}, d.Type) {
				return nil, fmt.Errorf("unknown type %q", d.Type)
			}
			continue
		}
		if !slices.Contains(datasetOpts, key) {
			return nil, unknownWord(false, key)
		}
		if d.Opt(key) != "" {
			return nil, fmt.Errorf("%s is given twice", key)
		}
		d.Opts = append(d.Opts, pair)
	}
	if d.Opt("state") != "" && (d.Opt("load") != "" || d.Opt("save") != "") {
		return nil, errors.New("state cannot be mixed with load and save")
	}
	return d, nil
}

// StreamSize is the argument of stream_size.
type StreamSize struct {
	Side string // server, client, both, either
	Size Uint
}

// String is side,op,size.
func (s *StreamSize) String() string {
	op := opText[s.Size.Op]
	switch s.Size.Op {
	case Eq:
		op = "="
	case Ne:
		op = "!="
	}
	return fmt.Sprintf("%s,%s,%d", s.Side, op, s.Size.A)
}

func parseStreamSize(a arg) (Value, error) {
	part := splitList(a.text)
	if len(part) != 3 {
		return nil, errors.New("needs side, operator, size")
	}
	s := &StreamSize{Side: part[0]}
	if !slices.Contains([]string{"server", "client", "both", "either"}, s.Side) {
		return nil, fmt.Errorf("unknown side %q", s.Side)
	}
	u, err := parseUint(part[1]+part[2], 32, nil, false)
	if err != nil || u.Op >= Range {
		return nil, errors.Join(err, errors.New("size needs an operator and a number"))
	}
	s.Size = *u
	return s, nil
}

// Reputation is the argument of iprep.
type Reputation struct {
	Side     string // any, src, dst, both
	Category string
	Score    Uint
	Exists   string // isset, isnotset: instead of a comparison (8.0)
}

// String is side,category,op,value.
func (r *Reputation) String() string {
	if r.Exists != "" {
		return r.Side + "," + r.Category + "," + r.Exists
	}
	op := opText[r.Score.Op]
	switch r.Score.Op {
	case Eq:
		op = "="
	case Ne:
		op = "!="
	}
	return fmt.Sprintf("%s,%s,%s,%d", r.Side, r.Category, op, r.Score.A)
}

func parseReputation(a arg) (Value, error) {
	part := splitList(a.text)
	if len(part) < 3 || len(part) > 4 {
		return nil, errors.New("needs side, category, operator, value")
	}
	r := &Reputation{Side: part[0], Category: part[1]}
	if !slices.Contains([]string{"any", "src", "dst", "both"}, r.Side) {
		return nil, fmt.Errorf("unknown side %q", r.Side)
	}
	if len(part) == 3 {
		if r.Exists = part[2]; r.Exists != "isset" && r.Exists != "isnotset" {
			return nil, fmt.Errorf("%q needs a value", part[2])
		}
		return r, nil
	}
	op, rest := cutOp(part[2])
	n, err := strconv.ParseUint(part[3], 10, 8)
	if rest != "" || err != nil || n > 127 {
		return nil, fmt.Errorf("%q %q compares with no score of 0 to 127", part[2], part[3])
	}
	r.Score = Uint{Op: op, A: n}
	return r, nil
}
