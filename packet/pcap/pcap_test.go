package pcap

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/hauberk/hauberk/internal/need"
	"github.com/hauberk/hauberk/packet"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// sample is packets of all sizes that matter, with times in nanoseconds.
func sample(n int) []Packet {
	rng := rand.New(rand.NewPCG(1, 2))
	packets := make([]Packet, n)
	for i := range packets {
		size := rng.IntN(2000)
		switch i % 97 {
		case 0:
			size = 0
		case 50:
			size = MaxPacket
		}
		data := make([]byte, size)
		for j := range data {
			data[j] = byte(rng.Uint32())
		}
		packets[i] = Packet{Time: 1_700_000_000_123_456_789 + int64(i)*1_000_003, Data: data, Length: size + i%3, Link: packet.LinkEthernet}
	}
	return packets
}

// readAll copies what the reader lends, in batches of several sizes.
func readAll(t testing.TB, r *Reader, batch int) (all []Packet, err error) {
	t.Helper()
	lent := make([]Packet, batch)
	for {
		n, err := r.Batch(lent)
		for _, p := range lent[:n] {
			p.Data = bytes.Clone(p.Data)
			all = append(all, p)
		}
		if err == io.EOF {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		if n == 0 {
			t.Fatal("an empty batch without an error")
		}
	}
}

func compare(t *testing.T, got, want []Packet, unit int64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d packets, want %d", len(got), len(want))
	}
	for i := range want {
		g, w := got[i], want[i]
		if g.Time != w.Time/unit*unit || !bytes.Equal(g.Data, w.Data) || g.Length != w.Length || g.Link != w.Link || g.Interface != w.Interface {
			t.Fatalf("packet %d: time %d, %d of %d bytes, interface %d %v; want %d, %d of %d, %d %v",
				i, g.Time, len(g.Data), g.Length, g.Interface, g.Link, w.Time, len(w.Data), w.Length, w.Interface, w.Link)
		}
	}
}

func TestPcapRoundTrip(t *testing.T) {
	want := sample(300)
	for _, f := range []Format{{}, {Nanoseconds: true}, {BigEndian: true}, {Nanoseconds: true, BigEndian: true}} {
		for name, pack := range packers {
			t.Run(fmt.Sprintf("%+v %s", f, name), func(t *testing.T) {
				var file bytes.Buffer
				w, err := NewWriter(&file, packet.LinkEthernet, MaxPacket, f)
				if err != nil {
					t.Fatal(err)
				}
				for i := range want {
					if err := w.Write(&want[i]); err != nil {
						t.Fatal(err)
					}
				}
				unit := int64(1000)
				if f.Nanoseconds {
					unit = 1
				}
				for _, batch := range []int{1, 7, 64} {
					r, err := NewReader(bytes.NewReader(pack(file.Bytes())))
					if err != nil {
						t.Fatal(err)
					}
					got, err := readAll(t, r, batch)
					if err != nil {
						t.Fatal(err)
					}
					compare(t, got, want, unit)
					r.Close()
				}
			})
		}
	}
}

var packers = map[string]func([]byte) []byte{
	"plain": func(b []byte) []byte { return b },
	"gzip": func(b []byte) []byte {
		var out bytes.Buffer
		z, _ := gzip.NewWriterLevel(&out, gzip.BestSpeed)
		z.Write(b)
		z.Close()
		return out.Bytes()
	},
	"zstd": func(b []byte) []byte {
		z, _ := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest))
		return z.EncodeAll(b, nil)
	},
}

func TestNGRoundTrip(t *testing.T) {
	want := sample(300)
	var file bytes.Buffer
	w, err := NewNGWriter(&file)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Write(&want[0]); err == nil {
		t.Error("a packet of an interface that is not declared was written")
	}
	for i, link := range []packet.LinkType{packet.LinkEthernet, packet.LinkRaw, packet.LinkSLL2} {
		if err := w.AddInterface(Interface{Name: strings.Repeat("x", i), Link: link, SnapLen: MaxPacket}); err != nil {
			t.Fatal(err)
		}
		for j := i; j < len(want); j += 3 {
			want[j].Link, want[j].Interface = link, i
		}
	}
	for i := range want {
		if err := w.Write(&want[i]); err != nil {
			t.Fatal(err)
		}
	}
	r, err := NewReader(iotest.OneByteReader(bytes.NewReader(file.Bytes())))
	if err != nil {
		t.Fatal(err)
	}
	got, err := readAll(t, r, 16)
	if err != nil {
		t.Fatal(err)
	}
	compare(t, got, want, 1)
	if i := r.Interfaces(); len(i) != 3 || i[2].Name != "xx" || i[2].Link != packet.LinkSLL2 || i[2].SnapLen != MaxPacket {
		t.Errorf("interfaces: %+v", i)
	}
}

