package state

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
)

// Kind is what a set holds.
type Kind string

// The kinds. IP holds addresses of both versions.
const (
	String Kind = "string"
	MD5    Kind = "md5"
	SHA256 Kind = "sha256"
	IPv4   Kind = "ipv4"
	IP     Kind = "ip"
)

// kindOf reads a kind; ipv6 is another name for ip.
func kindOf(name string) (Kind, error) {
	switch k := Kind(name); k {
	case "", String, MD5, SHA256, IPv4, IP:
		return k, nil
	case "ipv6":
		return IP, nil
	}
	return "", fmt.Errorf("bad type %s", name)
}

// size is how many bytes every value has; 0: any.
func (k Kind) size() int {
	return map[Kind]int{MD5: 16, SHA256: 32, IPv4: 4, IP: 16}[k]
}

// Format is how a file holds a set.
type Format string

// The formats.
const (
	CSV    Format = "csv"    // A value a line, with a number behind it: its reputation.
	JSON   Format = "json"   // An array of objects.
	NDJSON Format = "ndjson" // An object a line.
)

// Spec says what a set is.
type Spec struct {
	Name string
	Kind Kind
	// Load and Save are files, "" if there is none.
	Load, Save string
	Memcap     uint64 // Bytes; 0: the default.
	HashSize   uint32 // Rows; 0: the default.

	Format Format // "": CSV.
	// ValueKey is where in an object its value is, ArrayKey where in a file its
	// objects are, with dots between the names; RemoveKey leaves the value out
	// of what an alert shows.
	ValueKey, ArrayKey string
	RemoveKey          bool
}

// Set is a set of values.
type Set struct {
	spec   Spec
	values map[string]value
	came   uint64 // How many values were put in so far.
	bytes  uint64 // Of all values.
	full   bool   // The memcap was reached.
}

// value is what a set knows of a value.
type value struct {
	reputation uint16
	context    string // JSON
	came       uint64 // Its place among all that were put in.
}

// maxName is the longest name of a set, bytes.
const maxName = 63

// Define returns the set of a name. It is made, and loaded, at first; later
// definitions must agree, or name nothing but the set.
func (d *Data) Define(spec Spec) (*Set, error) {
	if len(spec.Name) > maxName {
		return nil, fmt.Errorf("dataset name of %d bytes, at most %d", len(spec.Name), maxName)
	}
	if s := d.sets[spec.Name]; s != nil {
		return s, s.agrees(&spec)
	}
	if spec.Kind == "" {
		return nil, fmt.Errorf("dataset %s not defined", spec.Name)
	}
	if spec.Memcap == 0 {
		spec.Memcap = d.config.Memcap
	}
	if spec.HashSize == 0 {
		spec.HashSize = d.config.HashSize
	}
	if m := d.config.MaxHashSize; m > 0 && spec.HashSize > m {
		return nil, fmt.Errorf("hashsize %d in dataset '%s' exceeds configured 'single-hashsize' limit (%d)", spec.HashSize, spec.Name, m)
	}
	if m := d.config.MaxHashSizes; m > 0 && uint64(spec.HashSize)+d.rows > uint64(m) {
		return nil, fmt.Errorf("hashsize %d in dataset '%s' exceeds configured 'total-hashsizes' limit (%d, in use %d)", spec.HashSize, spec.Name, m, d.rows)
	}
	s := &Set{spec: spec, values: map[string]value{}}
	if old := d.before[spec.Name]; old != nil && old.changes() && old.agrees(&spec) == nil {
		s = old
	} else if spec.Load != "" {
		if err := s.load(); err != nil {
			return nil, err
		}
		if s.full {
			return nil, errors.New("dataset too large for set memcap")
		}
	}
	d.rows += uint64(spec.HashSize)
	d.sets[spec.Name] = s
	d.order = append(d.order, s)
	return s, nil
}

// changes says whether rules change a set, or may.
func (s *Set) changes() bool { return s.spec.Load == "" || s.spec.Save != "" }

// agrees says whether a set is what a later definition wants.
func (s *Set) agrees(spec *Spec) error {
	have := &s.spec
	switch {
	case spec.Kind != "" && spec.Kind != have.Kind:
		return fmt.Errorf("dataset %s already exists and is of type %s", have.Name, have.Kind)
	case spec.Load == "" && spec.Save == "":
		return nil
	case spec.Save != have.Save:
		return fmt.Errorf("dataset %s save mismatch: %s != %s", have.Name, have.Save, spec.Save)
	case spec.Load != have.Load:
		return fmt.Errorf("dataset %s load mismatch: %s != %s", have.Name, have.Load, spec.Load)
	}
	return nil
}

func (s *Set) load() error {
	text, err := os.ReadFile(s.spec.Load)
	if errors.Is(err, fs.ErrNotExist) && s.spec.Save == s.spec.Load {
		return nil // A state that was not saved yet.
	}
	if err != nil {
		return fmt.Errorf("load dataset %s: %w", s.spec.Name, err)
	}
	switch s.spec.Format {
	case JSON:
		return s.loadJSON(text)
	case NDJSON:
		return s.loadLines(text)
	}
	return s.loadCSV(text)
}

