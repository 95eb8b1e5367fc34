package multi

import (
	_ "embed"
	"encoding/binary"
)

// rarityModel says how common four bytes are in traffic: by the top 16 bits
// of their hash, twice the binary logarithm of their number against the mean,
// plus 4, in four bits. `go run ./labs/multibench -train` makes it.
//
//go:embed rarity.bin
var rarityModel []byte

// Rarity cells.
const rarityBits = 16

// RarityCell is the cell of the model for four folded bytes.
func RarityCell(fold uint32) uint32 { return fold * multiplier >> (32 - rarityBits) }

// frequency estimates how common four folded bytes are, 1 for the mean of the
// rest.
func frequency(four uint32) float64 {
	if four == four<<8|four>>24 {
		return uniformFrequency
	}
	cell := RarityCell(four)
	return frequencies[rarityModel[cell>>1]>>(4*(cell&1))&15]
}

// uniformFrequency is for four equal bytes: padding comes in long runs.
const uniformFrequency = 1e4

// frequencies are the powers of the square root of two from -4 on, steeper
// at the end where the last step stands for all that is more common.
var frequencies = func() (f [16]float64) {
	f[0] = 0.25
	for i := 1; i < len(f); i++ {
		f[i] = f[i-1] * 1.4142135623730951
	}
	f[15] *= 4
	return f
}()

// crowd counts the windows entered by hash, to spread patterns that begin
// alike.
type crowd struct {
	count []uint16
	shift uint8
}

func newCrowd(patterns int) *crowd {
	c := &crowd{shift: 16}
	for c.shift < 28 && 1<<(32-c.shift) > 8*patterns {
		c.shift++
	}
	c.count = make([]uint16, 1<<(32-c.shift))
	return c
}

// cheapest returns the place of the windows of text that cost least, -1 if
// there is none without a run, and the cost: how often they are seen times how many patterns look there, summed
// over the phases and divided by the stride.
func (c *crowd) cheapest(t *tier, text []byte) (at int, cost float64) {
	text = text[:min(len(text), maxWindow)]
	at = -1
	var costs [4]float64 // of the windows at the last positions
	clean := 0           // windows from here on are no runs
	for w := 0; w+t.width <= len(text); w++ {
		window := text[w : w+t.width : w+t.width]
		f := frequency(binary.LittleEndian.Uint32(window))
		if t.second > 0 {
			f = min(f, frequency(binary.LittleEndian.Uint32(window[t.second:]))) / 4
		}
		f *= 1 + float64(c.count[t.hash(window, 0)>>c.shift])
		if isRun(window) {
			clean = w + 1
		}
		costs[w%t.stride] = f
		first := w - t.stride + 1
		if first < clean {
			continue
		}
		sum := 0.0
		for _, c := range costs[:t.stride] {
			sum += c
		}
		if at < 0 || sum < cost {
			at, cost = first, sum
		}
	}
	return at, cost / float64(t.stride)
}

// maxWindow is how far into a text windows are chosen.
const maxWindow = 200

// enter counts the windows of text at a place.
func (c *crowd) enter(t *tier, text []byte, at int) {
	for phase := range t.stride {
		c.count[t.hash(text[at+phase:][:t.width:t.width], 0)>>c.shift]++
	}
}
