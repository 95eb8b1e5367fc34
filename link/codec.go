package link

import (
	_ "embed"
	"fmt"
	"slices"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// Dictionary is the id of the shared zstd dictionary this package compresses
// with. A new dictionary gets a new id and a new file; old ones stay, so that
// a gateway can still read what older nodes send. 0x48420001: the range above
// 32768 is free for private use (RFC 8878, section 3.1.1.1.3 and 5).
const Dictionary = 0x48420001

//go:embed dictionary/48420001.zdict
var dictionary []byte

// dictionaries are all this package can read, the best first.
var dictionaries = []uint32{Dictionary}

// choose returns the best dictionary both sides have, 0 for none.
func choose(offered []uint32) uint32 {
	for _, id := range dictionaries {
		if slices.Contains(offered, id) {
			return id
		}
	}
	return 0
}

const (
	// window is how far back the encoder looks, in bytes, and about half of
	// what it keeps: the folded batches of a busy host fit it.
	window = 1 << 17
	// maxWindow is what a decoder accepts, in bytes: a frame's window is its
	// whole content (single segment).
	maxWindow = MaxBatch
	// minGain is below how many bytes a batch is sent plain: a zstd frame's
	// own overhead eats the gain.
	minGain = 64
)

// Compressor compresses the batches of one node. It is not safe for
// concurrent use; it keeps one zstd encoder.
type Compressor struct {
	encoder *zstd.Encoder
	folder  folder
	folded  []byte
	buf     []byte
}

// NewCompressor returns a compressor with that dictionary, 0 for none.
func NewCompressor(id uint32) (*Compressor, error) {
	options := []zstd.EOption{
		zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true), zstd.WithWindowSize(window),
		zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderCRC(false), // TLS authenticates every byte
		zstd.WithSingleSegment(true),
	}
	switch id {
	case 0:
	case Dictionary:
		options = append(options, zstd.WithEncoderDict(dictionary))
	default:
		return nil, fmt.Errorf("make compressor: no dictionary %#x", id)
	}
	e, err := zstd.NewWriter(nil, options...)
	if err != nil {
		return nil, fmt.Errorf("make compressor: %w", err)
	}
	return &Compressor{encoder: e}, nil
}

// Compress returns the payload of a Batch frame and how it is encoded. The
// result is valid until the next call.
func (c *Compressor) Compress(payload []byte) ([]byte, Encoding) {
	if len(payload) < minGain {
		return payload, Encoding_ENCODING_PLAIN
	}
	input, encoding := payload, Encoding_ENCODING_ZSTD
	folded, ok := c.folder.fold(c.folded[:0], payload)
	if ok && len(folded) < len(payload) {
		input, encoding = folded, Encoding_ENCODING_FOLDED_ZSTD
	}
	c.buf = c.encoder.EncodeAll(input, c.buf[:0])
	if c.folded = folded; cap(folded) > maxPooled {
		c.folded, c.folder = nil, folder{} // an unusual batch leaves nothing behind
	}
	if len(c.buf) >= len(payload) {
		return payload, Encoding_ENCODING_PLAIN
	}
	return c.buf, encoding
}

// Fold returns a marshalled batch as Compress hands it to zstd, and whether
// it could be folded; what the dictionary is trained on.
func Fold(payload []byte) ([]byte, bool) {
	var f folder
	return f.fold(nil, payload)
}

// Close frees the encoder.
func (c *Compressor) Close() { c.encoder.Close() }

// Decompressor is shared by all connections of a process and safe for
// concurrent use.
type Decompressor struct{ decoder *zstd.Decoder }

// NewDecompressor returns a decompressor that knows all dictionaries; at most
// GOMAXPROCS batches are decompressed at once.
func NewDecompressor() (*Decompressor, error) {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(MaxBatch),
		zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderLowmem(true), zstd.WithDecoderDicts(dictionary))
	if err != nil {
		return nil, fmt.Errorf("make decompressor: %w", err)
	}
	return &Decompressor{d}, nil
}

// Decompress returns the payload of b before compression, in memory of its
// own. It never makes more than b.Size bytes.
func (d *Decompressor) Decompress(b *Batch) ([]byte, error) {
	if b.Size > MaxBatch {
		return nil, broken("batch of %d bytes, limit %d", b.Size, MaxBatch)
	}
	switch b.Encoding {
	case Encoding_ENCODING_PLAIN:
		if uint32(len(b.Payload)) != b.Size {
			return nil, broken("plain batch has %d bytes, its frame says %d", len(b.Payload), b.Size)
		}
		return b.Payload, nil
	case Encoding_ENCODING_ZSTD:
		out, err := d.inflate(b, make([]byte, 0, b.Size))
		if err == nil && uint32(len(out)) != b.Size {
			err = broken("zstd batch has %d bytes, its frame says %d", len(out), b.Size)
		}
		return out, err
	case Encoding_ENCODING_FOLDED_ZSTD:
		buf := getBuffer()
		defer putBuffer(buf)
		folded, err := d.inflate(b, *buf)
		if err != nil {
			return nil, err
		}
		*buf = folded
		return unfold(folded, int(b.Size))
	}
	return nil, broken("batch of encoding %d", b.Encoding)
}

// inflate decompresses the payload into dst, at most b.Size bytes.
func (d *Decompressor) inflate(b *Batch, dst []byte) ([]byte, error) {
	var h zstd.Header
	if err := h.Decode(b.Payload); err != nil || h.Skippable {
		return nil, broken("batch is no zstd frame")
	}
	// The size stands in the frame, so that a bomb is known by its header.
	if !h.HasFCS || h.FrameContentSize > uint64(b.Size) {
		return nil, broken("zstd frame of %d bytes, batch says %d", h.FrameContentSize, b.Size)
	}
	out, err := d.decoder.DecodeAll(b.Payload, dst[:0])
	if err != nil {
		return nil, broken("decompress batch: %v", err)
	}
	if uint64(len(out)) != h.FrameContentSize {
		return nil, broken("zstd frame has %d bytes, its header says %d", len(out), h.FrameContentSize)
	}
	return out, nil
}

// buffers holds what frames are read into and written from.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

// maxPooled keeps one large frame from staying in the pool, in bytes.
const maxPooled = 64 << 10

func getBuffer() *[]byte { return buffers.Get().(*[]byte) }

func putBuffer(b *[]byte) {
	if cap(*b) <= maxPooled {
		*b = (*b)[:0]
		buffers.Put(b)
	}
}
