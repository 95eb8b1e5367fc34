package transfer

import "github.com/hauberk/hauberk/sensor/internal/app/file"

// Content is a file that comes in order, with its beginning for rules.
type Content struct {
	*file.File
	Begin []byte
}

// Add appends bytes, and keeps at most room of them. It returns how many it
// kept.
func (c *Content) Add(b []byte, room int) int {
	if c.State != file.Open {
		return 0
	}
	c.File.Add(b)
	n := max(min(room, len(b)), 0)
	c.Begin = append(c.Begin, b[:n]...)
	return n
}

// Ready is what rules may look into: nothing until there are from bytes of an
// open file.
func (c *Content) Ready(from uint64) []byte {
	if c.State == file.Open && c.Size < from {
		return nil
	}
	return c.Begin
}