// ng writes blocks of either byte order by hand.
type ng struct {
	order binary.AppendByteOrder
	b     []byte
}

func (w *ng) block(kind uint32, body ...any) *ng {
	start := len(w.b)
	w.b = w.order.AppendUint32(w.b, kind)
	w.b = append(w.b, 0, 0, 0, 0)
	for _, f := range body {
		switch f := f.(type) {
		case int:
			w.b = w.order.AppendUint32(w.b, uint32(f))
		case uint16:
			w.b = w.order.AppendUint16(w.b, f)
		case uint64:
			w.b = w.order.AppendUint64(w.b, f)
		case string:
			w.b = append(w.b, f...)
		}
	}
	for len(w.b)%4 != 0 {
		w.b = append(w.b, 0)
	}
	size := uint32(len(w.b) - start + 4)
	w.order.(binary.ByteOrder).PutUint32(w.b[start+4:], size)
	w.b = w.order.AppendUint32(w.b, size)
	return w
}

func (w *ng) section() *ng {
	return w.block(blockSection, byteOrderMagic, uint16(1), uint16(0), uint64(1<<64-1))
}

// What our writer never writes: sections of both byte orders, all units of
// time, simple and obsolete packets, blocks to skip.
func TestNGOfOthers(t *testing.T) {
	w := &ng{order: little}
	w.section().block(0xbad, 1, 2, 3)
	w.block(blockInterface, uint16(1), uint16(0), 0) // Microseconds.
	w.block(blockInterface, uint16(101), uint16(0), 0, uint16(optTSResol), uint16(1), "\x03\x00\x00\x00", uint16(optTSOffset), uint16(8), uint64(100), uint16(0), uint16(0))
	w.block(blockPacket, 0, 0, 7, 3, 60, "abc")
	w.block(5, 0, 0, 0)
	w.block(blockPacket, 1, 0, 2500, 2, 2, "de", uint16(1), uint16(2), "hi")
	w.block(blockOldPacket, uint16(1), uint16(0xffff), 0, 1000, 1, 1, "f")
	w.block(blockSimple, 4, "ghij")
	w.order = big
	w.section()
	w.block(blockInterface, uint16(276), uint16(0), 2, uint16(optTSResol), uint16(1), "\x8a\x00\x00\x00")
	w.block(blockPacket, 0, 0, 1536, 1, 1, "k")
	w.block(blockSimple, 9, "lm")
	w.block(0x0bad0bad, strings.Repeat("skip", 1<<19))
	w.block(blockPacket, 0, 0, 0, 0, 0)

	want := []Packet{
		{Time: 7000, Data: []byte("abc"), Length: 60, Link: 1},
		{Time: 102_500_000_000, Data: []byte("de"), Length: 2, Link: 101, Interface: 1},
		{Time: 101_000_000_000, Data: []byte("f"), Length: 1, Link: 101, Interface: 1},
		{Data: []byte("ghij"), Length: 4, Link: 1},
		{Time: 1_500_000_000, Data: []byte("k"), Length: 1, Link: 276},
		{Data: []byte("lm"), Length: 9, Link: 276},
		{Link: 276},
	}
	for _, batch := range []int{1, 16} {
		r, err := NewReader(bytes.NewReader(w.b))
		if err != nil {
			t.Fatal(err)
		}
		got, err := readAll(t, r, batch)
		if err != nil {
			t.Fatal(err)
		}
		compare(t, got, want, 1)
	}
}

func TestResolution(t *testing.T) {
	for _, c := range []struct {
		r     resolution
		units uint64
		want  int64
		bad   bool
	}{
		{6, 1, 1000, false}, {9, 5, 5, false}, {0, 3, 3e9, false}, {12, 5999, 5, false}, {28, 1 << 63, 0, false}, {127, 1 << 63, 0, false},
		{0x80, 2, 2e9, false}, {0x81, 3, 1_500_000_000, false}, {0x80 | 63, 1 << 63, 1e9, false}, {0x80 | 64, 1 << 63, 0, false}, {0xff, 1, 0, false},
		{0, 1 << 60, 0, true}, {6, 1 << 62, 0, true}, {9, 1 << 63, 0, true}, {0x80, 1 << 63, 0, true},
	} {
		got, err := c.r.nanos(c.units)
		if got != c.want && !c.bad || (err != nil) != c.bad {
			t.Errorf("%#x of %d: %d, %v", uint8(c.r), c.units, got, err)
		}
	}
	for _, c := range []struct {
		nanos, seconds int64
		bad            bool
	}{{1, 1, false}, {1, -1, false}, {1 << 62, 1 << 33, true}, {-1 << 62, -1 << 33, true}, {0, 1 << 62, true}, {0, -1 << 62, true}} {
		if _, err := addSeconds(c.nanos, c.seconds); (err != nil) != c.bad {
			t.Errorf("%d and %d s: %v", c.nanos, c.seconds, err)
		}
	}
}