func (s *Set) loadCSV(text []byte) error {
	columns := 0
	for line := range strings.Lines(string(text)) {
		fields := strings.Split(strings.TrimRight(line, "\r\n"), ",")
		if len(fields) > 2 {
			continue
		}
		if columns == 0 {
			columns = len(fields)
		}
		if len(fields) != columns {
			return fmt.Errorf("cannot mix dataset and datarep values for set %s in %s", s.spec.Name, s.spec.Load)
		}
		key, err := s.parse(fields[0])
		if err != nil {
			return fmt.Errorf("%w %s in %s", err, s.spec.Name, s.spec.Load)
		}
		if key == nil {
			continue
		}
		v := value{}
		if columns == 2 {
			n, err := strconv.ParseUint(fields[1], 10, 16)
			if err != nil {
				return fmt.Errorf("invalid datarep value %s in %s", s.spec.Name, s.spec.Load)
			}
			v.reputation = uint16(n)
		}
		s.add(key, v)
	}
	return nil
}

// parse reads a value as a CSV file has it; nil: it does not count.
func (s *Set) parse(text string) ([]byte, error) {
	switch s.spec.Kind {
	case String:
		b, err := base64.StdEncoding.Strict().DecodeString(text)
		if err != nil {
			return nil, errors.New("bad base64 encoding")
		}
		return b, nil
	case MD5, SHA256:
		b, err := hex.DecodeString(text)
		if err != nil || len(b) != s.spec.Kind.size() {
			return nil, nil
		}
		return b, nil
	}
	return s.parseAddr(text, false)
}

// parseAddr reads an address. In a set of both versions, an IPv4 address has
// the first four bytes; only JSON files may write it without ::ffff: before it.
func (s *Set) parseAddr(text string, plain bool) ([]byte, error) {
	a, err := netip.ParseAddr(text)
	switch {
	case err != nil || a.Zone() != "":
	case s.spec.Kind == IPv4 && a.Is4():
		return a.AsSlice(), nil
	case s.spec.Kind == IP && (a.Is6() || plain):
		return s.key(a.Unmap().AsSlice()), nil
	}
	if s.spec.Kind == IPv4 {
		return nil, errors.New("invalid Ipv4 value")
	}
	return nil, errors.New("invalid Ipv6 value")
}

// key is what a value is kept as; nil: the set cannot hold it.
func (s *Set) key(data []byte) []byte {
	if s.spec.Kind == IP && len(data) == 4 {
		var padded [16]byte
		copy(padded[:], data)
		return padded[:]
	}
	if n := s.spec.Kind.size(); n > 0 && len(data) != n {
		return nil
	}
	return data
}

// has finds a value.
func (s *Set) has(data []byte) (value, bool) {
	key := s.key(data)
	if key == nil {
		return value{}, false
	}
	v, ok := s.values[string(key)]
	return v, ok
}

// add puts a value in. It says whether it was not there, and found room.
func (s *Set) add(data []byte, v value) bool {
	key := s.key(data)
	if key == nil {
		return false
	}
	if _, ok := s.values[string(key)]; ok {
		return false
	}
	if s.spec.Memcap > 0 && s.cost(1, uint64(len(key))) > s.spec.Memcap {
		s.full = true
		return false
	}
	v.came = s.came
	s.came++
	s.values[string(key)] = v
	s.bytes += uint64(len(key))
	return true
}

// remove takes a value out. It says whether it was there.
func (s *Set) remove(data []byte) bool {
	key := string(s.key(data))
	if _, ok := s.values[key]; !ok {
		return false
	}
	delete(s.values, key)
	s.bytes -= uint64(len(key))
	return true
}

// cost is what a set with more values takes of its memcap, as Suricata counts
// on a 64-bit machine: a row is a cache line, an entry 72 bytes and its value,
// of a text also the text; 1,000 entries are set aside at first.
func (s *Set) cost(more int, bytes uint64) uint64 {
	const row, entry, aside = 64, 72, 1000
	size := map[Kind]uint64{String: 32, MD5: 32, SHA256: 48, IPv4: 24, IP: 32}[s.spec.Kind]
	cost := row*uint64(s.spec.HashSize) + uint64(max(aside, len(s.values)+more))*(entry+size)
	if s.spec.Kind == String {
		cost += s.bytes + bytes
	}
	return cost
}

// present are the values, as they came.
func (s *Set) present() []string {
	return slices.SortedFunc(maps.Keys(s.values), func(a, b string) int {
		return cmp.Compare(s.values[a].came, s.values[b].came)
	})
}

// text is the set as a file.
func (s *Set) text() []byte {
	var b bytes.Buffer
	for _, key := range s.present() {
		switch s.spec.Kind {
		case String:
			b.WriteString(base64.StdEncoding.EncodeToString([]byte(key)))
		case MD5, SHA256:
			b.WriteString(hex.EncodeToString([]byte(key)))
		case IPv4:
			b.WriteString(netip.AddrFrom4([4]byte([]byte(key))).String())
		case IP:
			b.WriteString(ipText([]byte(key)))
		}
		b.WriteByte('\n')
	}
	return b.Bytes()
}

// ipText writes an address so that parse reads it.
func ipText(key []byte) string {
	if len(bytes.TrimRight(key, "\x00")) <= 4 {
		return "::ffff:" + netip.AddrFrom4([4]byte(key[:4])).String()
	}
	return netip.AddrFrom16([16]byte(key)).String()
}
