package coding

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"io"

	"github.com/andybalholm/brotli"
	"github.com/ulikunitz/xz/lzma"
)

// inflate undoes one coding: first as it is named, then as what it may be
// instead.
func inflate(data []byte, kind string) ([]byte, bool) {
	tries := []func([]byte) ([]byte, bool){gunzip, unzlib, rawInflate}
	switch kind {
	case "deflate":
		tries = []func([]byte) ([]byte, bool){unzlib, rawInflate, gunzip}
	case "lzma":
		tries = []func([]byte) ([]byte, bool){unLZMA}
	case "br":
		tries = []func([]byte) ([]byte, bool){unBrotli}
	}
	for _, try := range tries {
		if out, ok := try(data); ok {
			return out, true
		}
	}
	return nil, false
}

// gunzip skips a header of gzip (RFC 1952), whatever its flags and checksum.
func gunzip(data []byte) ([]byte, bool) {
	if len(data) < 10 || data[0] != 0x1f || data[1] != 0x8b {
		return nil, false
	}
	flags, rest := data[3], data[10:]
	const hcrc, extra, name, comment = 2, 4, 8, 16
	if flags&extra != 0 {
		if len(rest) < 2 {
			return nil, false
		}
		n := int(rest[0]) | int(rest[1])<<8
		if len(rest) < 2+n {
			return nil, false
		}
		rest = rest[2+n:]
	}
	for _, flag := range []byte{name, comment} {
		if flags&flag != 0 {
			i := bytes.IndexByte(rest, 0)
			if i < 0 {
				return nil, false
			}
			rest = rest[i+1:]
		}
	}
	if flags&hcrc != 0 {
		if len(rest) < 2 {
			return nil, false
		}
		rest = rest[2:]
	}
	return rawInflate(rest)
}

// unzlib skips a header of zlib (RFC 1950).
func unzlib(data []byte) ([]byte, bool) {
	if len(data) < 2 || data[0]&0x0f != 8 || (int(data[0])<<8|int(data[1]))%31 != 0 {
		return nil, false
	}
	return rawInflate(data[2:])
}

// rawInflate undoes deflate (RFC 1951).
func rawInflate(data []byte) ([]byte, bool) { return all(flate.NewReader(bytes.NewReader(data))) }

// unBrotli undoes Brotli (RFC 7932).
func unBrotli(data []byte) ([]byte, bool) { return all(brotli.NewReader(bytes.NewReader(data))) }

// maxDictionary bounds what an LZMA stream makes its reader remember, in bytes.
const maxDictionary = maxPlain

// unLZMA undoes LZMA as in files of type .lzma.
func unLZMA(data []byte) ([]byte, bool) {
	const sizeAt, header = 1, 13
	if len(data) < header {
		return nil, false
	}
	if data = bytes.Clone(data); binary.LittleEndian.Uint32(data[sizeAt:]) > maxDictionary {
		binary.LittleEndian.PutUint32(data[sizeAt:], maxDictionary) // No more comes of it anyway.
	}
	r, err := lzma.ReaderConfig{DictCap: maxDictionary}.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, false
	}
	return all(r)
}

// all reads as far as it goes. It says whether anything came of it.
func all(r io.Reader) ([]byte, bool) {
	out, err := io.ReadAll(io.LimitReader(r, maxPlain))
	return out, err == nil || len(out) > 0
}