// Errors name the byte, and what was before it is read.
func TestErrors(t *testing.T) {
	good := new(bytes.Buffer)
	w, _ := NewWriter(good, packet.LinkEthernet, 100, Format{})
	w.Write(&Packet{Data: []byte("first"), Length: 5})
	n := &ng{order: little}
	n.section().block(blockInterface, uint16(1), uint16(0), 0).block(blockPacket, 0, 0, 0, 2, 2, "ok")
	at := int64(len(n.b))
	blocks := func(f func(w *ng)) []byte {
		w := &ng{order: little, b: bytes.Clone(n.b)}
		f(w)
		return w.b
	}
	for _, c := range []struct {
		name   string
		file   []byte
		offset int64
		reason string
		before int
	}{
		{"empty", nil, 0, "neither pcap nor pcapng", 0},
		{"text", []byte("GIF89a, and more than twenty-four bytes"), 0, "neither pcap nor pcapng", 0},
		{"cut in the header", good.Bytes()[:20], 0, "unexpected EOF", 0},
		{"cut in a record's header", append(bytes.Clone(good.Bytes()), 1, 2, 3), 45, "unexpected EOF", 1},
		{"cut in a record", append(bytes.Clone(good.Bytes()), good.Bytes()[24:40]...), 45, "unexpected EOF", 1},
		{"huge record", append(bytes.Clone(good.Bytes()), bytes.Repeat([]byte{0x7f}, 16)...), 45, "packet of 2139062143 bytes", 1},
		{"odd block", blocks(func(w *ng) { w.b = append(w.b, 6, 0, 0, 0, 13, 0, 0, 0, 0, 0, 0, 0) }), at, "block of 13 bytes", 1},
		{"tiny block", blocks(func(w *ng) { w.b = append(w.b, 6, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0) }), at, "block of 8 bytes", 1},
		{"ends differ", blocks(func(w *ng) { w.block(blockPacket, 0, 0, 0, 0, 0); w.b[len(w.b)-4]++ }), at, "ends as one of", 1},
		{"huge block", blocks(func(w *ng) { w.b = append(w.b, 6, 0, 0, 0, 0, 0, 0, 0x70, 0, 0, 0, 0) }), at, "block of 1879048192 bytes", 1},
		{"huge block to skip", blocks(func(w *ng) { w.b = append(w.b, 9, 0, 0, 0, 0, 0, 0, 0x70, 0, 0, 0, 0) }), at + 0x70000000, "unexpected EOF", 1},
		{"packet beyond its block", blocks(func(w *ng) { w.block(blockPacket, 0, 0, 0, 5, 5, "abcd") }), at, "packet of 5 bytes", 1},
		{"unknown interface", blocks(func(w *ng) { w.block(blockPacket, 1, 0, 0, 0, 0) }), at, "interface 1", 1},
		{"short packet block", blocks(func(w *ng) { w.block(blockPacket, 1) }), at, "too short", 1},
		{"short interface", blocks(func(w *ng) { w.block(blockInterface, 1) }), at, "too short", 1},
		{"option beyond its block", blocks(func(w *ng) { w.block(blockInterface, 1, 0, uint16(2), uint16(90)) }), at, "option longer", 1},
		{"time out of range", blocks(func(w *ng) { w.block(blockPacket, 0, 0x7fffffff, 0, 0, 0) }), at, "time stamp out of range", 1},
		{"version 2", blocks(func(w *ng) { w.block(blockSection, byteOrderMagic, uint16(2), uint16(0), uint64(0)) }), at, "pcapng of version 2", 1},
		{"no byte order", blocks(func(w *ng) { w.block(blockSection, 7, uint16(2), uint16(0), uint64(0)) }), at, "byte order", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []Packet
			r, err := NewReader(bytes.NewReader(c.file))
			if err == nil {
				got, err = readAll(t, r, 8)
				if _, again := r.Next(); again != err {
					t.Errorf("then %v", again)
				}
			}
			var where *Error
			if !errors.As(err, &where) || where.Offset != c.offset || !strings.Contains(err.Error(), c.reason) {
				t.Errorf("%v, want %q at %d", err, c.reason, c.offset)
			}
			if len(got) != c.before {
				t.Errorf("%d packets before it, want %d", len(got), c.before)
			}
		})
	}
	broken := errors.New("disk gone")
	if _, err := NewReader(iotest.ErrReader(broken)); !errors.Is(err, broken) {
		t.Errorf("error of the reader below: %v", err)
	}
}

