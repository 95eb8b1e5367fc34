package sensor

import "github.com/hauberk/hauberk/sensor/internal/decode"

// checksums decides whether wrong checksums count: a capture made on the
// sender itself has many, because its card fills them in later.
type checksums struct {
	mode      string // yes, no or auto.
	seen, bad int    // Of the sample.
}

// checksumModes are modes by what Config has; without a word the file has it.
var checksumModes = map[string]string{"": "", "all": "yes", "none": "no", "auto": "auto"}

// checksumSample is after how many segments auto decides, as Suricata does: if
// more than a tenth are wrong, they do not count.
const checksumSample = 1000

// count says whether a segment's checksum is wrong and counts.
func (c *checksums) count(p *decode.Packet) bool {
	if c.mode == "no" {
		return false
	}
	wrong := !p.ChecksumOK()
	if c.mode != "auto" {
		return wrong
	}
	c.seen++
	if wrong {
		c.bad++
	}
	if c.seen == checksumSample {
		c.mode = "yes"
		if c.bad*10 > c.seen {
			c.mode = "no"
		}
	}
	return wrong
}