// A live stream gives what is there: Batch waits for the first packet only.
func TestBatchDoesNotWait(t *testing.T) {
	in, out := io.Pipe()
	defer out.Close()
	wrote := make(chan error, 1)
	go func() {
		w, err := NewWriter(out, packet.LinkEthernet, 100, Format{})
		for i := 0; i < 2 && err == nil; i++ {
			err = w.Write(&Packet{Data: []byte{byte(i)}, Length: 1})
		}
		wrote <- err
	}()
	r, err := NewReader(in)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		n, err := r.Batch(make([]Packet, 64))
		if n != 1 || err != nil {
			t.Fatalf("batch %d: %d packets, %v", i, n, err)
		}
	}
	if err := <-wrote; err != nil {
		t.Fatal(err)
	}
}

func TestNextDoesNotAllocate(t *testing.T) {
	var file bytes.Buffer
	w, _ := NewWriter(&file, packet.LinkEthernet, 100, Format{})
	for range 3000 {
		w.Write(&Packet{Data: make([]byte, 60), Length: 60})
	}
	r, err := NewReader(&file)
	if err != nil {
		t.Fatal(err)
	}
	lent := make([]Packet, 16)
	if n := testing.AllocsPerRun(100, func() {
		if _, err := r.Batch(lent); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations a batch", n)
	}
}

// Every capture at hand is read to its end; a few are broken on purpose.
func TestSharedCaptures(t *testing.T) {
	var files, packets, broken int
	for _, folder := range []string{"pcaps", "suricata-verify"} {
		root := need.Data(t, folder)
		err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
			if err != nil || !strings.Contains(filepath.Ext(path), "pcap") {
				return err
			}
			file, err := os.Open(path)
			if err != nil {
				return err
			}
			defer file.Close()
			r, err := NewReader(file)
			if err != nil {
				t.Errorf("%s: %v", path, err)
				return nil
			}
			defer r.Close()
			lent := make([]Packet, 64)
			for {
				n, err := r.Batch(lent)
				packets += n
				if err == nil {
					continue
				}
				if err != io.EOF {
					broken++
					t.Logf("%s: %v", path, err)
				}
				break
			}
			files++
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if files < 1900 || packets < 200_000 || broken > 10 {
		t.Errorf("%d captures with %d packets, %d broken: some were not read", files, packets, broken)
	}
}

// Any bytes are read to an end, within what they can hold.
func FuzzReader(f *testing.F) {
	var file bytes.Buffer
	w, _ := NewWriter(&file, packet.LinkEthernet, 100, Format{BigEndian: true})
	w.Write(&Packet{Data: []byte("packet"), Length: 6})
	f.Add(file.Bytes())
	n := &ng{order: little}
	n.section().block(blockInterface, uint16(1), uint16(0), 0, uint16(optTSResol), uint16(1), "\x09\x00\x00\x00")
	n.block(blockPacket, 0, 0, 7, 3, 60, "abc").block(blockSimple, 3, "abc").block(blockOldPacket, 0, 0, 7, 1, 1, "a")
	f.Add(n.b)
	for _, pack := range packers {
		f.Add(pack(n.b))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := NewReader(bytes.NewReader(b))
		if err != nil {
			return
		}
		defer r.Close()
		lent := make([]Packet, 5)
		for range 1 << 16 { // A decompressed stream may be endless.
			n, err := r.Batch(lent)
			for _, p := range lent[:n] {
				if len(p.Data) > MaxPacket || p.Length < 0 {
					t.Fatalf("packet of %d of %d bytes", len(p.Data), p.Length)
				}
			}
			if err != nil {
				return
			}
		}
	})
}

func BenchmarkBatch(b *testing.B) {
	var file bytes.Buffer
	w, _ := NewWriter(&file, packet.LinkEthernet, 2000, Format{})
	for range 10_000 {
		w.Write(&Packet{Data: make([]byte, 320), Length: 320})
	}
	b.SetBytes(int64(file.Len()))
	lent := make([]Packet, 64)
	for range b.N {
		r, _ := NewReader(bytes.NewReader(file.Bytes()))
		for {
			if _, err := r.Batch(lent); err != nil {
				break
			}
		}
	}
}
